"""Another light on everything is told once and taken out; what changed besides stands beside it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from serve_app import measurement
from serve_app.comparison.sentences import SENTENCES
from serve_app.core.measured import MeasuredDifference, Measurement, Tone
from serve_app.core.pictures import Box, Pixels
from serve_app.measurement.change import surround
from serve_app.measurement.lighting import light
from serve_app.measurement.lighting.lit import Light, Lit
from serve_app.measurement.tiles import Grid
from tests.measurement.test_measure import assert_lawful, flat, raster
from tests.worlds.copied import words
from tests.worlds.light import lit, scenes
from tests.worlds.pairs import encoded, lettering

SCENES = scenes()
CASES = [
    *(("grey page", "brightness", strength) for strength in (-0.1, 0.05)),
    *(("page", "brightness", strength) for strength in (-0.05, 0.05)),
    ("dark page", "offset", 0.05),
    ("coffee", "brightness", 0.1),
    ("coffee", "gamma", 0.2),
    ("rocket", "contrast", -0.15),
    ("chelsea", "warmth", 0.08),
    ("grey page", "gamma", -0.15),
    ("coffee", "from the left", 0.1),
    ("grey page", "from a corner", 0.1),
    ("astronaut", "from below", 0.2),
    ("grey page", "vignette", 0.1),
]


def measured(first: Pixels, second: Pixels) -> Measurement:
    return measurement.measure(raster(first), raster(second))


def local(found: Measurement) -> list[MeasuredDifference]:
    return [each for each in found.differences if each.tone is None]


def is_tight(box: Box | None, place: Box) -> bool:
    return box is not None and box.overlap(place) >= 0.5 * place.area and box.area <= 4 * place.area


@pytest.mark.parametrize(("name", "kind", "strength"), CASES)
def test_a_change_under_another_light_is_found_by_itself(name: str, kind: str, strength: float) -> None:
    scene = SCENES[name]
    found = measured(scene.picture, lit(scene.changed, kind, strength))
    assert found.tone is not None
    whole = [each for each in found.differences if each.tone is not None]
    assert [each.reference_box for each in whole] == [Box(0, 0, scene.picture.shape[1], scene.picture.shape[0])]
    assert len(local(found)) == 1
    assert is_tight(local(found)[0].reference_box, scene.place)


@pytest.mark.parametrize(("name", "kind", "strength"), CASES)
def test_another_light_alone_is_one_difference_and_lawful(name: str, kind: str, strength: float) -> None:
    scene = SCENES[name]
    found = assert_lawful(scene.picture, lit(scene.picture, kind, strength))
    assert [each.tone for each in found.differences] == [found.tone]


def test_a_photograph_under_another_light_is_read_through_its_jpegs() -> None:
    scene = SCENES["coffee"]
    found = measured(encoded(scene.picture, 90), encoded(lit(scene.changed, "from the left", 0.1), 90))
    assert found.tone is not None
    assert found.tone.gradient == pytest.approx(0.1, abs=0.02)
    assert any(is_tight(each.reference_box, scene.place) for each in local(found))


def test_its_strength_is_what_it_was_lit_by_and_turns_with_the_pair() -> None:
    picture = SCENES["coffee"].picture
    brighter = lit(picture, "offset", 0.06)
    tone, back = measured(picture, brighter).tone, measured(brighter, picture).tone
    assert tone is not None
    assert back is not None
    assert tone.brightness == pytest.approx(0.06, abs=0.01)
    assert (back.brightness, back.contrast, back.gradient) == (-tone.brightness, -tone.contrast, tone.gradient)
    steeper = measured(picture, lit(picture, "contrast", -0.2)).tone
    assert steeper is not None
    assert steeper.contrast == pytest.approx(math.log(0.8), abs=0.05)


def test_what_is_ignored_stays_so_under_another_light() -> None:
    scene = SCENES["grey page"]
    first, second = scene.picture.copy(), lit(scene.picture, "brightness", -0.1)
    for picture in (first, second):
        picture[60:150, 130:300] = 128
    found = measured(first, second)
    assert found.tone is not None
    assert local(found) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lettering(14), lettering(14, weight=1.3)),
        (words("Enter your email", 14, (170,) * 3), words("Enter your email", 14, (120,) * 3)),
        (flat(200, 100, 250), flat(200, 100, 120)),
        (SCENES["page"].picture, SCENES["dark page"].picture),
        (SCENES["coffee"].picture[:400, :451], SCENES["astronaut"].picture[:400, :451]),
    ],
    ids=["bolder letters", "another ink", "one colour and another", "a dark theme", "two photographs"],
)
def test_what_is_no_light_is_not_taken_for_one(first: Pixels, second: Pixels) -> None:
    assert measured(first, second).tone is None


def test_a_tint_of_a_part_is_not_taken_out() -> None:
    page = SCENES["grey page"].picture
    tinted = page.copy()
    tinted[:200] -= 4
    found = measured(page, tinted)
    assert found.tone is None
    assert found.differences


def test_a_picture_is_lit_where_it_is_read_as_it_is_as_a_whole() -> None:
    picture = SCENES["coffee"].picture
    grid = light.relit(Grid(picture, lit(picture, "from the left", 0.2))).grid
    whole = np.concatenate([grid.first[y : y + 100, 0 : grid.width] for y in range(0, grid.height, 100)])
    assert np.array_equal(whole[37:90, 120:333], grid.first[37:90, 120:333])
    assert np.array_equal(whole[40:200:4, 10:50:2], grid.first[40:200:4, 10:50:2])
    assert np.array_equal(whole[11, 5:60], grid.first[11, 5:60])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_is_told_in_words(language: str) -> None:
    say = SENTENCES["zh" if language == "zh" else "en"]
    told = say.light_of(Tone(-0.05, 0.2, 0.1, 0.03))
    assert all(part in told for part in ("5%", "22%", "10%", "3%"))
    assert say.light_of(Tone(0.005, 0.0, 0.0, 0.0)) == say.light.format(what=say.lights["curve"])


@pytest.mark.parametrize("falls_off", [0.0, 0.2])
def test_a_view_of_nothing_of_a_relit_picture_is_empty(falls_off: float) -> None:
    one = np.full((40, 40, 3), 100, np.uint8)
    made = Lit(one, one, Light(np.ones(3), np.ones(3), np.full(3, 0.1), np.full(5, falls_off)))
    assert made[0:0, 0:5].shape == (0, 5, 3)
    assert made[3:9, 7:7].shape == (6, 0, 3)
    assert made[3:9, 7:9].shape == (6, 2, 3)
    for x, y in ((0, 0), (30, 0), (0, 30), (30, 30)):  # beside a box at the edge lies nothing
        assert surround(made, Box(x, y, 10, 10)).shape == (3,)  # type: ignore[arg-type]
