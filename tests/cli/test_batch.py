"""`pairlens batch` as a person or a script meets it: rows on disk, exit codes, and that it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import Result

from serve_app.core import comparing
from serve_app.core.comparing import CantCompare
from serve_app.errors import Overloaded
from serve_app.local import Here
from serve_app.schema import PairReport
from tests.cli.test_compare import pairlens as run
from tests.worlds.samples import card, encoded

ROOT = Path(__file__).parents[2]


def pairlens(*arguments: object) -> Result:
    return run("batch", *arguments)


def rows(out: Path) -> list[PairReport]:
    return [PairReport.model_validate_json(line) for line in (out / "results.jsonl").read_text().splitlines()]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """before/ and after/: same.png alike, other.png not, gone.png and new.png on one side; where results go."""
    before, after = tmp_path / "before", tmp_path / "after"
    for folder in (before, after):
        folder.mkdir()
        (folder / "same.png").write_bytes(encoded(card()))
    (before / "gone.png").write_bytes(encoded(card()))
    (after / "new.png").write_bytes(encoded(card()))
    (before / "other.png").write_bytes(encoded(card()))
    (after / "other.png").write_bytes(encoded(card("red")))
    return before, after, tmp_path / "out"


def test_two_folders_are_compared_and_shown(folders: tuple[Path, Path, Path]) -> None:
    before, after, out = folders
    result = pairlens(before, after, "--out", out, "--threshold", 1)

    assert result.exit_code == 22
    assert result.stdout.startswith("4 pairs: 1 mismatch, 1 removed, 1 added, 1 match.")
    assert [(row.name, row.outcome) for row in rows(out)] == [
        ("gone.png", "removed"),
        ("new.png", "added"),
        ("other.png", "mismatch"),
        ("same.png", "match"),
    ]
    assert {path.name for path in out.iterdir()} == {
        *("batch.json", "results.jsonl", "results.csv", "junit.xml", "index.html", "reports")
    }


@pytest.mark.parametrize(
    ("keeps", "threshold", "code"), [(("same.png",), 1, 0), (("same.png", "other.png"), 1, 22), (("new.png",), 1, 22)]
)
def test_the_exit_code_is_that_of_the_worst_pair(
    folders: tuple[Path, Path, Path], keeps: tuple[str, ...], threshold: float, code: int
) -> None:
    before, after, out = folders
    for path in (*before.iterdir(), *after.iterdir()):
        if path.name not in keeps:
            path.unlink()
    assert pairlens(before, after, "--out", out, "--threshold", threshold).exit_code == code


def test_strict_makes_any_visible_difference_a_mismatch(folders: tuple[Path, Path, Path]) -> None:
    before, after, out = folders
    for path in (before / "gone.png", after / "new.png"):
        path.unlink()
    assert pairlens(before, after, "--out", out, "--threshold", 0.1).exit_code == 0
    assert pairlens(before, after, "--out", out.with_name("strict"), "--threshold", 0.1, "--strict").exit_code == 22


def test_a_picture_that_cant_be_read_is_a_row_and_the_others_go_on(folders: tuple[Path, Path, Path]) -> None:
    before, after, out = folders
    (after / "same.png").write_bytes(b"no picture")
    result = pairlens(before, after, "--out", out)

    assert result.exit_code == 1
    failed = {row.name: row for row in rows(out)}["same.png"]
    assert (failed.outcome, failed.report) == ("failed", None)
    assert failed.error is not None
    assert (failed.error.type, failed.error.image) == ("unsupported_image_type", "candidate")
    assert len(rows(out)) == 4


def counted(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    compared: list[bytes] = []
    plain = Here.compare

    async def compare(self: Here, reference: bytes, candidate: bytes, config: object) -> object:
        compared.append(candidate)
        return await plain(self, reference, candidate, config)  # type: ignore[arg-type]

    monkeypatch.setattr(Here, "compare", compare)
    return compared


def test_the_same_again_compares_only_what_is_missing_or_has_changed(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after, out = folders
    pairlens(before, after, "--out", out)
    kept = (out / "results.jsonl").read_bytes()
    with (out / "results.jsonl").open("ab") as file:
        file.write(b'{"name": "torn')  # as a kill leaves it
    compared = counted(monkeypatch)
    pairlens(before, after, "--out", out)
    assert (compared, (out / "results.jsonl").read_bytes()) == ([], kept)

    (after / "same.png").write_bytes(encoded(card("green")))
    pairlens(before, after, "--out", out)
    assert compared == [(after / "same.png").read_bytes()]
    assert len(rows(out)) == 4


def test_a_failed_pair_is_tried_again(folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    before, after, out = folders
    good = (after / "same.png").read_bytes()
    (after / "same.png").write_bytes(b"no picture")
    pairlens(before, after, "--out", out)
    (after / "same.png").write_bytes(good)
    compared = counted(monkeypatch)
    pairlens(before, after, "--out", out)

    assert compared == [good]
    assert "failed" not in {row.outcome for row in rows(out)}


def test_results_of_another_question_are_not_mixed(folders: tuple[Path, Path, Path]) -> None:
    before, after, out = folders
    pairlens(before, after, "--out", out)
    result = pairlens(before, after, "--out", out, "--threshold", 0.5)

    assert result.exit_code == 1
    assert "holds results of another config or model" in result.stderr
    assert len(rows(out)) == 4


def test_a_server_that_was_not_there_leaves_the_folder_free(folders: tuple[Path, Path, Path]) -> None:
    before, after, out = folders
    for name in ("gone.png", "other.png"):
        (before / name).unlink()
    for name in ("new.png", "other.png"):
        (after / name).unlink()
    gone = pairlens(before, after, "--out", out, "--server", "http://127.0.0.1:1")
    assert "can't be reached" in gone.stderr
    assert pairlens(before, after, "--out", out).exit_code == 0


def test_a_wrong_list_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("reference,candidate\na.png,b.png\n")
    result = pairlens("--manifest", tmp_path / "pairs.csv", "--out", tmp_path / "out")

    assert result.exit_code == 1
    assert "nothing was compared" in result.stderr
    assert "line 2: the reference 'a.png' does not exist." in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [(), ("before",), ("before", "after", "--manifest", "x.csv")])
def test_either_folders_or_a_list(arguments: tuple[str, ...]) -> None:
    result = pairlens(*arguments)
    assert result.exit_code == 1
    assert "Name two folders, two PDFs, or --manifest" in result.stderr


def test_a_busy_server_is_asked_again_and_given_up_after_five(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after, out = folders
    tries: list[int] = []
    paused: list[float] = []

    async def compare(self: Here, *_: object) -> None:
        tries.append(1)
        raise Overloaded("Busy.", retry_after_s=90)

    async def pause(seconds: float) -> None:
        paused.append(seconds)

    monkeypatch.setattr(Here, "compare", compare)
    monkeypatch.setattr("serve_app.cli.batch.asyncio.sleep", pause)
    assert pairlens(before, after, "--out", out, "--at-once", 1).exit_code == 1
    assert len(tries) == 2 * comparing.TRIES
    assert paused == [comparing.LONGEST_PAUSE_S] * (len(tries) - 2)
    assert {row.error.type for row in rows(out) if row.error} == {"overloaded"}


def test_nobody_to_ask_ends_it_with_one_sentence(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after, out = folders

    async def compare(self: Here, *_: object) -> None:
        raise CantCompare("The server is gone.")

    monkeypatch.setattr(Here, "compare", compare)
    result = pairlens(before, after, "--out", out)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, "pairlens: The server is gone.")


def test_ctrl_c_keeps_what_was_compared(folders: tuple[Path, Path, Path]) -> None:
    before, after, out = folders
    for number in range(400):
        (before / f"{number:03}.png").write_bytes(encoded(card()))
        (after / f"{number:03}.png").write_bytes(encoded(card("red")))
    program = "from serve_app.cli.main import app; app()"
    command = [sys.executable, "-c", program, "batch", str(before), str(after), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as running:
        patience = time.monotonic() + 60
        while time.monotonic() < patience:
            if (out / "results.jsonl").exists() and (out / "results.jsonl").stat().st_size:
                break
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        told, _ = running.communicate(timeout=60)

    assert running.returncode == 130
    kept = (out / "results.jsonl").read_text().splitlines()
    assert 0 < len(kept) < 404
    assert all(json.loads(line) for line in kept)
    assert told.startswith(f"Stopped; {len(kept)} of 404 pairs are kept")
