"""`make gpu` from end to end on a CPU, and what the benchmarks of the model's host side count."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("torch", reason="needs the extra [vl]")
pytest.importorskip("transformers", reason="needs the extra [vl]")

from benchmarks import gpu
from benchmarks.vl import bench_vl_host, gpu_rows, vl_host, vl_models

ROOT = Path(__file__).parents[1]
# What a machine with a GPU need not have: importing any of it there is an error here.
ABSENT = (
    *("ray", "fastapi", "starlette", "uvicorn", "grpc", "cv2", "typer", "rich", "multipart", "hypothesis", "skimage"),
    *("torchvision", "pytest_asyncio", "pytest_timeout", "num2words"),
)
BLOCKER = f"""
from functools import partial
from importlib.machinery import PathFinder
plain = PathFinder.find_spec
def find_spec(name, *more):
    return None if name.split(".")[0] in {ABSENT!r} else plain(name, *more)
PathFinder.find_spec = partial(find_spec)  # which is no method wherever it is put
"""


def a_row(name: str, value: float | None = 1.0, **more: Any) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": "s", "digits": 1, "goal": None, "is_met": None, "beside": "", **more}


def says(*lines: dict[str, Any], then: str = "") -> list[str]:
    """A process that says these and then runs `then`."""
    told = "\n".join(json.dumps(line) for line in lines)
    return [sys.executable, "-c", f"import os, sys, time\nprint({told!r}, flush=True)\n{then}"]


def make_gpu(folder: Path, *options: str) -> subprocess.Popen[str]:
    """`make gpu` with a Python that lacks what a machine with a GPU may lack."""
    (folder / "sitecustomize.py").write_text(BLOCKER)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    env |= {"PYTHONPATH": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1"}
    command = ["make", "--no-print-directory", "gpu", f"PYTHON={sys.executable}", *options]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def children(pid: int) -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    return found


def test_the_whole_command_without_ray_and_without_a_gpu(tmp_path: Path) -> None:
    """Tests first, then each row of a tiny model as soon as it is measured, the table, the line of JSON."""
    options = "--device cpu --shape tiny --rows --side 64 --repeats 1 --explanation-tokens 6"
    running = make_gpu(tmp_path, "SECONDS=600", f"ARGS={options}", "PYTEST_OPTIONS=-k read_what_each_would_read_alone")
    lines: list[str] = []
    still_measured = False
    with running:
        for line in running.stdout or ():
            lines.append(line.rstrip("\n"))
            if len([one for one in lines if one.startswith("[")]) == 1 and line.startswith("["):
                still_measured = any("benchmarks.vl.gpu_rows" in one.cmdline() for one in children(running.pid))
    assert running.returncode == 0, "\n".join(lines)
    assert still_measured  # when the first row was told
    names = [f"tiny {name}" for name, _ in (*gpu_rows.ROWS, *gpu_rows.LAST)]
    tested = next(i for i, line in enumerate(lines) if line.startswith("tests/vlm/gpu: exit code 0"))
    assert "1 passed" in "\n".join(lines[:tested])
    rows = [line for line in lines[tested:] if line.startswith("[")]
    assert [any(name in line for line in rows) for name in names] == [True] * len(names)
    table = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| tiny")]
    said = json.loads(lines[-1])
    assert table == [row["name"] for row in said["rows"]] == names
    assert all(row["value"] is not None for row in said["rows"])
    assert (said["bench"], said["left_out"], said["tests"]["exit_code"]) == ("gpu", [], 0)


def test_a_machine_without_a_gpu_is_told_so_and_nothing_runs(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    output, _ = make_gpu(tmp_path).communicate()
    assert "sees no GPU" in output
    assert "tests/vlm/gpu" not in output


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpu.IMPORTS, "pydantic", "no_such_module")
    monkeypatch.setattr("importlib.metadata.version", lambda name: "5.17.0" if name == "transformers" else "99")
    told = gpu.missing("cpu")
    assert told is not None
    assert "lacks pydantic 'transformers>=5.20,<6': install" in told
    monkeypatch.undo()
    assert gpu.missing("cpu") is None


def test_every_row_is_told_before_the_next_is_measured(tmp_path: Path) -> None:
    """The process waits until its first row has been told."""
    told, seen = [], tmp_path / "seen"

    def tell(line: str) -> None:
        told.append(line)
        seen.touch()

    wait = f"while not os.path.exists({str(seen)!r}): time.sleep(0.01)\nprint({json.dumps({'row': a_row('two')})!r})"
    bench = gpu.measured(says({"wanted": ["one", "two"]}, {"row": a_row("one")}, then=wait), 60, tell)
    assert [line.split("]")[1].split()[0] for line in told] == ["one", "two"]
    assert (bench.left_out, bench.exit_code) == ([], 0)


def test_what_had_no_time_is_named_and_its_process_ended(tmp_path: Path) -> None:
    """With all it has started: a compiler has processes of its own."""
    pids = tmp_path / "pids"
    then = (
        "import subprocess\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "print('over', flush=True)\ntime.sleep(600)"
    )
    clock = [0.0]
    command = says({"wanted": ["one", "two", "three"]}, {"row": a_row("one")}, {"begins": "two"}, then=then)
    bench = gpu.measured(command, 99, lambda line: clock.append(100.0) if line == "over" else None, lambda: clock[-1])
    lines = gpu.summary(bench, {"exit_code": 0})
    assert lines[0] == "left out, no time (two was under way): two; three"
    assert json.loads(lines[-1])["left_out"] == ["two", "three"]
    assert gpu.is_good(bench, {"exit_code": 0})
    for pid in pids.read_text().split():
        assert is_gone(int(pid))


def is_gone(pid: int) -> bool:
    """Or about to be: a killed child of a killed parent waits for somebody to reap it."""
    for _ in range(500):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_a_benchmark_that_breaks_off_is_no_lack_of_time() -> None:
    bench = gpu.measured(says({"wanted": ["one"]}, {"begins": "one"}, then="sys.exit(3)"), 60, lambda _: None)
    tests = {"exit_code": 0}
    assert gpu.summary(bench, tests)[0] == "left out, the benchmark ended with code 3 (one was under way): one"
    assert not gpu.is_good(bench, tests)


@pytest.mark.parametrize(
    ("row", "code", "is_good"),
    [
        (a_row("one"), 0, True),
        (a_row("one", goal="1 s", is_met=True), 0, True),
        (a_row("one", goal="1 s", is_met=False), 0, False),
        (a_row("one", None), 0, False),
        (a_row("one"), 1, False),
        (a_row("one"), None, False),
    ],
)
def test_a_failed_test_a_failed_row_and_a_missed_goal_show_in_the_exit_code(
    row: dict[str, Any], code: int | None, is_good: bool
) -> None:
    bench = gpu.measured(says({"row": row}), 60, lambda _: None)
    assert gpu.is_good(bench, {"exit_code": code}) is is_good


def test_a_row_that_fails_leaves_the_others_their_chance() -> None:
    def fails() -> gpu_rows.Row:
        raise RuntimeError("no such kernel\nand more")

    row = gpu_rows.row_of("one", fails)
    assert (row.value, row.beside) == (None, "RuntimeError: no such kernel")


@pytest.mark.parametrize("part", vl_host.PARTS)
def test_every_part_of_the_host_is_found(part: str) -> None:
    for seam in vl_host.PARTS[part]:
        owner, name = vl_host.found(seam)
        assert callable(owner.__dict__[name])


def test_the_hosts_parts_are_counted_once_for_each_picture_row_and_comparison() -> None:
    chance = random.Random(0)
    engine = bench_vl_host.an_engine(vl_models.qwen3_vl("tiny", "cpu"), 4)
    found = bench_vl_host.measured(engine, [bench_vl_host.an_inquiry(96, chance) for _ in range(3)])
    assert found.rows == 22
    assert found.calls["pictures decoded"] == 10
    assert found.calls["pictures to tensors"] == 2 * 10  # made, and sent
    assert found.calls["memory plan"] == 1
    assert found.beside_ms["pictures decoded"] > 0
    assert found.ms["pictures decoded"] == 0
    assert all(found.ms[part] > 0 for part in vl_host.PARTS if part not in ("recordings", "pictures decoded"))
    assert len(found.totals_ms) == 2
    assert sum(found.totals_ms) / 2 == pytest.approx(sum(found.ms.values()))


def test_a_part_within_a_part_belongs_to_that_one_and_other_threads_are_told_apart() -> None:
    watch = vl_host.Watch()
    me = threading.get_ident()
    inner = watch.watched("inner", lambda: sum(range(1000)), me)
    outer = watch.watched("outer", inner, me)
    outer()
    beside = threading.Thread(target=inner)
    beside.start()
    beside.join()
    assert watch.calls == {"outer": 1, "inner": 1}
    assert set(watch.own_s) == {"outer"}
    assert set(watch.beside_s) == {"inner"}
