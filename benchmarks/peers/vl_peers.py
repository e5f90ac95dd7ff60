"""Ours beside two ways to get the same from the same checkpoint: a serial server as PairLens' predecessor was, and
`transformers serve` with one chat request. Same pictures, same questions, same machine, one after the other.
No GPU needed; the peers are processes of their own on loopback, ours is the engine in this one.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx2
import psutil
import torch
import transformers

from benchmarks.vl import vl_models
from serve_app import vlm
from serve_app.core.clock import Deadline, Stop
from serve_app.core.inquiry import Inquiry
from serve_app.core.pictures import ShownImage
from serve_app.settings import ModelSettings

Dtype = Literal["float32", "bfloat16"]
Ask = Callable[[Sequence[ShownImage], str, int], None]
START_S = 180.0


@dataclass(frozen=True)
class Row:
    """`latency_s`: of one request on an idle server; `throughput`: requests a second with several sent at once."""

    name: str
    tokens: int  # decoded one after the other, or in ours side by side
    latency_s: float
    cpu_s: float  # of one request, the server's process alone: what others on the machine can't change much
    throughput: float | None


def compare(shape: str, side: int, dtype: Dtype, explanation_tokens: int, repeats: int, queued: int) -> list[Row]:
    """Two policies for the peers' length: as many tokens as ours decoded, and as many as the same answers take when
    written out as JSON, keys and labels included, which ours puts in without decoding them.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = vl_models.idefics3(Path(temporary) / "model", shape, side)
        pictures = (vl_models.jpeg(side, side, 1), vl_models.jpeg(side, side, 2))
        one = vl_models.an_inquiry(pictures, swap_check=False)
        both = vl_models.an_inquiry(pictures, swap_check=True)
        watch = _Watch(repeats, queued)
        rows, decoded, written_out = _ours(folder, one, both, dtype, explanation_tokens, watch)
        text = vl_models.one_text(one)
        for name, serving in (("serial server", _serial), ("transformers serve", _serve)):
            with serving(folder, side, dtype) as (ask, process):
                ask(pictures, text, 8)
                same = functools.partial(ask, pictures, text, decoded)
                rows.append(watch.timed(name, decoded, same, process, is_queued=True))
                whole = functools.partial(ask, pictures, text, written_out)
                rows.append(watch.timed(f"{name}, all of the JSON", written_out, whole, process, is_queued=False))
    return rows


@dataclass(frozen=True)
class _Watch:
    """Best of `repeats`, of a server that is warm: what else runs on the machine only ever adds time."""

    repeats: int
    queued: int

    def timed(
        self, name: str, tokens: int, ask: Callable[[], object], process: psutil.Process, *, is_queued: bool
    ) -> Row:
        taken = [_elapsed(ask, process) for _ in range(self.repeats)]
        latency, cpu = (min(column) for column in zip(*taken, strict=True))
        print(f"{name}: {tokens} tokens, {cpu:.2f} s of processor, {latency:.2f} s", file=sys.stderr, flush=True)
        if not is_queued or self.queued < 2:
            return Row(name, tokens, latency, cpu, None)
        with ThreadPoolExecutor(self.queued) as clients:

            def burst() -> None:
                for sent in [clients.submit(ask) for _ in range(self.queued)]:
                    sent.result()

            total = min(_elapsed(burst, process)[0] for _ in range(self.repeats))
        return Row(name, tokens, latency, cpu, self.queued / total)


def _elapsed(work: Callable[[], object], process: psutil.Process) -> tuple[float, float]:
    """Wall seconds, and seconds of the process on any core."""
    used, started = _used(process), time.perf_counter()
    work()
    return time.perf_counter() - started, _used(process) - used


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _ours(
    folder: Path, one: Inquiry, both: Inquiry, dtype: Dtype, explanation_tokens: int, watch: _Watch
) -> tuple[list[Row], int, int]:
    """Without its cache of pictures seen before: every request is a new pair."""
    settings = ModelSettings(
        engine="transformers",
        name=str(folder),
        dtype=dtype,
        max_explanation_tokens=explanation_tokens,
        max_summary_tokens=explanation_tokens,
        cache_bytes=0,
    )
    model = vlm.load(settings)
    if model is None:
        raise RuntimeError("engine transformers always loads a model")
    output = model.answer(one, Stop(Deadline.after(3600)))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    names = (*vl_models.ASPECTS, *vl_models.ELEMENTS, "summary")
    parts = [f'"{name}":{reply.text}' for name, reply in zip(names, output.replies, strict=True)]
    written_out = len(tokenizer("{" + ",".join(parts) + "}", add_special_tokens=False)["input_ids"])
    turn = threading.Lock()  # one job a device, as in the service

    def ask(inquiry: Inquiry) -> None:
        with turn:
            model.answer(inquiry, Stop(Deadline.after(3600)))

    me, count = psutil.Process(), output.generated_tokens
    rows = [
        watch.timed(f"ours, {name}", count, functools.partial(ask, inquiry), me, is_queued=True)
        for name, inquiry in (("one order", one), ("both orders", both))
    ]
    return rows, count, written_out


@contextmanager
def _serial(folder: Path, side: int, dtype: Dtype) -> Iterator[tuple[Ask, psutil.Process]]:
    with _served([sys.executable, "-m", "benchmarks.peers.serial_server", str(folder), "--dtype", dtype], folder) as (
        client,
        process,
    ):

        def ask(pictures: Sequence[ShownImage], text: str, tokens: int) -> None:
            files = [("files", ("picture.jpg", picture.data, "image/jpeg")) for picture in pictures]
            reply = client.post("/compare", files=files, data={"prompt": text, "tokens": tokens, "side": side})
            if reply.json()["code"] != 200:
                raise RuntimeError(f"the serial server failed: {reply.text[:500]}")

        yield ask, process


@contextmanager
def _serve(folder: Path, side: int, dtype: Dtype) -> Iterator[tuple[Ask, psutil.Process]]:
    del side  # it shows what it is sent
    scripts = Path(sysconfig.get_path("scripts"))
    command = [str(scripts / "transformers"), "serve", str(folder), "--device", "cpu", "--dtype", dtype]
    with _served([*command, "--host", "127.0.0.1"], folder) as (client, process):
        ids = transformers.GenerationConfig.from_pretrained(folder)

        def ask(pictures: Sequence[ShownImage], text: str, tokens: int) -> None:
            reply = client.post("/v1/chat/completions", json=_chat(str(folder), pictures, text, tokens, ids))
            written = reply.raise_for_status().json()["usage"]["completion_tokens"]
            if written != tokens:
                raise RuntimeError(f"transformers serve wrote {written} tokens instead of {tokens}")

        yield ask, process


def _chat(model: str, pictures: Sequence[ShownImage], text: str, tokens: int, ids: Any) -> dict[str, Any]:
    urls = [f"data:image/jpeg;base64,{base64.b64encode(picture.data).decode()}" for picture in pictures]
    content: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    content.append({"type": "text", "text": text})
    generation = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
    generation |= {"eos_token_id": ids.eos_token_id, "pad_token_id": ids.eos_token_id}
    messages = [{"role": "user", "content": content}]
    return {"model": model, "messages": messages, "generation_config": json.dumps(generation)}


@contextmanager
def _served(command: list[str], folder: Path) -> Iterator[tuple[httpx2.Client, psutil.Process]]:
    """The command with a free port added, until it answers /health; with as many threads as this process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = folder.parent / "home"
    (home / "hub").mkdir(parents=True, exist_ok=True)
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads()), "HF_HUB_OFFLINE": "1", "HF_HOME": str(home)}
    log_path = folder.parent / "log"
    with log_path.open("wb") as log:
        served = subprocess.Popen(
            [*command, "--port", str(port)], env={**os.environ, **threads}, stdout=log, stderr=log
        )
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=1800, trust_env=False) as client:
            end = time.monotonic() + START_S
            while not _is_healthy(client):
                if served.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{command[1:3]} didn't start:\n{log_path.read_text()[-2000:]}")
                time.sleep(0.2)
            yield client, psutil.Process(served.pid)
    finally:
        served.terminate()
        served.wait(30)


def _is_healthy(client: httpx2.Client) -> bool:
    try:
        return client.get("/health").status_code == httpx2.codes.OK
    except httpx2.TransportError:
        return False
