"""`pairlens eval` and `calibrate` as a person or a script meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import Result

from serve_app.schema import ComparisonReport
from serve_app.storage import profiles
from tests.cli.test_compare import pairlens
from tests.evaluation.labelled import write

ROOT = Path(__file__).parents[2]
OFF = ("--config", '{"read_text": false}')


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-five pairs, their CSV, and what was kept of them."""
    return write(tmp_path_factory.mktemp("labelled"), 25)


@pytest.fixture
def here(world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(world.parent)
    monkeypatch.setenv("COLUMNS", "80")
    return world


def evaluated(world: Path, *options: object) -> Result:
    return pairlens("eval", world, *OFF, *options)


def test_tables_fit_eighty_columns_and_say_how_sure_they_are(here: Path) -> None:
    result = evaluated(here)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "25 of 25 pairs answered by none; measurement" in result.stdout
    for word in ("Verdicts at similarity_threshold 0.8", "By kind", "AUC", "Reliability", "Orders", "Wrong"):
        assert word in result.stdout
    assert "Only 10 pairs are labelled match: too few to tell much" in result.stdout
    assert "25 of 25 pairs" in result.stderr


def test_json_is_json_and_has_every_figure(here: Path) -> None:
    told = json.loads(evaluated(here, "--json", "--precision", "0.9").stdout)
    assert told["labels"] == {"match": 10, "mismatch": 15}
    assert told["goal"] == {"precision": 0.9, "recall": None}
    assert told["chosen"]["counted"]["precision"]["share"] >= 0.9
    assert {each["name"] for each in told["aspects"]} == {"color", "layout", "content", "style"}
    assert set(told["kinds"]) == {"copy", "lossy", "edit", "tint", "moved"}
    points = told["scores"]["similarity"]["points"]
    assert points[0][:2] == [0.0, 0.0]
    assert points[-1][:2] == [1.0, 1.0]
    assert sum(each["match"]["of"] for each in told["reliability"]) == 25


def test_plots_are_pictures(here: Path, tmp_path: Path) -> None:
    assert evaluated(here, "--plots", tmp_path / "plots").exit_code == 0
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "roc.png",
        "precision_recall.png",
        "reliability.png",
    }
    with Image.open(tmp_path / "plots/roc.png") as image:
        blue = [pixel for pixel in image.convert("RGB").get_flattened_data() if pixel == (31, 111, 235)]
    assert len(blue) > 300, "the curve of similarity is drawn"


def test_a_wrong_list_is_told_whole_and_nothing_is_run(here: Path, tmp_path: Path) -> None:
    text = here.read_text().replace("label,kind", "label,sort").replace("0003.candidate.png", "gone.png")
    wrong = here.with_name("wrong.csv")
    wrong.write_text(text)
    result = evaluated(wrong, "--results", tmp_path / "kept.jsonl")
    assert result.exit_code == 1
    assert "nothing was compared" in result.stderr
    assert "line 1: 'sort' is no column" in result.stderr
    assert "line 5: the candidate 'gone.png' does not exist." in result.stderr
    assert not (tmp_path / "kept.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--precision", "0.9", "--recall", "0.9"), "Name --precision or --recall, not both."),
        (("--server", "http://127.0.0.1:9", "--model", "x"), "--model is for comparing here"),
        (("--profile", "none.yaml"), "none.yaml can't be read: No such file or directory."),
        (("--server", "http://127.0.0.1:9", "--results", "far.jsonl"), "can't be reached"),
        (("--html", "none/out.html"), "none/out.html can't be written: none is no folder."),
    ],
)
def test_what_can_not_be_done_is_one_sentence(here: Path, options: tuple[str, ...], said: str) -> None:
    result = evaluated(here, *options)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_calibrate_writes_a_profile_that_compare_batch_and_eval_take(here: Path, tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    result = pairlens("calibrate", here, *OFF, "--name", "shop", "--precision", "0.9", "--save", path)
    assert result.exit_code == 0, result.output
    assert f"Saved {path}" in result.stdout
    profile = profiles.read(path)
    assert profile.similarity_threshold is not None
    assert profile.similarity_threshold > 0.9
    assert profile.made["labelled_mismatch"] == 15
    assert profile.made["engine"] == "none"
    assert profile.made["goal"] == "precision of at least 0.9"
    assert 0.7 < float(profile.made["precision_low"] or 0) < 1

    missed = json.loads(evaluated(here, "--json").stdout)["wrong"][0]
    assert missed["label"] == "mismatch"
    pair = Path(missed["reference"]), Path(missed["candidate"])
    plain, by_profile, beside = (
        ComparisonReport.model_validate_json(pairlens("compare", *pair, "--json", *options).stdout)
        for options in ((), ("--profile", path), ("--profile", path, "--threshold", "0.5"))
    )
    assert (plain.verdict, by_profile.verdict, beside.verdict) == ("match", "mismatch", "match")
    assert by_profile.similarity_threshold == profile.similarity_threshold
    again = json.loads(evaluated(here, "--profile", path, "--json").stdout)
    assert again["similarity_thresholds"] == [profile.similarity_threshold]
    assert again["misses"]["count"] == 0
    one = tmp_path / "one.csv"
    for side, file in zip("ab", pair, strict=True):
        (tmp_path / f"{side}.png").write_bytes(file.read_bytes())
    one.write_text("reference,candidate\na.png,b.png\n")
    batch = pairlens("batch", "--manifest", one, "--out", tmp_path / "out", "--profile", path)
    assert batch.exit_code == 22, batch.output


def test_calibrate_on_one_label_writes_nothing(here: Path, tmp_path: Path) -> None:
    lines = here.read_text().splitlines()
    only = here.with_name("only.csv")
    only.write_text("\n".join([lines[0], *(line for line in lines[1:] if ",match," in line)]) + "\n")
    result = pairlens("calibrate", only, *OFF, "--name", "shop", "--save", tmp_path / "shop.yaml")
    assert result.exit_code == 1
    assert "No pair that was answered is labelled mismatch" in result.stderr
    assert not (tmp_path / "shop.yaml").exists()


def test_calibrate_refuses_a_file_of_another_name_before_anything_is_compared(here: Path, tmp_path: Path) -> None:
    for options in (("--name", "shop", "--save", tmp_path / "print.yaml"), ("--name", "two words")):
        result = pairlens("calibrate", here, *options, "--results", tmp_path / "kept.jsonl")
        assert result.exit_code == 1
        assert "name" in result.stderr
    assert not (tmp_path / "kept.jsonl").exists()


def test_ctrl_c_keeps_what_was_done_and_the_same_command_goes_on(tmp_path: Path) -> None:
    world = write(tmp_path / "labelled", 40)
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a background job ignores it
    program = f"{heard}; from serve_app.cli.main import app; app()"
    command = [sys.executable, "-c", program, "eval", str(world), *OFF]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stderr is not None
    running.stderr.readline()  # the first tenth is done
    running.send_signal(signal.SIGINT)
    told, _ = running.communicate(timeout=60)
    assert running.returncode == 130, told
    assert "the same command goes on from there" in told
    kept = (tmp_path / "pairs.results.jsonl").read_text().splitlines()
    assert 1 <= len(kept) < 40
    again = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "40 of 40 pairs answered" in again.stdout
    after = (tmp_path / "pairs.results.jsonl").read_text().splitlines()
    assert after[: len(kept)] == kept
    assert len(after) == 40
