"""Rows whose requests a library makes up: from the OpenAPI page (schemathesis), and guided by coverage (atheris).
Each runs as a program of its own; what it says is read here."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.hostile.row import Bench
from benchmarks.hostile.words import KEY
from tests.rigs.nodes import ROOT

GRACE_S: Final = 60.0  # to start and to end
# What no schema can say: that these bytes are a picture that we take, that there is time for it, that a cursor is one
# of ours, and that a job with such an id is there and as it has to be.
CONFIG: Final = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 404, 409, 415, 422, 503, 504]
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503, 504]
"""
# DELETE cancels: a job can be asked for after it, too.
UNCHECKED: Final = "use_after_free"
HARDLY_WRONG: Final = "filter_too_much"  # the name of a model is any text: it finds little that would be none
# One failure in schemathesis's words: which, its reason, what was answered, and how to do it again.
FAILURE: Final = re.compile(
    r"^- (ST\d+ [^\n]+)\n.*?^\[\d+\] [^\n]+\n\n +(.*?)\n\nReproduce[^\n]+\n\n +(curl [^\n]+)",
    re.MULTILINE | re.DOTALL,
)
# "Both of these files, or both of those, and no more" is beyond what it makes of a schema for files.
BEYOND: Final = ("ST201", "ST202")
TARGETS: Final = ("decode", "config", "body", "doors")


def described(bench: Bench) -> None:
    """Whatever the OpenAPI page allows, and what it doesn't: codes, bodies and headers are as it says."""
    _described(bench)


def described_with_key(bench: Bench) -> None:
    """The same where a key opens what is asked for."""
    _described(bench, "--header", f"X-API-Key: {KEY}")


def _described(bench: Bench, *options: str) -> None:
    row = bench.row
    with bench.watched(), tempfile.TemporaryDirectory(prefix="st-") as name:
        seconds, seed = max(10, int(bench.box.left_s)), bench.dice.randrange(10**6)
        told = described_by(bench.service.url, Path(name), seconds, seed, *options)
        failures = [
            found
            for found in FAILURE.findall(told["said"])
            if not (found[0].startswith(BEYOND) and "multipart/form-data" in found[2])
        ]
        for title, answer, command in failures:
            row.wrong(f"{title}: {answer[:200]} after {command[:500]}")
        for error in told["errors"]:
            row.wrong(f"the tool: {json.dumps(error)[:800]}")
        row.want(f"{len(failures)} failures", not failures)
        row.want(f"{len(told['errors'])} errors of the tool", not told["errors"])
    number, version = told["test_cases"]["generated"], told["schemathesis_version"]
    row.sent = f"{number} cases made up from the OpenAPI page by schemathesis {version}"


def described_by(url: str, folder: Path, seconds: int, seed: int, *options: str) -> dict[str, Any]:
    """What schemathesis says of the service at `url`: its report, and as `said` its words; files go to `folder`."""
    (folder / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    command = [
        *(str(Path(sys.executable).with_name("st")), "--no-color", "--config-file", str(folder / "schemathesis.toml")),
        *("run", f"{url}/openapi.json", "--checks", "all", "--exclude-checks", UNCHECKED, "--continue-on-failure"),
        *("--max-time", str(seconds), "--seed", str(seed), "--suppress-health-check", HARDLY_WRONG),
        *("--report", "json", "--report-json-path", str(folder / "report.json")),
        *options,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds + GRACE_S, check=False)
    if not (folder / "report.json").exists():
        raise RuntimeError(done.stdout[-1_000:] + done.stderr[-1_000:])
    told: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return {**told, "said": done.stdout}


def guided(bench: Bench) -> None:
    """Each target in a process of its own, which ends at the first exception beyond our own."""
    row = bench.row
    if importlib.util.find_spec("atheris") is None:
        row.sent = "not run: atheris is not installed here"
        return
    runs = []
    with bench.watched(), tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        for index, target in enumerate(TARGETS):
            seconds = max(10, int(bench.box.left_s / (len(TARGETS) - index)))
            said = guided_by(target, Path(name), seconds, bench.dice.randrange(1, 10**6))
            done = re.search(r"Done (\d+) runs", said)
            runs.append(f"{target} {done[1] if done else 'ended early'}")
            if done is None:
                row.wrong(f"{target}: {_exception(said)} after {_crash(Path(name))}")
        row.want_none_wrong("exceptions beyond our own")
    row.sent = f"{', '.join(runs)} runs"


def guided_by(target: str, folder: Path, seconds: int, seed: int) -> str:
    """What atheris says."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.hostile.guided", target, str(seconds), str(seed)]
    done = subprocess.run(
        [*command, str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=seconds + 2 * GRACE_S, check=False
    )
    return done.stdout + done.stderr


def _exception(said: str) -> str:
    found = re.search(r"Uncaught Python exception: ===\n(.*)", said)
    return found[1][:200] if found else said[-300:]


def _crash(folder: Path) -> str:
    """The bytes that led to it, in base64; they are taken away, so that the next target's are its own."""
    for path in folder.glob("crash-*"):
        data = path.read_bytes()
        path.unlink()
        return base64.b64encode(data).decode()[:600]
    return "bytes that were not kept"
