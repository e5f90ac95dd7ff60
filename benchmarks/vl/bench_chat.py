"""What the chat door costs a conversation: time to the first token and tokens a second, beside the engine alone.

    python -m benchmarks.vl.bench_chat [--rounds 12] [--tokens 64] [--serve]

A random Qwen3-VL on the CPU, one thread on both sides (as Ray gives a replica), one picture of 512 x 384, a question.
Each round asks the engine itself and then the door, with a seed of its own, so that the machine's other work meets both
alike; medians are told, and the middle half of the rounds' differences. `here`: the door in this process over a real
socket. `--serve`: through a Ray of its own, every stage in its process.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
from skimage import data

from serve_app import vlm
from serve_app.core.clock import Deadline, Stop
from serve_app.core.conversation import Conversation, Ended, Said, Sampling, Turn
from serve_app.core.pictures import ShownImage
from serve_app.settings import JobSettings, ModelSettings, Settings
from tests.cluster.waiting import eventually
from tests.rigs.http_server import served
from tests.rigs.nodes import free_port
from tests.serving.chat.service import serving, user

QUESTION: Final = "What is this?"
WARM_UP: Final = 3
WIDTH, LAYERS = 512, 8  # about 25 million parameters: some 10 ms a token on a core of its own


@dataclass(frozen=True)
class Spell:
    """Seconds to the first token of one conversation, and tokens a second after it."""

    first_s: float
    rate: float


def picture() -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(data.astronaut()).resize((512, 384)).save(buffer, "PNG")
    return buffer.getvalue()


def timed(begun: float, said: list[float], tokens: int) -> Spell:
    """`said`: when each piece came, the first of them one token; `tokens`: of all."""
    return Spell(said[0] - begun, (tokens - 1) / (said[-1] - said[0]))


def alone(model: vlm.TalkingModel, shown: ShownImage, tokens: int, seed: int) -> Spell:
    said: list[float] = []

    def tell(_: Said) -> None:
        said.append(time.perf_counter())

    turns = (Turn("user", (0, QUESTION)),)
    asked = Conversation(turns, (shown,), tokens, Sampling(seed=seed))
    begun = time.perf_counter()
    ended: Ended = model.talk(asked, tell, Stop(Deadline.after(100)))
    assert ended.generated_tokens > 1
    return timed(begun, said, ended.generated_tokens)


def through(client: httpx2.Client, name: str, upload: bytes, tokens: int, seed: int) -> Spell:
    body = {
        "model": name,
        "messages": [user(upload, text=QUESTION)],
        "max_tokens": tokens,
        "seed": seed,
        "stream": True,
        "stream_options": {"include_usage": True},
        "processing_timeout": 100,
    }
    said: list[float] = []
    begun = time.perf_counter()
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        for line in answer.iter_lines():
            if not line.startswith("data: {"):
                continue
            told = json.loads(line[6:])
            if told["choices"] and told["choices"][0]["delta"].get("content"):
                said.append(time.perf_counter())
    return timed(begun, said, told["usage"]["completion_tokens"])


@contextmanager
def here(settings: Settings) -> Iterator[str]:
    """The door in this process, behind a port."""
    stack = AsyncExitStack()
    inner: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if not inner:
            inner.append((await stack.enter_async_context(serving(settings))).app)
        if scope["type"] == "http":
            await inner[0](scope, receive, send)

    with served(lambda: app) as url:
        yield url


@contextmanager
def on_ray(settings: Settings) -> Iterator[str]:
    """Every stage in its process."""
    from serve_app.operating.own_ray import SERVE_ENVIRONMENT

    os.environ.update(SERVE_ENVIRONMENT)
    os.environ.update({"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"})
    os.environ.pop("RAY_ADDRESS", None)
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    import ray
    from ray import serve

    from serve_app.app import graph
    from tests.cluster.conftest import is_ready

    port = free_port()
    ray.init(
        address="local", num_cpus=8, num_gpus=0, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
    )
    try:
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        serve.run(graph(settings), name="bench", route_prefix="/bench")
        url = f"http://127.0.0.1:{port}/bench"
        eventually(lambda: is_ready(url), within_s=180)
        yield url
    finally:
        serve.shutdown()
        ray.shutdown()


def measured(model: vlm.TalkingModel, url: str, name: str, rounds: int, tokens: int) -> tuple[list[Spell], list[Spell]]:
    """Of the engine and of the door, a round each."""
    from PIL import Image

    upload = picture()
    pixels = Image.open(io.BytesIO(upload)).convert("RGB")
    shown = ShownImage(*pixels.size, "rgb", pixels.tobytes())
    engine, door = [], []
    with httpx2.Client(base_url=url, timeout=120) as client:
        eventually(lambda: answers(client), within_s=300)
        for seed in range(WARM_UP + rounds):
            engine.append(alone(model, shown, tokens, seed))
            door.append(through(client, name, upload, tokens, seed))
    return engine[WARM_UP:], door[WARM_UP:]


def answers(client: httpx2.Client) -> bool:
    """Whether it listens by now, its model loaded."""
    try:
        return client.get("/livez").status_code == httpx2.codes.OK
    except httpx2.TransportError:
        return False


def row(where: str, engine: list[Spell], door: list[Spell]) -> dict[str, Any]:
    extra = [(two.first_s - one.first_s) * 1000 for one, two in zip(engine, door, strict=True)]
    low, _, high = statistics.quantiles(extra, n=4)
    return {
        "where": where,
        "first_ms_engine": statistics.median(one.first_s for one in engine) * 1000,
        "first_ms_door": statistics.median(one.first_s for one in door) * 1000,
        "first_ms_more": statistics.median(extra),
        "first_ms_more_middle_half": [low, high],
        "rate_engine": statistics.median(one.rate for one in engine),
        "rate_door": statistics.median(one.rate for one in door),
        "rate_share": statistics.median(two.rate / one.rate for one, two in zip(engine, door, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--serve", action="store_true", help="through a Ray of its own as well")
    asked = parser.parse_args()
    import torch

    from tests.worlds import checkpoints

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        made = checkpoints.tiny_qwen3_vl(Path(folder) / "random-qwen3-vl", width=WIDTH, layers=LAYERS)
        settings = Settings(
            model=ModelSettings(engine="transformers", name=str(made), device="cpu"), jobs=JobSettings(enabled=False)
        )
        model = vlm.load(settings.model)
        assert model is not None
        ways: dict[str, Callable[[Settings], Any]] = {"here": here, **({"Serve": on_ray} if asked.serve else {})}
        rows = []
        for where, way in ways.items():
            with way(settings) as url:
                found = measured(model, url, made.name, asked.rounds, asked.tokens)
            rows.append(row(where, *found))
    print(f"load {os.getloadavg()[0]:.1f}; {asked.rounds} rounds of {asked.tokens} tokens\n")
    print("| door | first token, engine | through the door | more (middle half) | tokens/s, engine | door | share |")
    print("|---|---|---|---|---|---|---|")
    for one in rows:
        low, high = one["first_ms_more_middle_half"]
        print(
            f"| {one['where']} | {one['first_ms_engine']:.0f} ms | {one['first_ms_door']:.0f} ms "
            f"| {one['first_ms_more']:.1f} ms ({low:.1f} to {high:.1f}) "
            f"| {one['rate_engine']:.1f} | {one['rate_door']:.1f} | {one['rate_share']:.2f} |"
        )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
