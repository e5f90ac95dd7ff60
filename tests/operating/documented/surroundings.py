"""What the commands of the docs find around them: a whole service with its queue, and a folder as the pages assume it.
No Ray: what is documented is the same over both, and `tests/cluster` has the other."""

from __future__ import annotations

import asyncio
import logging
import os
import runpy
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from serve_app import ocr
from serve_app.client.asynchronous import AsyncClient
from serve_app.client.sync import Client
from serve_app.comparison.assessor import Assessor
from serve_app.comparison.examiner import Examiner
from serve_app.comparison.pipeline import Pipeline
from serve_app.imaging.pdf.documents import Documents
from serve_app.jobs.batch_worker import BatchWorker
from serve_app.jobs.durable import Owner
from serve_app.jobs.storeroom import Storeroom
from serve_app.jobs.worker import Worker
from serve_app.serving.api.app import create_app
from serve_app.serving.api.batches import BatchDesk
from serve_app.serving.api.jobs import JobDesk
from serve_app.serving.readiness import AlwaysReady
from serve_app.settings import JobSettings, Profile, Settings
from tests.operating.documented.code import ROOT
from tests.rigs.http_server import served
from tests.worlds import pdfs

URL = "http://127.0.0.1:8000"  # as the docs have it
WAIT_S = 240.0  # of a busy machine, for one command
PROGRAM = "import sys; sys.argv[0] = 'pairlens'; from serve_app.cli.main import app; app()"


@dataclass(frozen=True)
class Ran:
    """A command that has ended, in the folder that it had for itself."""

    code: int
    out: str
    err: str
    folder: Path


@dataclass(frozen=True)
class Surroundings:
    """`url`: where the service really is; `like`: the folder of which each command gets a copy; while `held`, jobs that
    were left stay at work."""

    url: str
    like: Path
    scratch: Path
    held: threading.Event

    def told(self, text: str) -> str:
        """A command of the docs for here: the port, and a secret, where the docs leave it open."""
        return text.replace(URL, self.url).replace("/etc/pairlens/", "etc/pairlens/")

    def new_folder(self) -> Path:
        folder = self.scratch / str(len(list(self.scratch.iterdir())))
        shutil.copytree(self.like, folder, symlinks=True)
        return folder

    def run(self, text: str) -> Ran:
        folder = self.new_folder()
        path = os.pathsep.join([str(folder / ".venv" / "bin"), "/usr/local/bin", "/usr/bin", "/bin"])
        env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "HOME": str(folder)}
        command = ["bash", "-c", f"set -eo pipefail; {text}"]
        ended = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=WAIT_S)
        return Ran(ended.returncode, ended.stdout, ended.stderr, folder)

    def run_python(self, text: str) -> Ran:
        """As a person pastes it; what a page takes for given is there, and `await` may stand outside a function."""
        folder = self.new_folder()
        (folder / "block.py").write_text(text, encoding="utf-8")
        env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "PAIRLENS_TEST_URL": self.url}
        command = [sys.executable, "-m", "tests.operating.documented.pasted", "block.py"]
        ended = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=WAIT_S)
        return Ran(ended.returncode, ended.stdout, ended.stderr, folder)

    def job_for(self, words: list[str]) -> str:
        """The id of a job that the command can be given: one at work to cancel, a cancelled one to retry, else one that
        has ended."""
        is_held = "cancel" in words or "retry" in words
        with Client(self.url) as client:
            if is_held:
                self.held.set()
            job = client.jobs.create(self.like / "a.png", self.like / "b.png")
            if "retry" in words:
                job.cancel()
            return job.id if is_held else job.wait(timeout=60).id


@contextmanager
def surroundings(scratch: Path) -> Iterator[Surroundings]:
    scratch.mkdir(exist_ok=True)
    like = scratch.with_name(f"{scratch.name}-like")
    draw(like)
    held = threading.Event()
    with service(scratch.with_name(f"{scratch.name}-jobs"), held) as url:
        yield Surroundings(url, like, scratch, held)


def draw(folder: Path) -> None:
    """A checkout with the example pairs, and the files that pages name."""
    pairs = folder / "examples" / "pairs"
    pairs.mkdir(parents=True)
    list(runpy.run_path(str(ROOT / "examples/draw_pairs.py"))["draw_all"](pairs))
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "examples/draw_pairs.py", "serve_config.yaml"):
        shutil.copyfile(ROOT / name, folder / name)
    a, b = (pairs / f"label_{side}.png" for side in "ab")
    copies = {"a.png": a, "b.png": b, "before.png": a, "after.png": b, "master.png": a, "1.png": a, "2.png": b}
    copies |= {"before/a.png": a, "after/a.png": b}
    for name, source in copies.items():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(source, folder / name)
    (folder / "pairs.csv").write_text("reference,candidate,name\nbefore/a.png,after/a.png,label\n", encoding="utf-8")
    labelled = ["reference,candidate,label,kind", "a.png,1.png,match,label", "a.png,b.png,mismatch,label"]
    labelled += ["before.png,master.png,match,label", "before.png,after.png,mismatch,label"]
    (folder / "labelled.csv").write_text("\n".join(labelled) + "\n", encoding="utf-8")
    (folder / "profiles").mkdir()
    (folder / "profiles" / "shop.yaml").write_text("similarity_threshold: 0.97\n", encoding="utf-8")
    (folder / "a.pdf").write_bytes(pdfs.pdf(1, 2))
    (folder / "b.pdf").write_bytes(pdfs.pdf(1, pdfs.Page(2, stamp=True)))
    (folder / "models").mkdir()
    (folder / "models" / "qwen3-vl-4b").symlink_to(ROOT / "tests" / "vlm" / "trained" / "checkpoint")
    (folder / "etc" / "pairlens").mkdir(parents=True)
    (folder / "etc" / "pairlens" / "webhook_secret").write_text("whsec_" + "c2VjcmV0" * 4 + "\n", encoding="utf-8")
    _programs(folder / ".venv" / "bin")


def _programs(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, words in (("python", '"$@"'), ("pairlens", f'-c "{PROGRAM}" "$@"')):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    (folder.parent / ".core").touch()  # as after `make serve`


@contextmanager
def service(folder: Path, held: threading.Event) -> Iterator[str]:
    """Every route over real stages, and a real queue for jobs and batches."""
    shop = Profile(similarity_threshold=0.97)
    settings = Settings(jobs=JobSettings(folder=str(folder), enabled=True), profiles={"shop": shop})
    room, documents = Storeroom.open(settings.jobs), Documents(settings.limits)
    room.database.create_tables()
    owner = Owner(room.database, "documented", 2)
    at_work = SimpleNamespace(jobs=None, batches=None)

    def make() -> Any:
        reader = ocr.installed(settings.preprocessing.text_reader)
        examiner = Examiner(settings.limits, settings.preprocessing, shows_images=False, reader=reader)
        return create_app(
            Pipeline(examiner, Assessor(settings.model), settings),
            settings,
            readiness=AlwaysReady(),
            logger=logging.Logger("documented"),
            jobs=JobDesk(room.store, room.blobs, lambda *job: at_work.jobs.cancel_soon(*job), 5.0),
            batches=BatchDesk(room.batches, room.blobs, documents, lambda id_: at_work.batches.cancel_soon(id_), 5.0),
        )

    with ExitStack() as stack:
        stack.callback(documents.close)
        url = stack.enter_context(served(make))
        at_work.jobs = Worker(room.store, room.blobs, lambda job: Asking(url, held))
        at_work.batches = BatchWorker(room.batches, room.blobs, documents, lambda *batch: Asking(url, held), 2)
        stack.callback(owner.close)
        owner.launch(at_work.jobs.run, at_work.jobs.give_up, _deliver, at_work.batches)
        yield url


class Asking:
    """`Comparing` by the service itself, as the deployment Jobs asks any entrance."""

    def __init__(self, url: str, held: threading.Event) -> None:
        self._url = url
        self._held = held

    async def compare(self, *pair: Any) -> Any:
        while self._held.is_set():  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(0.02)
        async with AsyncClient(self._url) as client:
            return await client.compare(*pair)


async def _deliver(job_id: str, attempt: int, number: int) -> None:
    raise AssertionError("no job here has a webhook")
