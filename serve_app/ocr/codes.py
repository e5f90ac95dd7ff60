"""QR codes and bar codes of a picture, and what became of them in a pair.
Pixels of one picture at a time; how the two lie on each other is told.

A code that is read carries its own check, so two readings of one code don't differ. A code that isn't read may be
there, damaged or blurred: that one came or went is said only where the other picture has nothing like a code.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import cv2
import numpy as np

from serve_app.core.laid import Laid
from serve_app.core.pictures import Box, Pixels
from serve_app.core.reading import TextChange
from serve_app.ocr.statements import Statement

Corners = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]  # (x, y), clockwise

MOST_PIXELS: Final = 4_000_000  # looked at in one picture: 0.1 s; a larger one is made smaller
MOST_CODES: Final = 32  # of one picture
FORMATS: Final = ("QRCode", "DataMatrix", "EAN13", "EAN8", "UPCA", "Code128")
LEAST_MARGIN: Final = 320  # pixels around what differs, in which its code is looked for
MOST_MARGIN: Final = 640
SAME_PLACE: Final = 0.3  # intersection over union: another code may be larger or smaller
# Light and dark that a place without a code still has, in deviations of the code's own; how far its mean must be off.
BARE: Final = 0.25
GREY: Final = 0.5
# Narrowest bars across. One misreading in ten passes a check digit: with bars of less than 1.5 pixels, 3 of 2,000 did.
_BARS: Final = {"EAN13": 95, "UPCA": 95, "EAN8": 67}
LEAST_BAR: Final = 1.5
_SURE: Final = 0.99


@dataclass(frozen=True, slots=True)
class Code:
    """`corners`: in pixels of the picture that it was read in; of a bar code, of its bars."""

    text: str
    format: str
    corners: Corners

    @property
    def box(self) -> Box:
        left, top = (min(corner[axis] for corner in self.corners) for axis in (0, 1))
        right, bottom = (max(corner[axis] for corner in self.corners) for axis in (0, 1))
        return Box(left, top, max(1, right - left), max(1, bottom - top))


@dataclass(frozen=True, slots=True)
class CodeChange:
    """`reference`, `candidate`: where the code is in each picture, None where it isn't."""

    change: TextChange
    reference: Box | None
    candidate: Box | None


class ReadsCodes(Protocol):
    """What finds and reads codes in a grey picture."""

    def __call__(self, grey: Pixels) -> list[Code]: ...


def read_codes(pixels: Pixels, reader: ReadsCodes | None = None) -> list[Code]:
    """The codes in (height, width, 3) RGB pixels, from the top. `reader`: by default zxing-cpp where it is installed,
    else OpenCV, which reads QR codes only."""
    reader = reader or (with_zxing if importlib.util.find_spec("zxingcpp") else with_opencv)
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    height, width = grey.shape
    scale = max(1.0, (height * width / MOST_PIXELS) ** 0.5)
    if scale > 1:
        size = max(1, int(width / scale)), max(1, int(height / scale))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))
    found = (
        Code(code.text, code.format, _scaled(code.corners, width / grey.shape[1], height / grey.shape[0]))
        for code in reader(np.ascontiguousarray(grey))
    )
    return sorted(found, key=lambda code: (code.box.y, code.box.x))[:MOST_CODES]


def with_zxing(grey: Pixels) -> list[Code]:
    import zxingcpp  # in the extra `text`

    wanted = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat[name] for name in FORMATS])
    found = []
    for code in zxingcpp.read_barcodes(grey, formats=wanted):
        place = code.position
        corners = [(at.x, at.y) for at in (place.top_left, place.top_right, place.bottom_right, place.bottom_left)]
        bar = math.dist(corners[0], corners[1]) / _BARS.get(code.format.name, 1)
        if code.text and bar >= LEAST_BAR:
            found.append(Code(code.text, code.format.name, _four(corners)))
    return found


def with_opencv(grey: Pixels) -> list[Code]:
    """QR codes only. Where it finds none of several, it may still find one."""
    detector = cv2.QRCodeDetector()
    _, texts, places, _ = detector.detectAndDecodeMulti(grey)
    if not any(texts):
        text, place, _ = detector.detectAndDecode(grey)
        texts, places = (text,), place
    if places is None:
        return []
    corners = ([(round(float(x)), round(float(y))) for x, y in place] for place in places)
    return [Code(text, "QRCode", _four(own)) for text, own in zip(texts, corners, strict=True) if text]


def changed_codes(
    reference: Sequence[Code],
    candidate: Sequence[Code],
    same_place: Callable[[Box, Box], bool],
    is_bare: Callable[[int, Box], bool],
) -> list[CodeChange]:
    """What became of the codes of a pair. `same_place`: whether a box of the reference and one of the candidate are one
    place. `is_bare`: whether the other picture than this one (0: the reference) has nothing like the code in its box.

    A code that is in both is unchanged, wherever it is.
    """
    gone, came = _unmatched(reference, candidate), _unmatched(candidate, reference)
    found = []
    for one in list(gone):
        two = next((each for each in came if same_place(one.box, each.box)), None)
        if two is not None:
            gone.remove(one)
            came.remove(two)
            found.append(CodeChange(_change(one.text, two.text), one.box, two.box))
    found += [CodeChange(_change(each.text, None), each.box, None) for each in gone if is_bare(0, each.box)]
    found += [CodeChange(_change(None, each.text), None, each.box) for each in came if is_bare(1, each.box)]
    return found


def said_of(laid: Laid) -> Iterator[Statement]:
    """Of the codes around what differs in a pair on one grid, seen from the first picture."""
    pictures = laid.first, laid.second
    for window in _windows(laid):
        parts = [
            np.ascontiguousarray(picture[window.y : window.bottom, window.x : window.right]) for picture in pictures
        ]
        for said, place in _said(parts[0], parts[1]):
            box = Box(window.x + place.x, window.y + place.y, place.width, place.height)
            if laid.is_changed(box):
                yield Statement("code", said.reference or "", said.candidate or "", said.confidence, (box,))


def _said(first: Pixels, second: Pixels) -> Iterator[tuple[TextChange, Box]]:
    found = changed_codes(
        read_codes(first),
        read_codes(second),
        lambda one, two: one.fit(two) >= SAME_PLACE,
        lambda side, box: is_bare(*((first, second) if side == 0 else (second, first)), box),
    )
    for each in found:
        box = each.candidate or each.reference
        if box is not None:
            yield each.change, box


def _windows(laid: Laid) -> list[Box]:
    """Around each place that differs, those that overlap as one: of a bar code, two bars may be all that changed."""
    width, height = laid.size
    whole = Box(0, 0, width, height)
    left = [_widened(box, whole) for spot in laid.spots if not spot.is_whole for box in spot.at]
    found: list[Box] = []
    while left:
        box = left.pop()
        beside = [each for each in (*found, *left) if box.overlap(each)]
        if not beside:
            found.append(box)
            continue
        found, left = ([each for each in boxes if each not in beside] for boxes in (found, left))
        left.append(_around((box, *beside)))
    return sorted(found)


def _widened(box: Box, whole: Box) -> Box:
    by = min(MOST_MARGIN, max(LEAST_MARGIN, 3 * max(box.width, box.height)))
    left, top = max(0, box.x - by), max(0, box.y - by)
    return Box(left, top, min(whole.right, box.right + by) - left, min(whole.bottom, box.bottom + by) - top)


def _around(boxes: Sequence[Box]) -> Box:
    left, top = min(box.x for box in boxes), min(box.y for box in boxes)
    return Box(left, top, max(box.right for box in boxes) - left, max(box.bottom for box in boxes) - top)


def is_bare(pixels: Pixels, other: Pixels, box: Box) -> bool:
    """Whether `other` has nothing like the code that `pixels`, on the same grid, has in `box`: it is even there, and
    not as grey as a code that was blurred."""
    (mean, spread), (other_mean, other_spread) = _levels(pixels, box), _levels(other, box)
    return other_spread < BARE * spread and abs(other_mean - mean) > GREY * spread


def _levels(pixels: Pixels, box: Box) -> tuple[float, float]:
    """Mean and standard deviation."""
    part = pixels[max(0, box.y) : box.bottom, max(0, box.x) : box.right].astype(np.float32).mean(axis=2)
    return (float(part.mean()), float(part.std())) if part.size else (0.0, 0.0)


def _change(before: str | None, after: str | None) -> TextChange:
    return TextChange("code", before, after, None, None, _SURE)


def _unmatched(own: Sequence[Code], other: Sequence[Code]) -> list[Code]:
    """Codes that the other picture has fewer of."""
    left = [each.text for each in other]
    found = []
    for each in own:
        if each.text in left:
            left.remove(each.text)
        else:
            found.append(each)
    return found


def _four(corners: Sequence[tuple[int, int]]) -> Corners:
    one, two, three, four = corners
    return one, two, three, four


def _scaled(corners: Corners, across: float, down: float) -> Corners:
    return _four([(round(x * across), round(y * down)) for x, y in corners])
