"""A service of our own to be hostile to: `pairlens serve` as a process, its logs, and what each of its processes holds.
Knows no request. It listens on free ports of 127.0.0.1 and is gone, with all it wrote, when its `with` block ends."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2
import psutil
import yaml

from tests.rigs import growth, load, nodes

COMMAND: Final = (sys.executable, "-c", "from serve_app.cli.main import app; app()", "serve")
STARTS_WITHIN_S: Final = 240.0
ENDS_WITHIN_S: Final = 150.0
WARM: Final = 40  # comparisons before anything is measured: each replica has imported and allocated what it will
SAMPLED_EVERY_S: Final = 0.05
MIB: Final = 2**20
STAGES: Final = ("Ingress", "Preprocessor", "VLModel")
WORKERS: Final = ("Preprocessor", "VLModel")  # where pictures and models lie in memory
DOORS: Final = ("proxy", "Ingress")  # where bodies do
BAD_LINE: Final = re.compile(rb'"levelname": "ERROR"|"levelname": "CRITICAL"|Traceback \(most recent|bug: ')


@dataclass(frozen=True, slots=True)
class Sample:
    """MiB of its own that each watched process held at one moment, by id."""

    at: float
    mib: Mapping[int, float]


class Growth(NamedTuple):
    """How many MiB a process holds more than before, and what it is."""

    mib: float
    kind: str

    def __str__(self) -> str:
        return f"{self.mib:+.0f} MiB ({self.kind})"


@dataclass(slots=True)
class Watch:
    """Looks at the processes of the stages and of the proxy 20 times a second."""

    root: psutil.Process
    kinds: dict[int, str] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    _known: dict[int, psutil.Process] = field(default_factory=dict)
    _looked: float = 0.0

    def run(self) -> None:
        while not self.stop.wait(SAMPLED_EVERY_S):
            self.look()

    def look(self) -> Sample:
        if time.monotonic() - self._looked > 1:
            self._find()
        held = {}
        for pid, process in list(self._known.items()):
            with suppress(psutil.NoSuchProcess):
                memory = process.memory_info()
                held[pid] = (memory.rss - memory.shared) / MIB
        self.samples.append(Sample(time.monotonic(), held))
        return self.samples[-1]

    def pids(self, *kinds: str) -> set[int]:
        """Of the processes of these kinds that are alive."""
        return {pid for pid in self.look().mib if self.kinds.get(pid) in kinds}

    def held(self, *kinds: str) -> float:
        """MiB of all processes of these kinds now."""
        return self.of(self.look(), kinds)

    def peak(self, since: float, *kinds: str) -> float:
        """The most MiB that all processes of these kinds held together at one moment since then."""
        return max((self.of(each, kinds) for each in self.samples if each.at >= since), default=0.0)

    def worst(self, since: float, *kinds: str) -> float:
        """The most MiB that one process of these kinds held since then."""
        each_one = (
            mib
            for sample in self.samples
            if sample.at >= since
            for pid, mib in sample.mib.items()
            if self.kinds.get(pid) in kinds
        )
        return max(each_one, default=0.0)

    def growth(self, before: Sample, *kinds: str) -> Growth:
        """The process that has grown most since `before`; one that is new is held against the largest of its kind."""
        most = Growth(0.0, "none")
        for pid, mib in self.look().mib.items():
            kind = self.kinds.get(pid, "")
            if kind in kinds:
                alike = [held for other, held in before.mib.items() if self.kinds.get(other) == kind]
                grown = mib - before.mib.get(pid, max(alike, default=mib))
                most = max(most, Growth(grown, kind))
        return most

    def of(self, sample: Sample, kinds: tuple[str, ...]) -> float:
        """MiB of all processes of these kinds in that sample."""
        return sum(mib for pid, mib in sample.mib.items() if self.kinds.get(pid) in kinds)

    def _find(self) -> None:
        """A worker of Ray's takes its name when it becomes a replica, so names are read anew each second."""
        self._looked = time.monotonic()
        with suppress(psutil.NoSuchProcess):
            for process in self.root.children(recursive=True):
                with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    kind = growth.kind(process)
                    if kind in (*STAGES, "proxy"):
                        self.kinds[process.pid] = kind
                        self._known.setdefault(process.pid, process)


@dataclass(slots=True)
class Instance:
    """One running service."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]
    watch: Watch

    @property
    def address(self) -> tuple[str, int]:
        url = httpx2.URL(self.url)
        return url.host, url.port or 80

    def log_files(self) -> list[Path]:
        """All that Ray, Serve and the workers write."""
        return [path for path in self.folder.glob("pairlens-*/session_2*/logs/**/*") if path.is_file()]

    def log_sizes(self) -> dict[Path, int]:
        return {path: path.stat().st_size for path in self.log_files()}

    def logged_since(self, sizes: Mapping[Path, int]) -> Iterator[tuple[Path, bytes]]:
        """What each log has got since it had this size."""
        for path in self.log_files():
            with path.open("rb") as file:
                file.seek(sizes.get(path, 0))
                yield path, file.read()

    def bad_lines(self, sizes: Mapping[Path, int]) -> list[str]:
        """Lines since then that say that something is wrong with us: in Serve's logs, and in what workers print."""
        return [
            line.decode(errors="replace")[:300]
            for path, text in self.logged_since(sizes)
            if path.parent.name == "serve" or path.name.startswith("worker-")
            for line in text.splitlines()
            if BAD_LINE.search(line)
        ]

    def requests_logged(self, sizes: Mapping[Path, int]) -> Iterator[dict[str, Any]]:
        """The ingress replicas' line of each request since then."""
        for path, text in self.logged_since(sizes):
            if path.name.startswith("replica_") and "Ingress" in path.name:
                yield from (json.loads(line) for line in text.splitlines() if b'"message": "request"' in line)

    def temporary_files(self) -> int:
        """What workers have put aside and not taken away: their temporary folder is that of the session."""
        (session,) = self.folder.glob("pairlens-*")
        return sum(1 for path in session.glob("tmp*"))

    def metrics(self) -> bytes:
        """What stands on the node's metrics port: all that Prometheus would get."""
        for path in self.folder.glob("pairlens-*/prom_metrics_service_discovery.json"):
            (group,) = json.loads(path.read_text(encoding="utf-8"))
            return b"".join(httpx2.get(f"http://{each}/metrics", timeout=30).content for each in group["targets"][:1])
        return b""

    def descriptors(self) -> int:
        """Open files and connections of all stages and the proxy."""
        return sum(psutil.Process(pid).num_fds() for pid in self.watch.pids(*STAGES, "proxy"))

    def child_faults(self) -> int:
        """Page faults of all children that the workers have ever waited for: none where there was no child. Unlike a
        look at the list of processes it misses none, however short its life (proc(5): cminflt)."""
        total = 0
        for pid in self.watch.pids(*WORKERS):
            after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
            total += int(after_name.split()[8])
        return total

    def is_ready(self) -> bool:
        with suppress(httpx2.TransportError):
            return httpx2.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == 200
        return False


def config(port: int, tracing: Mapping[str, Any] | None = None, **args: Any) -> dict[str, Any]:
    """The shipped `serve_config.yaml` on this port; `tracing`: its `tracing_config`, `args`: changes to its `args`, by
    section.

    With two Preprocessors, which it begins with, and no more: one that goes when the load is over would look lost.
    """
    raw: dict[str, Any] = copy.deepcopy(yaml.safe_load((nodes.ROOT / "serve_config.yaml").read_text(encoding="utf-8")))
    raw["http_options"] |= {"host": "127.0.0.1", "port": port}
    if tracing:
        raw["tracing_config"] = dict(tracing)
    (application,) = raw["applications"]
    for name, value in args.items():
        application["args"][name] = {**application["args"].get(name, {}), **value}
    for stage in application["deployments"]:
        if stage["name"] == "Preprocessor":
            stage["autoscaling_config"] |= {"min_replicas": 2, "max_replicas": 2}
    return raw


@contextmanager
def started(tracing: Mapping[str, Any] | None = None, **args: Any) -> Iterator[Instance]:
    """The service as shipped, but for these changes (see `config`), ready and watched."""
    folder = Path(tempfile.mkdtemp(prefix="pl-", dir="/tmp"))  # short: Ray's sockets lie under it
    port = nodes.free_port()
    raw = config(port, tracing, **args)
    raw["applications"][0]["args"]["jobs"]["folder"] = str(folder / "kept")
    (folder / "serve.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    options = ("--config", str(folder / "serve.yaml"), "--dashboard-port", str(nodes.free_port()))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    environment = {**kept, "TMPDIR": str(folder), "PYTHONPATH": str(nodes.ROOT)}
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen([*COMMAND, *options], env=environment, stdout=said, stderr=said, cwd=nodes.ROOT)
    instance = Instance(f"http://127.0.0.1:{port}", folder, process, Watch(psutil.Process(process.pid)))
    try:
        nodes.eventually(lambda: _is_up(instance), within_s=STARTS_WITHIN_S, what="the service")
        with load.callers(instance.url, 4) as warming:
            nodes.eventually(lambda: len(warming.answers) >= WARM, within_s=60, what="its first answers")
        threading.Thread(target=instance.watch.run, daemon=True).start()
        yield instance
    finally:
        instance.watch.stop.set()
        end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _is_up(instance: Instance) -> bool:
    if instance.process.poll() is not None:
        raise RuntimeError((instance.folder / "said").read_text(encoding="utf-8", errors="replace")[-2_000:])
    return instance.is_ready()


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and once more where it waits for requests that will never end; at last all of its processes."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    for patience_s in (ENDS_WITHIN_S / 5, ENDS_WITHIN_S):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
    if process.poll() is None:
        process.kill()
    for each in family:
        with suppress(psutil.NoSuchProcess):
            each.kill()
