"""`make gpu`: on a machine with a GPU the tests of tests/vlm/gpu, then the benchmark, row by row, within a time.
No installing, no download, no Ray: what is missing is named. `vl.gpu_rows` makes the rows in a process of its own.

Prints each row as soon as it is measured, what is left out, a Markdown table and a last line of JSON. Exit code 1 where
a test failed, a row failed, or a goal was not met; 2 where something is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TESTS_S = 90.0
# What the engine and its tests import of all that pyproject.toml names, and under which name; versions stand there.
IMPORTS = {
    "torch": "torch",
    "transformers": "transformers",
    "llguidance": "llguidance",
    "pydantic": "pydantic",
    "pillow": "PIL",
    "numpy": "numpy",
    "psutil": "psutil",
    "pytest": "pytest",
}
EXACT = ("torch", "transformers", "llguidance")  # of these the version matters; of the others any will do here


@dataclass
class Bench:
    """What the process of rows has said so far."""

    conditions: dict[str, Any] = field(default_factory=dict)
    wanted: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    under_way: str | None = None
    exit_code: int | None = None  # None: it was ended because its time was over

    @property
    def left_out(self) -> list[str]:
        done = [row["name"] for row in self.rows]
        return [name for name in self.wanted if name not in done]

    def take(self, line: str, tell: Callable[[str], None]) -> dict[str, Any] | None:
        """The row, if it is one; what is no JSON, a library's words, is told."""
        try:
            said = json.loads(line)
        except ValueError:
            tell(line.rstrip())
            return None
        self.conditions.update(said.get("conditions", {}))
        self.wanted += said.get("wanted", [])
        self.under_way = said.get("begins")
        row: dict[str, Any] | None = said.get("row")
        if row is not None:
            self.rows.append(row)
        return row


def missing(device: str) -> str | None:
    """One sentence on what this Python lacks; None if nothing."""
    version = sys.version_info
    if version < (3, 11):
        return f"make gpu needs Python 3.11 or later; {sys.executable} is {version.major}.{version.minor}."
    lacks = [wanted for name, wanted in _requirements().items() if not _is_there(name, wanted)]
    if lacks:
        named = " ".join(shlex.quote(one) for one in lacks)
        return f"{sys.executable} lacks {named}: install it, or name another Python: make gpu PYTHON=..."
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        return f"torch {torch.__version__} of {sys.executable} sees no GPU; without one: make gpu ARGS='--device cpu'"
    return None


def _requirements() -> dict[str, str]:
    """As pyproject.toml has them, for those in `IMPORTS`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    told = [*project["dependencies"], *project["optional-dependencies"]["vl"], *project["optional-dependencies"]["dev"]]
    found: dict[str, str] = {}
    for one in told:
        name = one.split("[")[0].split(">")[0].split("<")[0].split("=")[0].strip()
        if name in IMPORTS:
            found.setdefault(name, one if name in EXACT else name)
    return found


def _is_there(name: str, wanted: str) -> bool:
    if find_spec(IMPORTS[name]) is None:
        return False
    if name not in EXACT:
        return True
    from packaging.requirements import Requirement  # comes with transformers

    return Requirement(wanted).specifier.contains(metadata.version(name), prereleases=True)


def tested(options: Sequence[str], seconds: float) -> int | None:
    """Exit code of pytest on tests/vlm/gpu; None where it was ended after `seconds`."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/vlm/gpu", *options]
    running = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        return running.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(running)


def measured(
    command: Sequence[str], seconds: float, tell: Callable[[str], None], now: Callable[[], float] = time.monotonic
) -> Bench:
    """Runs `command`, which says things as lines of JSON, for at most `seconds`; tells each row at once."""
    bench = Bench()
    started = now()
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    said: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=_read, args=(running, said))
    reader.start()
    try:
        while (line := _next(said, started + seconds - now())) is not None:
            if row := bench.take(line, tell):
                tell(f"[{now() - started:4.0f} s] {row_text(row)}")
        bench.exit_code = running.poll()
    finally:
        _end(running)
        reader.join()
    return bench


def _read(running: subprocess.Popen[str], said: queue.Queue[str | None]) -> None:
    with running.stdout or open(os.devnull) as lines:
        for line in lines:
            said.put(line)
    running.wait()
    said.put(None)


def _next(said: queue.Queue[str | None], timeout_s: float) -> str | None:
    """None where there is no more, or the time is over."""
    try:
        return said.get(timeout=max(0.0, timeout_s))
    except queue.Empty:
        return None


def _end(running: subprocess.Popen[Any]) -> None:
    """It and what it has started: compilers have processes of their own."""
    if running.poll() is None:
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()


def row_text(row: dict[str, Any]) -> str:
    told = "; ".join(one for one in (goal(row), row["beside"]) if one)
    return f"{row['name']:46} {figure(row):>12}  {told}"


def figure(row: dict[str, Any]) -> str:
    return "failed" if row["value"] is None else f"{row['value']:.{row['digits']}f} {row['unit']}"


def goal(row: dict[str, Any]) -> str:
    if row["goal"] is None:
        return ""
    met = "" if row["is_met"] is None else ": met" if row["is_met"] else ": missed"
    return f"goal {row['goal']}{met}"


def summary(bench: Bench, tests: dict[str, Any]) -> list[str]:
    """What is left out, the table, the line of JSON."""
    lines = []
    if bench.left_out or bench.exit_code:
        why = "no time" if bench.exit_code is None else f"the benchmark ended with code {bench.exit_code}"
        begun = f" ({bench.under_way} was under way)" if bench.under_way else ""
        lines.append(f"left out, {why}{begun}: " + ("; ".join(bench.left_out) or "everything"))
    lines += ["", "| what | measured | goal | beside |", "|---|---|---|---|"]
    lines += [f"| {row['name']} | {figure(row)} | {goal(row)} | {row['beside']} |" for row in bench.rows]
    said = {"bench": "gpu", **bench.conditions, "tests": tests, "rows": bench.rows, "left_out": bench.left_out}
    return [*lines, "", json.dumps(said)]


def is_good(bench: Bench, tests: dict[str, Any]) -> bool:
    rows = all(row["value"] is not None and row["is_met"] is not False for row in bench.rows)
    return tests["exit_code"] == 0 and rows and bench.exit_code in (0, None)


def _tell(line: str) -> None:
    print(line, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240.0, help="for the benchmark; the tests have 90 before")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shape", nargs="+", default=["8b", "2b"], help="of the first all rows; of others a few")
    parser.add_argument("--pytest", default="", metavar="OPTIONS", help='"-k name", for the tests')
    parser.add_argument("--rows", nargs=argparse.REMAINDER, default=[], help="the rest is for benchmarks.vl.gpu_rows")
    options = parser.parse_args(arguments)
    if problem := missing(options.device):
        print(problem, file=sys.stderr)
        return 2
    started = time.monotonic()
    code = tested(shlex.split(options.pytest), TESTS_S)
    tests = {"exit_code": code, "seconds": round(time.monotonic() - started, 1)}
    ended = f"tests/vlm/gpu: not done in {TESTS_S:.0f} s" if code is None else f"tests/vlm/gpu: exit code {code}"
    _tell(f"{ended}, after {tests['seconds']} s; now the benchmark, for {options.seconds:.0f} s")
    command = [sys.executable, "-m", "benchmarks.vl.gpu_rows", "--device", options.device, "--shape", *options.shape]
    bench = measured([*command, *options.rows], options.seconds, _tell)
    for line in summary(bench, tests):
        _tell(line)
    return 0 if is_good(bench, tests) else 1


if __name__ == "__main__":
    sys.exit(main())
