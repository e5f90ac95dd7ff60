"""A reader of signs: flat coloured plates, each colour one text, so that what a pair says is known to the letter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from serve_app import ocr
from serve_app.core.clock import Deadline, Stop
from serve_app.core.laid import Laid, Spot
from serve_app.core.pictures import Box, Pixels
from serve_app.core.reading import TextChange
from serve_app.ocr.quads import Quad, quad_of
from serve_app.ocr.recognition import Letter, Read
from serve_app.schema import DifferenceKind

Colour = tuple[int, int, int]
SIZE = (400, 300)
WHITE = (255, 255, 255)


def line(text: str, chance: float = 0.9999, rivals: Mapping[int, tuple[str, float]] | None = None) -> Read:
    """A line of `text`, each letter as sure as `chance`; `rivals`: at a letter, what it might be too and its chance."""
    symbols = sorted({*text, *(symbol for symbol, _ in (rivals or {}).values())})
    kept = {symbol: place for place, symbol in enumerate(symbols, 1)}
    table = np.full((2 * len(text) + 1, len(symbols) + 1), 1e-6, np.float32)
    table[::2, 0] = 1.0
    letters = []
    for i, symbol in enumerate(text):
        rival = (rivals or {}).get(i)
        own = 1 - rival[1] if rival else chance
        table[2 * i + 1, kept[symbol]] = own
        if rival:
            table[2 * i + 1, kept[rival[0]]] = rival[1]
        letters.append(Letter(symbol, own, (2 * i + 1.5) / len(table)))
    return Read(tuple(letters), table, kept)


class Signs:
    """Reads what `texts` says of each colour; of anything else nothing."""

    engine = "signs"
    model = "none"

    def __init__(self, texts: Mapping[Colour, Read]) -> None:
        self._texts = texts
        self.num_calls = 0

    def find_lines(self, pixels: Pixels, scale: int = 1) -> list[Quad]:
        self.num_calls += 1
        found = []
        for colour in self._texts:
            down, across = np.nonzero((pixels == colour).all(axis=2))
            if len(down):
                left, top = int(across.min()), int(down.min())
                found.append(quad_of(Box(left, top, int(across.max()) + 1 - left, int(down.max()) + 1 - top)))
        return found

    def read_lines(self, strips: Sequence[Pixels]) -> list[Read]:
        self.num_calls += 1
        return [self._read(strip) for strip in strips]

    def _read(self, strip: Pixels) -> Read:
        shown = {colour: int((strip == colour).all(axis=2).sum()) for colour in self._texts}
        most = max(shown, key=lambda colour: shown[colour], default=WHITE)
        return self._texts[most] if shown.get(most) else line("")


def page(*plates: tuple[Box, Colour]) -> Pixels:
    pixels = np.full((SIZE[1], SIZE[0], 3), 255, np.uint8)
    for box, colour in plates:
        pixels[box.y : box.bottom, box.x : box.right] = colour
    return pixels


def spot(box: Box, kind: DifferenceKind = "changed", to: Box | None = None, *, is_whole: bool = False) -> Spot:
    places = (box,) if to is None else (box, to)
    return Spot(kind, places, (box, to or box), is_whole)


def laid(one: Pixels, two: Pixels, *spots: Spot) -> Laid:
    """Both as they are, what is changed read off their pixels."""

    def is_changed(box: Box) -> bool:
        part = np.s_[max(0, box.y) : max(0, box.bottom), max(0, box.x) : max(0, box.right)]
        return bool((one[part] != two[part]).any())

    return Laid(
        first=one,
        second=two,
        on_black=None,
        pictures=(one, two),
        spots=spots,
        is_changed=is_changed,
        own=lambda box: (box, box),
        original=lambda box, own: box,
        is_turned=False,
        is_rough=False,
        is_warped=False,
        is_explained=True,
    )


def read(
    texts: Mapping[Colour, Read], pair: Laid, *, whole: bool = False, stop: Callable[[], Stop] | None = None
) -> ocr.Found:
    return ocr.read(Signs(texts), pair, whole=whole, stop=stop() if stop else Stop(Deadline.after(60)))


def said(texts: Mapping[Colour, Read], pair: Laid) -> list[tuple[str, str | None, str | None]]:
    return [told(each) for changes in read(texts, pair).changes for each in changes]


def told(change: TextChange) -> tuple[str, str | None, str | None]:
    return change.kind, change.reference, change.candidate
