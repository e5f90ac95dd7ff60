"""What came is told from what went, on grounds that aren't flat: drawn scenes, photographs, gradients."""

from __future__ import annotations

import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from serve_app import measurement
from serve_app.core.pictures import Pixels
from tests.measurement.test_measure import raster
from tests.worlds.pairs import encoded, packaged, screenshot

SCENES = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "draw_pairs.py"))
GROUNDS = {
    "sky over an astronaut's shoulder": (data.astronaut, (300, 40)),
    "fur": (data.chelsea, (60, 200)),
    "wood beside a cup": (data.coffee, (80, 60)),
    "bricks": (lambda: packaged()["brick"], (200, 300)),
    "stars": (data.hubble_deep_field, (400, 300)),
}


def kinds(first: Pixels, second: Pixels) -> list[str]:
    """Of every difference listed; the same when the two change places, come and gone exchanged."""
    found = [each.kind for each in measurement.measure(raster(first), raster(second)).differences]
    back = [each.kind for each in measurement.measure(raster(second), raster(first)).differences]
    exchanged = {"added": "removed", "removed": "added"}
    assert back == [exchanged.get(kind, kind) for kind in found]
    return list(found)


def with_ball(picture: Pixels, at: tuple[int, int], colour: tuple[int, int, int] = (200, 40, 30)) -> Pixels:
    out = picture.copy()
    cv2.circle(out, at, 26, colour, -1, cv2.LINE_AA)
    return out


def with_text(picture: Pixels, at: tuple[int, int], text: str) -> Pixels:
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text(at, text, font=ImageFont.load_default(size=24), fill=(255, 255, 255))
    return np.asarray(image)


def test_the_boat_that_left_the_lake_is_removed() -> None:
    pair = SCENES["scene_pair"]()
    first, second = np.asarray(pair.reference), np.asarray(pair.candidate)
    assert kinds(first, second) == ["removed"]
    assert kinds(encoded(first, 92), encoded(second, 92)) == ["removed"]


@pytest.mark.parametrize("quality", [None, 85])
@pytest.mark.parametrize("ground", list(GROUNDS))
def test_a_thing_put_onto_a_photograph_is_added(ground: str, quality: int | None) -> None:
    picture, at = GROUNDS[ground][0](), GROUNDS[ground][1]
    pair = [picture, with_ball(picture, at)]
    if quality is not None:
        pair = [encoded(each, quality) for each in pair]
    assert kinds(*pair) == ["added"]


def test_text_taken_off_a_gradient_is_removed() -> None:
    ramp = np.linspace((240, 200, 160), (40, 60, 120), 640)[None].repeat(300, axis=0).astype(np.uint8)
    assert kinds(with_text(ramp, (200, 120), "Sale ends today"), ramp) == ["removed"]


def test_a_dialog_over_a_page_is_added() -> None:
    page = screenshot()
    covered = page.copy()
    cv2.rectangle(covered, (180, 120), (460, 280), (235, 235, 235), -1)
    cv2.rectangle(covered, (180, 120), (460, 280), (90, 90, 90), 2)
    assert kinds(page, covered) == ["added"]


@pytest.mark.parametrize("ground", list(GROUNDS))
def test_one_thing_in_the_place_of_another_is_changed(ground: str) -> None:
    picture, at = GROUNDS[ground][0](), GROUNDS[ground][1]
    assert kinds(with_ball(picture, at), with_ball(picture, at, (40, 200, 30))) == ["changed"]
    assert kinds(with_text(picture, at, "open"), with_text(picture, at, "shut")) == ["changed"]


def test_a_flat_spot_on_rough_ground_is_no_bare_ground() -> None:
    grass = packaged()["grass"]
    covered = grass.copy()
    covered[200:250, 200:280] = np.median(grass.reshape(-1, 3), axis=0).astype(np.uint8)
    assert "removed" not in kinds(grass, covered)


def test_a_patch_that_is_only_tinted_on_a_flat_page_is_changed() -> None:
    page = screenshot()
    tinted = page.copy()
    tinted[340:390, 400:600] = (250, 240, 240)
    assert kinds(page, tinted) == ["changed"]
