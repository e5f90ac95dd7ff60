"""What became of the text of a measured pair, by the real networks on drawn pages."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from serve_app import ocr
from serve_app.core.clock import Deadline, Stop
from serve_app.core.laid import Laid, Spot
from serve_app.core.pictures import MASK_GREY, Box, Pixels
from tests.ocr.drawn import PAGE, changed, found, picture, raster, reader, said


def test_a_changed_word_is_said_with_both_lines_and_the_same_from_either_side() -> None:
    one, two = picture(), picture(changed("14.99", "12.99"))
    assert said(one, two) == [("changed", "Price $14.99 each", "Price $12.99 each")]
    assert said(two, one) == [("changed", "Price $12.99 each", "Price $14.99 each")]
    read, is_turned = found(raster(one), raster(two))
    (change,) = read.changes[0]
    words = (change.reference_word, change.candidate_word)
    assert words == (("$12.99", "$14.99") if is_turned else ("$14.99", "$12.99"))
    assert change.confidence > 0.9
    assert read.is_complete


def test_each_difference_gets_the_words_that_changed_in_it() -> None:
    line = (40, 110, 24, "Size 14 costs $30.00 now")
    one, two = picture([line]), picture(changed("14", "18", changed("30", "70", [line])))
    read, is_turned = found(raster(one), raster(two))
    words = [(each.reference_word, each.candidate_word) for changes in read.changes for each in changes]
    expected = [("$30.00", "$70.00"), ("14", "18")]
    assert sorted(words) == sorted(expected if not is_turned else [(new, old) for old, new in expected])
    assert {each.reference for changes in read.changes for each in changes} == {
        "Size 18 costs $70.00 now" if is_turned else "Size 14 costs $30.00 now"
    }


def test_a_line_that_came_or_went_is_said() -> None:
    one, two = picture(), picture([line for line in PAGE if "LOT" not in line[3]])
    assert said(one, two) == [("removed", "LOT A9914", None)]
    assert said(two, one) == [("added", None, "LOT A9914")]


@pytest.mark.parametrize("to", [(260, 170), (70, 170), (40, 262)])
def test_a_line_that_moved_is_said_also_where_its_places_overlap(to: tuple[int, int]) -> None:
    two = picture([(*to, *line[2:]) if "LOT" in line[3] else line for line in PAGE])
    assert set(said(picture(), two)) == {("moved", "LOT A9914", "LOT A9914")}


def test_a_row_that_pushed_the_others_down_is_said_alone() -> None:
    rows = [(30, 20 + 34 * i, 20, text) for i, text in enumerate(["Alpha 12", "Bravo 34", "Delta 56", "Echo 78"])]
    more = [(30, 20 + 34 * i, 20, text) for i, text in enumerate(
        ["Alpha 12", "Bravo 34", "Charlie 99", "Delta 56", "Echo 78"]
    )]  # fmt: skip
    assert said(picture(rows, (300, 240)), picture(more, (300, 240))) == [("added", None, "Charlie 99")]


def test_letters_in_another_colour_are_the_same_words() -> None:
    one = picture()
    two = one.copy()
    two[100:145][(two[100:145] < 128).all(axis=2)] = (200, 0, 0)
    assert said(one, two) == [("same", "Price $14.99 each", "Price $14.99 each")]


def test_nothing_is_said_where_no_word_changed() -> None:
    one = picture()
    two = one.copy()
    two[180:220, 300:420] = (30, 120, 200)  # a box where nothing was
    yy, xx = np.mgrid[:300, :480]
    ring = np.abs(np.hypot(xx - 400, yy - 60) - 18) < 2.5  # reads as an O
    two[ring] = 0
    assert said(one, two) == []


@pytest.mark.parametrize("way", ["turned", "twice", "jpeg", "dark"])
def test_a_changed_word_is_found_in_other_copies(way: str) -> None:
    ground = "black" if way == "dark" else "white"
    one, two = picture(ground=ground), picture(changed("14.99", "12.99"), ground=ground)
    assert ("changed", "Price $14.99 each", "Price $12.99 each") in said(one, _copied(two, way))
    kinds = {kind for kind, _, _ in said(one, _copied(one, way))} if way != "dark" else set()
    assert not kinds - {"same"}


def _copied(pixels: Pixels, way: str) -> Pixels:
    image = Image.fromarray(pixels)
    if way == "turned":
        return np.asarray(image.rotate(2, Image.Resampling.BICUBIC, fillcolor="white"))
    if way == "twice":
        return np.asarray(image.resize((image.width * 2, image.height * 2), Image.Resampling.BICUBIC))
    if way == "jpeg":
        held = io.BytesIO()
        image.save(held, "JPEG", quality=60)
        return np.asarray(Image.open(held))
    return pixels


def test_white_letters_on_nothing_are_read_on_black() -> None:
    def stamped(text: str) -> tuple[Pixels, Pixels]:
        alpha = 255 - picture([(40, 40, 28, text)], (400, 120))[:, :, 0]
        return np.full((120, 400, 3), 255, np.uint8), alpha

    one, two = (raster(*stamped(text)) for text in ("Total 20", "Total 70"))
    read, _ = found(one, two)
    assert [each.kind for changes in read.changes for each in changes] == ["changed"]


def test_what_is_grey_in_both_is_not_read() -> None:
    one, two = picture(), picture(changed("14.99", "12.99", changed("A9914", "B7714")))
    for pixels in (one := one.copy(), two := two.copy()):
        pixels[160:200] = MASK_GREY
    read, _ = found(raster(one), raster(two), whole=True)
    assert len(read.changes) == 1
    texts = [line.text for side in read.read for line in side]
    assert not any("LOT" in text for text in texts)


def test_all_lines_are_read_where_they_are_asked_for_and_in_their_places() -> None:
    read, is_turned = found(raster(picture()), raster(picture(changed("14.99", "12.99"))), whole=True)
    first, second = read.read[::-1] if is_turned else read.read
    assert [line.text for line in sorted(first, key=lambda line: line.box.y)] == [line[3] for line in PAGE]
    assert "Price $12.99 each" in {line.text for line in second}
    (price,) = (line for line in first if "Price" in line.text)
    assert price.box.fit(Box(41, 113, 190, 24)) > 0.6
    assert read.unchanged is not None
    assert 0.95 < read.unchanged < 1


def test_lines_that_stayed_are_not_gone_where_the_picture_was_laid_along_what_moved() -> None:
    """Most of the picture went with the block: what is written in the frame is where it was."""
    block = np.random.default_rng(2).integers(0, 2, (260, 300, 1)).astype(np.uint8).repeat(3, 2) * 255
    rows = [(20, 14 + 19 * i, 15, f"Ingredients {i}: water, sugar") for i in range(3)]

    def page(x: int, y: int) -> Pixels:
        pixels = picture(rows, (640, 480)).copy()
        pixels[y : y + 260, x : x + 300] = block
        return pixels

    kinds = {kind for kind, _, _ in said(page(90, 90), page(250, 180))}
    assert not kinds - {"moved"}


def test_a_line_that_moved_is_the_same_line_to_the_aspect() -> None:
    two = picture([(260, 170, *line[2:]) if "LOT" in line[3] else line for line in PAGE])
    read, _ = found(raster(picture()), raster(two), whole=True)
    assert read.unchanged == 1.0
    gone = picture([line for line in PAGE if "LOT" not in line[3]])
    read, _ = found(raster(picture()), raster(gone), whole=True)
    letters = sum(len(line[3].replace(" ", "")) for line in PAGE)
    assert read.unchanged == pytest.approx(1 - len("LOTA9914") / letters, abs=0.001)


def test_only_what_is_asked_for_is_read() -> None:
    read, _ = found(raster(picture()), raster(picture(changed("14.99", "12.99"))))
    assert read.read == ((), ())
    assert read.unchanged is None
    assert read.num_lines == 1


def test_reading_ends_when_the_time_is_over() -> None:
    read, _ = found(raster(picture()), raster(picture(changed("14.99", "12.99"))), whole=True, time_s=0.0)
    assert not read.is_complete
    assert read.num_lines == 0
    assert read.unchanged is None


def test_a_row_that_is_gone_pulls_the_others_up_and_is_said_alone() -> None:
    rows = [(30, 20 + 34 * i, 20, text) for i, text in enumerate(["Alpha 12", "Bravo 34", "Delta 56", "Echo 78"])]
    less = [(30, 20 + 34 * i, 20, text) for i, text in enumerate(["Alpha 12", "Delta 56", "Echo 78"])]
    one, two = picture(rows, (300, 240)), picture(less, (300, 240))
    assert ("removed", "Bravo 34", None) in said(one, two)
    assert {kind for kind, _, _ in said(one, two)} <= {"removed", "moved"}


def test_a_row_that_came_without_letters_says_nothing() -> None:
    one = picture([(30, 20, 20, "Alpha 12"), (30, 60, 20, "Delta 56"), (30, 100, 20, "Echo 78")], (300, 240))
    two = np.concatenate([one[:55], np.full((40, 300, 3), 255, np.uint8), one[55:200]])
    two[60:88, 30:58] = (200, 30, 30)  # a mark, in rows that are new
    assert not {kind for kind, _, _ in said(one, two)} - {"moved"}


def test_another_text_in_the_slot_of_one_is_a_change_and_elsewhere_one_goes_and_one_comes() -> None:
    one = picture([(40, 60, 26, "Save")], (400, 160))
    assert said(one, picture([(40, 60, 26, "Quit")], (400, 160))) == [("changed", "Save", "Quit")]
    elsewhere = said(one, picture([(170, 96, 40, "Cow shed")], (400, 160)))
    assert ("removed", "Save", None) in elsewhere
    assert ("added", None, "Cow shed") in elsewhere


def test_a_letter_more_at_the_end_is_said_with_its_word() -> None:
    one, two = (picture([(40, 60, 26, text)], (400, 160)) for text in ("Green Tea", "Green Teas"))
    assert said(one, two) == [("changed", "Green Tea", "Green Teas")]
    read, is_turned = found(raster(one), raster(two))
    words = [(each.reference_word, each.candidate_word) for each in read.changes[0]]
    assert words == [("Teas", "Tea") if is_turned else ("Tea", "Teas")]


def test_lines_of_several_strips_are_each_read_once() -> None:
    rows = [(40, 10 + 60 * i, 26, f"Line {i} of many") for i in range(20)]
    one = picture(rows, (900, 1220))
    two = picture([(x, y, size, text.replace("Line 7", "Line 9")) for x, y, size, text in rows], (900, 1220))
    read, is_turned = found(raster(one), raster(two), whole=True)
    first = read.read[1 if is_turned else 0]
    assert sorted(line.text for line in first) == sorted(text for _, _, _, text in rows)


def test_a_page_of_noise_says_nothing_of_lines_that_lie_elsewhere() -> None:
    """Two photographs that nothing laid on one another: all differs, and lines meet their neighbours."""
    rng = np.random.default_rng(4)
    rows = [(40, 16 + 34 * i, 22, text) for i, text in enumerate(
        ["Olive oil", "No added colours", "Suitable for all", "Store it cool", "Keep it dry", "Best before May"]
    )]  # fmt: skip

    def photograph(down: int) -> Pixels:
        pixels = picture([(x, y + down, size, text) for x, y, size, text in rows], (420, 260)).astype(np.int16)
        return np.clip(pixels - 60 + rng.normal(0, 22, pixels.shape), 0, 255).astype(np.uint8)

    spots = (Spot("changed", (Box(0, 0, 420, 260),), (Box(0, 0, 420, 260),) * 2),)
    one, two = photograph(0), photograph(34)
    laid = Laid(
        first=one,
        second=two,
        on_black=None,
        pictures=(one, two),
        spots=spots,
        is_changed=lambda box: True,
        own=lambda box: (box, box),
        original=lambda box, own: box,
        is_turned=False,
        is_rough=False,
        is_warped=False,
        is_explained=True,
    )
    read = ocr.read(reader(), laid, whole=False, stop=Stop(Deadline.after(60)))
    assert not {each.kind for changes in read.changes for each in changes} - {"same"}
