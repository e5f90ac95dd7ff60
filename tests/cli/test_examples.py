"""The example pairs: what truth.json says is what the pictures show."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from PIL import Image, ImageChops

SCRIPT = Path(__file__).parents[2] / "examples" / "draw_pairs.py"
Truth = dict[str, dict[str, str | list[int] | None]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    drawn = tmp_path_factory.mktemp("pairs")
    list(runpy.run_path(str(SCRIPT))["draw_all"](drawn))
    return drawn


@pytest.mark.parametrize("name", ["label", "dashboard", "scene"])
def test_pixels_differ_only_inside_the_true_boxes(folder: Path, name: str) -> None:
    truth: Truth = json.loads((folder / "truth.json").read_text())
    pair = truth[name]
    with Image.open(folder / str(pair["reference"])) as a, Image.open(folder / str(pair["candidate"])) as b:
        difference = ImageChops.difference(a.convert("RGB"), b.convert("RGB"))

    for box in (pair["reference_box"], pair["candidate_box"]):
        if isinstance(box, list):
            x, y, width, height = box
            # JPEG spreads a change over its blocks of 16 pixels.
            margin = 16 if name == "scene" else 0
            difference.paste((0, 0, 0), (x - margin, y - margin, x + width + margin, y + height + margin))
    assert difference.getbbox() is None


def test_drawing_is_deterministic(folder: Path, tmp_path: Path) -> None:
    list(runpy.run_path(str(SCRIPT))["draw_all"](tmp_path))

    again = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert again == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(again) == 7
