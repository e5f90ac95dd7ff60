"""The command line as a person or a script meets it: what is printed where, and the exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partialmethod
from pathlib import Path

import httpx2
import pytest
from PIL import Image, ImageDraw
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner, Result

from serve_app.cli.main import app
from serve_app.client.asynchronous import AsyncClient
from serve_app.schema import ComparisonReport, Envelope, ErrorReport, TextEvidenceReport
from serve_app.views import terminal

ROOT = Path(__file__).parents[2]


def pairlens(*arguments: object) -> Result:
    """The command in this process."""
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.png; b.png with one more square; c.png of another world."""
    folder = tmp_path_factory.mktemp("images")
    image = Image.new("RGB", (320, 240), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((20, 20, 120, 90), fill="navy")
    image.save(folder / "a.png")
    draw.rectangle((200, 150, 240, 190), fill="red")
    image.save(folder / "b.png")
    Image.effect_mandelbrot((320, 240), (-2, -1.5, 1, 1.5), 60).convert("RGB").save(folder / "c.png")
    return folder


@pytest.fixture(scope="module")
def report(images: Path) -> ComparisonReport:
    options = ("--focus", "标志", "--visual", f"overlay={images / 'out.png'}", "--json")
    result = pairlens("compare", images / "a.png", images / "b.png", *options)
    return ComparisonReport.model_validate_json(result.stdout)


def test_same_file_is_a_match(images: Path) -> None:
    result = pairlens("compare", images / "a.png", images / "a.png")

    assert result.exit_code == 0
    assert "MATCH" in result.stdout
    assert "identical, pixel for pixel" in result.stdout


def test_other_picture_is_a_mismatch(images: Path) -> None:
    result = pairlens("compare", images / "a.png", images / "c.png")

    assert result.exit_code == 22
    assert "MISMATCH" in result.stdout


def test_strict_makes_any_visible_difference_a_mismatch(images: Path) -> None:
    files = images / "a.png", images / "b.png"
    assert pairlens("compare", *files, "--threshold", 0.1).exit_code == 0
    assert pairlens("compare", *files, "--threshold", 0.1, "--strict").exit_code == 22
    assert pairlens("compare", files[0], files[0], "--strict").exit_code == 0


def test_threshold_inside_the_interval_is_uncertain(images: Path, report: ComparisonReport) -> None:
    middle = sum(report.similarity_interval) / 2
    result = pairlens("compare", images / "a.png", images / "b.png", "--threshold", middle)

    assert result.exit_code == 23
    assert "UNCERTAIN" in result.stdout


def test_json_is_the_whole_report_and_nothing_else(images: Path) -> None:
    result = pairlens("compare", images / "a.png", images / "b.png", "--json")

    printed = json.loads(result.stdout)
    assert set(printed) == set(ComparisonReport.model_fields)
    assert result.stderr == ""


def test_ignoring_the_difference_is_a_match(images: Path) -> None:
    result = pairlens("compare", images / "a.png", images / "b.png", "--json", "--ignore", "198,148,45,45")

    assert json.loads(result.stdout)["differences"] == []


def test_options_are_laid_over_the_config(images: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"language": "zh", "comparison_aspects": ["color"], "similarity_threshold": 0.1}')
    options = ("--config", config, "--threshold", "0.3", "--aspect", "layout", "--aspect", "texture", "--json")
    printed = json.loads(pairlens("compare", images / "a.png", images / "b.png", *options).stdout)

    assert printed["similarity_threshold"] == 0.3
    assert [aspect["name"] for aspect in printed["aspects"]] == ["layout", "texture"]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in printed["summary"])


def test_text_is_asked_for_or_not(images: Path) -> None:
    asked = ("compare", images / "a.png", images / "b.png", "--json")
    ids = {
        json.loads(pairlens(*asked, *options).stdout)["report_id"]
        for options in ((), ("--no-read-text",), ("--text-changes", "mismatch"))
    }
    assert len(ids) == 3
    same = ("--read-text", "--text-changes", "report")
    assert json.loads(pairlens(*asked, *same).stdout)["report_id"] in ids
    assert "text_changes" in pairlens(*asked, "--text-changes", "never").stderr


def test_visual_is_saved(images: Path, report: ComparisonReport) -> None:
    assert [picture.kind for picture in report.visuals] == ["overlay"]
    with Image.open(images / "out.png") as overlay:
        assert overlay.format == "PNG"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a.png", "none.png"), "does not exist"),
        (("a.png", "."), "is a folder, not an image"),
        (("a.png", "words.png"), "The candidate image"),
        (("a.png", "b.png", "--threshold", "3"), "similarity_threshold"),
        (("a.png", "b.png", "--config", '{"nonsense": 1}'), "nonsense"),
        (("a.png", "b.png", "--config", "{"), "not valid JSON"),
        (("a.png", "b.png", "--config", "none.json"), "does not exist"),
        (("a.png", "b.png", "--ignore", "1,2"), "X,Y,WIDTH,HEIGHT"),
        (("a.png", "b.png", "--visual", "overlay"), "KIND=FILE.png"),
        (("a.png", "b.png", "--language", "fr"), "language"),
        (("a.png", "b.png", "--server", "http://127.0.0.1:1"), "can't be reached"),
        (("a.png", "b.png", "--server", "nonsense"), "is no URL of a server"),
        (("a.png", "b.png", "--server", "http://127.0.0.1:1", "--model", "x"), "--model is for comparing here"),
    ],
)
def test_failure_is_one_sentence_and_exit_code_1(
    images: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], sentence: str
) -> None:
    (images / "words.png").write_text("no image")
    monkeypatch.chdir(images)
    result = pairlens("compare", *arguments)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("pairlens: ")
    assert len(result.stderr.splitlines()) == 1
    assert sentence in result.stderr


# Seconds for Ray and torch; httpx2 with rich 40 ms, FastAPI 100.
HEAVY = ("ray", "torch", "transformers", "fastapi", "httpx2", "rich")


def test_comparing_here_imports_nothing_heavy_that_it_does_not_use(images: Path) -> None:
    script = (
        f"import sys; from serve_app.cli.main import app; HEAVY = {HEAVY}\n"
        f"try: app(['compare', {str(images / 'a.png')!r}, {str(images / 'b.png')!r}, '--json'])\n"
        "finally: print([name for name in HEAVY if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)

    assert done.stderr.strip() == "[]"


def test_asking_a_server_imports_no_numpy(images: Path) -> None:
    script = (
        "import sys; from serve_app.cli.main import app\n"
        f"try: app(['compare', {str(images / 'a.png')!r}, {str(images / 'b.png')!r}, '--server', 'http://127.0.0.1:1'])\n"
        "finally: print([name for name in ('numpy', 'cv2') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)

    assert done.stderr.startswith("pairlens: http://127.0.0.1:1 can't be reached: ")
    assert done.stderr.rstrip().endswith("[]")


def test_a_servers_refusal_is_a_sentence_with_its_request_id(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ErrorReport(type="overloaded", detail="The queue for the model is full.")
    envelope = Envelope[ComparisonReport](code=503, msg="busy", data=None, error=error, request_id="r-7")
    refused = httpx2.MockTransport(lambda request: httpx2.Response(503, content=envelope.model_dump_json()))
    monkeypatch.setattr(AsyncClient, "__init__", partialmethod(AsyncClient.__init__, transport=refused))
    result = pairlens("compare", images / "a.png", images / "b.png", "--server", "http://host")

    assert result.exit_code == 1
    assert result.stderr == "pairlens: The queue for the model is full. (503 overloaded, request r-7)\n"


@pytest.mark.parametrize("width", [30, 80, 200])
def test_report_fits_the_terminal(report: ComparisonReport, width: int) -> None:
    console = Console(width=width, record=True, color_system=None)
    with console.capture() as capture:
        terminal.show(report, console)

    text = capture.get()
    assert "标志" in text
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= width


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("length", [5, 30, 90])
def test_no_word_of_a_report_is_cut_off(report: ComparisonReport, width: int, length: int) -> None:
    words = tuple(f"word{number}" for number in range(length // 5))
    told = " ".join(words)
    shown = report.model_copy(
        update={
            "summary": told,
            "warnings": (told,),
            "differences": tuple(each.model_copy(update={"description": told}) for each in report.differences),
            "aspects": tuple(each.model_copy(update={"name": told, "explanation": told}) for each in report.aspects),
        }
    )
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        terminal.show(shown, console)
    said = 2 + len(report.differences) + 2 * len(report.aspects)
    found = capture.get().split()
    assert {word: found.count(word) for word in words} == dict.fromkeys(words, said)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_text_that_was_read_is_told_whole(report: ComparisonReport, width: int) -> None:
    line = "".join(f"{number:03}" for number in range(66)) + "…"
    told = f'Text changed from "{line}" to "{line[::-1]}".'
    text = TextEvidenceReport(status="read", lines=7, engine="opencv", model="PP-OCRv6-small", version="1")
    shown = report.model_copy(
        update={
            "differences": tuple(each.model_copy(update={"description": told}) for each in report.differences),
            "measurement": report.measurement.model_copy(update={"text": text}),
            "timings_ms": report.timings_ms.model_copy(update={"read": 12.6}),
        }
    )
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        terminal.show(shown, console)
    assert max(map(cell_len, capture.get().splitlines())) <= width
    flat = "".join(capture.get().split())
    assert flat.count(line) == flat.count(line[::-1]) == len(report.differences)
    assert "7linesread(PP-OCRv6-small,opencv)" in flat
    assert "read13" in flat


def test_a_missing_reader_is_told_with_its_cure(report: ComparisonReport) -> None:
    for status, said in {
        "not_installed": "pip install 'pairlens[text]'",
        "timed_out": "not read in time",
        "nothing_to_read": "none found",
    }.items():
        text = TextEvidenceReport.model_validate({"status": status})
        measured = report.measurement.model_copy(update={"text": text})
        console = Console(width=120, color_system=None)
        with console.capture() as capture:
            terminal.show(report.model_copy(update={"measurement": measured}), console)
        assert said in capture.get()


def test_text_of_others_cannot_steer_the_terminal(report: ComparisonReport) -> None:
    hostile = report.model_copy(update={"summary": "\x1b]0;owned\x07\x1b[2J", "warnings": ("\x1b[31m",)})
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        terminal.show(hostile, console)

    assert "\x1b" not in capture.get()
    assert "\x07" not in capture.get()


def test_version_is_printed() -> None:
    assert pairlens("version").stdout.startswith("pairlens 0.")


def test_wrong_serve_config_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text("aplications: []\nhttp_options: {host: 127.0.0.1}\n")
    command = [sys.executable, "-c", "from serve_app.cli.main import app; app()", "serve", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)

    assert done.returncode == 1
    assert "`aplications` is not a setting. Did you mean `applications`?" in done.stderr
    assert "Traceback" not in done.stderr


def test_size_says_what_to_run_and_what_it_costs() -> None:
    result = pairlens("size", "--per-day", 172_800, "--model-s", 1, "--cpu-s", 0.2, "--deadline", 5, "--gpu-price", 3)

    assert result.exit_code == 0
    assert "2 comparisons/s on average, 6/s at the peak" in result.stdout
    assert "8 of VLModel at the peak and 1 spare: 9 GPUs" in result.stdout
    assert "19,710 a month" in result.stdout


@pytest.mark.parametrize(
    ("load", "why"),
    [((), "Say the load"), (("--per-second", 1, "--deadline", 0.5), "no number of replicas helps")],
)
def test_size_without_an_answer_is_one_sentence(load: tuple[object, ...], why: str) -> None:
    result = pairlens("size", "--model-s", 1, "--cpu-s", 0.2, *load)

    assert result.exit_code == 1
    assert why in result.stderr
