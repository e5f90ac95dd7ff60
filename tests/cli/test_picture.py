"""The pair in a terminal that can show pictures: what is sent to it is decoded, and is the pair with its boxes."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw
from rich.cells import cell_len
from rich.console import Console

from pairlens import compare
from serve_app.cli import picture as pictures
from serve_app.cli.compare import Screen
from serve_app.schema import ComparisonReport, ImageComparisonConfig
from serve_app.views import terminal_graphics, terminal_picture
from serve_app.views.terminal_graphics import Place, Protocol, sent, spoken
from serve_app.views.terminal_picture import COLOURS, GAP_PX
from tests.cli.test_compare import pairlens
from tests.rigs import terminal

ROOT = Path(__file__).parents[2]
PROGRAM = "import sys; sys.argv[0] = 'pairlens'; from serve_app.cli.main import app; app()"
SIZE = (320, 240)
SQUARE = (200, 150, 41, 41)  # in the candidate alone
CELL = (10, 20)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((20, 20, 120, 90), fill="navy")
    image.save(folder / "a.png")
    draw.rectangle((200, 150, 240, 190), fill="red")
    image.save(folder / "b.png")
    return folder / "a.png", folder / "b.png"


@pytest.fixture(scope="module")
def report(pair: tuple[Path, Path]) -> ComparisonReport:
    return compare(*pair, terminal_picture.wanted(ImageComparisonConfig()))


def shown(
    report: ComparisonReport,
    says: Mapping[str, str],
    option: str = "auto",
    *,
    cells: tuple[int, int] = (80, 24),
    px: tuple[int, int] = CELL,
    encoding: str = "utf-8",
) -> str:
    """What a terminal that `says` so gets."""
    with terminal.opened(cells, px) as (theirs, told):
        file = os.fdopen(os.dup(theirs), "w", encoding=encoding, errors="replace")
        console = Console(file=file, _environ=says, width=cells[0], height=cells[1])
        Screen(console, pictures.way(option, says, console)).show(report)
        file.close()
    assert "similarity" in told()
    return told()


def is_like_the_pair(shown: Image.Image, pair: tuple[Path, Path], *, off: float = 2.0, gap: int = GAP_PX) -> None:
    """Both pictures beside one another, but for a box around the square in each."""
    width = (shown.width - gap) // 2
    share = width / SIZE[0]
    for number, path in enumerate(pair):
        left = number * (width + gap)
        panel = shown.crop((left, 0, left + width, shown.height))
        with Image.open(path) as opened:
            plain = opened.convert("RGB").resize(panel.size, Image.Resampling.LANCZOS)
        x, y, wide, high = (round(side * share) for side in SQUARE)
        margin = 24 if gap == GAP_PX else 2
        around = (x - margin, y - margin, x + wide + margin, y + high + margin)
        difference = ImageChops.difference(panel, plain)
        found = np.asarray(difference.crop(around), np.float32).mean()
        difference.paste((0, 0, 0), around)
        assert np.asarray(difference, np.float32).mean() < off
        assert found > 4  # a box is there, on the side that has no square too


def has_colour(image: Image.Image, colour: tuple[int, int, int], off: int) -> bool:
    return bool((np.abs(np.asarray(image, np.int32) - colour).max(axis=2) <= off).any())


@pytest.mark.parametrize(
    ("says", "decode", "off"),
    [
        ({"TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1"}, terminal.kitty, 2),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, terminal.iterm2, 2),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, terminal.iterm2, 2),
        ({"TERM": "foot"}, lambda told: (terminal.sixel(told), None), 12),
    ],
)
def test_the_pair_with_its_boxes_is_what_the_terminal_gets(
    report: ComparisonReport,
    pair: tuple[Path, Path],
    says: Mapping[str, str],
    decode: Callable[[str], Any],
    off: int,
) -> None:
    image, _ = decode(shown(report, says))
    assert image.width <= 79 * CELL[0]
    assert image.height <= 16 * CELL[1]  # two thirds of the rows: the headline stays in sight
    is_like_the_pair(image, pair, off=off)
    assert has_colour(image, COLOURS["added"], off)


def test_the_command_shows_it_in_a_real_terminal_and_json_shows_none(pair: tuple[Path, Path]) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(pair[0].parent),
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm-kitty",
    }
    command = [sys.executable, "-c", PROGRAM, "compare", *map(str, pair)]
    code, told = terminal.run(command, environment, cells=(80, 24), cell_px=CELL)
    assert code == 22, told
    is_like_the_pair(terminal.kitty(told)[0], pair)
    code, told = terminal.run([*command, "--json", "--picture", "kitty"], environment, cells=(80, 24), cell_px=CELL)
    assert (code, json.loads(told)["visuals"]) == (22, [])


def test_a_cell_is_what_the_terminal_says_and_else_small(report: ComparisonReport) -> None:
    says = {"TERM": "xterm-kitty"}
    image, keys = terminal.kitty(shown(report, says))
    assert (int(keys["c"]) * 10 - image.width, int(keys["r"]) * 20 - image.height) < (10, 20)
    image, keys = terminal.kitty(shown(report, says, px=(0, 0), cells=(40, 24)))
    assert image.width <= 39 * 8
    assert int(keys["c"]) <= 39


def test_colour_and_width_are_enough_for_half_blocks(report: ComparisonReport, pair: tuple[Path, Path]) -> None:
    says = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    image = terminal.blocks(shown(report, says))
    assert image.width <= 79
    assert image.height <= 32
    is_like_the_pair(image, pair, off=10, gap=2)
    assert "▀" not in shown(report, says, cells=(50, 24))  # a smear


@pytest.mark.parametrize("wide", [40, 80])
@pytest.mark.parametrize("term", ["xterm-kitty", "foot", "xterm-256color"])
def test_no_line_is_wider_than_the_terminal(report: ComparisonReport, wide: int, term: str) -> None:
    told = shown(report, {"TERM": term}, cells=(wide, 24))
    text = re.sub(r"\x1b_G.*?\x1b\\|\x1bP.*?\x1b\\|\x1b\[[\d;?]*[a-zA-Z]", "", told, flags=re.DOTALL)
    assert max(cell_len(line) for line in text.split("\n")) <= wide


@pytest.mark.parametrize(
    ("option", "says", "encoding"),
    [
        ("auto", {"TERM": "xterm-kitty", "NO_COLOR": "1"}, "utf-8"),
        ("auto", {"TERM": "xterm-256color", "NO_COLOR": "1"}, "utf-8"),
        ("blocks", {"TERM": "xterm-256color", "NO_COLOR": "1"}, "utf-8"),
        ("never", {"TERM": "xterm-kitty"}, "utf-8"),
        ("auto", {"TERM": "dumb", "TERM_PROGRAM": "iTerm.app"}, "utf-8"),
        ("auto", {"TERM": "xterm"}, "utf-8"),  # sixteen colours
        ("auto", {"TERM": "xterm-256color"}, "ascii"),
    ],
)
def test_no_picture_where_none_is_wanted_or_can_be(
    report: ComparisonReport, option: str, says: Mapping[str, str], encoding: str
) -> None:
    told = shown(report, says, option, encoding=encoding)
    assert "▀" not in told
    assert not re.search(r"\x1b[_P\]]", told)
    assert "data:image" not in told


def test_a_way_that_is_named_is_taken_without_colour_too(report: ComparisonReport, pair: tuple[Path, Path]) -> None:
    told = shown(report, {"TERM": "xterm-256color", "NO_COLOR": "1"}, "sixel")
    is_like_the_pair(terminal.sixel(told), pair, off=12)


def test_a_pipe_gets_no_picture_even_by_name(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-kitty")
    told = pairlens("compare", *pair, "--picture", "kitty")
    assert (told.exit_code, "\x1b_G" in told.stdout, "▀" in told.stdout) == (22, False, False)


def test_another_way_is_one_sentence(pair: tuple[Path, Path]) -> None:
    told = pairlens("compare", *pair, "--picture", "ascii")
    assert told.exit_code == 1
    assert told.stderr == "pairlens: --picture is one of auto, never, kitty, iterm2, sixel, blocks, not 'ascii'.\n"


@pytest.mark.parametrize(
    ("says", "protocol"),
    [
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "3"}, "kitty"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "mintty"}, "iterm2"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "230804"}, "sixel"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "210400"}, None),
        ({"TERM": "mlterm"}, "sixel"),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "tmux", "KITTY_WINDOW_ID": "3"}, None),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/1"}, None),
        ({"TERM": "screen", "STY": "1.pts", "LC_TERMINAL": "iTerm2"}, None),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, None),
        ({}, None),
    ],
)
def test_a_terminal_is_known_by_what_it_says(says: Mapping[str, str], protocol: Protocol | None) -> None:
    assert spoken(says) == protocol


@pytest.mark.parametrize("protocol", ["kitty", "iterm2", "sixel"])
def test_what_is_sent_has_a_bound(protocol: Protocol, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (200, 400, 3), np.uint8))
    whole = sent(noise, protocol, Place(80, 24, CELL))
    monkeypatch.setattr(terminal_graphics, "MOST_BYTES", len(whole) // 3)
    assert len(sent(noise, protocol, Place(80, 24, CELL))) <= len(whole) // 3 + 1


def test_sixel_is_decoded_to_what_it_was_made_of() -> None:
    image = Image.new("RGB", (37, 20), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    draw.rectangle((3, 2, 17, 8), fill=(255, 0, 0))
    draw.line((0, 19, 36, 0), fill=(0, 0, 255))
    assert terminal.sixel(sent(image, "sixel", Place(80, 24, CELL))).tobytes() == image.tobytes()
