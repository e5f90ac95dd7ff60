"""What lines of text say: a network's letters, column by column, and how likely it holds any other reading.
Knows nothing of places. Method: connectionist temporal classification, Graves et al., ICML 2006: the best path for
the text, the forward recursion for the likelihood of a text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import cv2
import numpy as np

from serve_app.core.pictures import Pixels
from serve_app.ocr.network import Network, Numbers

HEIGHT: Final = 48  # pixels, of what the network reads
LEAST_WIDTH: Final = 160  # of its input: shorter words alone are read worse
MOST_WIDTH: Final = 1600  # of all lines of a call; 33 times as wide as high: a longer line is squeezed
AT_ONCE: Final = 4  # lines a call
STEP: Final = 8  # pixels a column of its output
KEPT: Final = 1e-5  # a symbol less likely in every column is forgotten ...
FORGOTTEN: Final = 1e-6  # ... and counts as this likely: nearly 14 nats a letter
_BLANK: Final = 0


@dataclass(frozen=True, slots=True)
class Letter:
    """`middle`: its place, as a share of the line's length; `chance`: its probability, 0..1."""

    symbol: str
    chance: float
    middle: float


@dataclass(frozen=True)
class Read:
    """One line as it was read. `columns`: (columns, symbols kept) probabilities; `kept`: each symbol's place there."""

    letters: tuple[Letter, ...]
    columns: Numbers
    kept: dict[str, int]

    @cached_property
    def text(self) -> str:
        return "".join(each.symbol for each in self.letters)

    @cached_property
    def confidence(self) -> float:
        """Mean probability of its letters; 0 where there are none."""
        letters = [each.chance for each in self.letters if each.symbol != " "]
        return sum(letters) / len(letters) if letters else 0.0

    def log_likelihood(self, text: str) -> float:
        """Natural logarithm of the probability that the line says `text`, over all ways to write it in its columns."""
        states = [_BLANK]
        for symbol in text:
            states += [self.kept.get(symbol, -1), _BLANK]
        with np.errstate(divide="ignore"):
            chances = np.log(np.maximum(self.columns, FORGOTTEN))
        table = np.concatenate([chances, np.full((len(chances), 1), math.log(FORGOTTEN), np.float32)], axis=1)
        emitted = table[:, states].astype(np.float64)  # -1: the last column, of what was forgotten
        # A letter may follow at once where it isn't the same again: that takes a blank between.
        skips = np.array(
            [i >= 3 and i % 2 == 1 and text[i // 2] != text[i // 2 - 1] for i in range(len(states))], np.bool_
        )
        alive = np.full(len(states), -np.inf)
        alive[:2] = emitted[0, :2]
        for column in emitted[1:]:
            before = np.concatenate([[-np.inf], alive[:-1]])
            further = np.where(skips, np.concatenate([[-np.inf, -np.inf], alive[:-2]])[: len(states)], -np.inf)
            alive = column + np.logaddexp(np.logaddexp(alive, before), further)
        return float(np.logaddexp(alive[-1], alive[-2]) if len(alive) > 1 else alive[-1])


def read_lines(network: Network, symbols: Sequence[str], strips: Sequence[Pixels]) -> list[Read]:
    """What each strip (height, width, 3), RGB, says, in their order."""
    scaled = [_scaled(strip) for strip in strips]
    found: dict[int, Read] = {}
    for indices in _batches([each.shape[1] for each in scaled]):
        lines = [scaled[i] for i in indices]
        widest = max(LEAST_WIDTH, *(each.shape[1] for each in lines))
        batch = np.zeros((len(lines), 3, HEIGHT, -(-widest // STEP) * STEP), np.float32)
        for own, line in zip(batch, lines, strict=True):
            own[:, :, : line.shape[1]] = line.transpose(2, 0, 1)[::-1].astype(np.float32) / 127.5 - 1
        for i, line, chances in zip(indices, lines, network(batch), strict=True):
            found[i] = _read(chances, symbols, line.shape[1] / batch.shape[3])
    return [found[i] for i in range(len(strips))]


def _batches(widths: Sequence[int]) -> Iterator[list[int]]:
    """Lines of nearly one width, few at once, and fewer of long ones: each column of the output is 75 kB."""
    batch: list[int] = []
    for i in sorted(range(len(widths)), key=widths.__getitem__):
        if batch and (len(batch) == AT_ONCE or (len(batch) + 1) * widths[i] > MOST_WIDTH):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _scaled(strip: Pixels) -> Pixels:
    height, width = strip.shape[:2]
    wide = min(MOST_WIDTH, max(STEP, round(width * HEIGHT / height)))
    way = cv2.INTER_AREA if height > 2 * HEIGHT else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(strip, (wide, HEIGHT), interpolation=way), np.uint8)


def _read(chances: Numbers, symbols: Sequence[str], used: float) -> Read:
    """`chances`: (columns, symbols). `used`: the share of the columns on which the line lies."""
    best = chances.argmax(axis=1)
    num_used = max(1.0, used * len(best))
    letters = []
    starts = np.flatnonzero(np.r_[True, best[1:] != best[:-1]])
    for start, end in zip(starts, np.r_[starts[1:], len(best)], strict=True):
        number = int(best[start])
        if number == _BLANK:
            continue
        chance = float(chances[start:end, number].max())
        letters.append(Letter(symbols[number], chance, min(1.0, (start + end) / 2 / num_used)))
    kept = np.flatnonzero(chances.max(axis=0) >= KEPT)
    kept = np.r_[_BLANK, kept[kept != _BLANK]]
    places = {symbols[number]: place for place, number in enumerate(kept) if number != _BLANK}
    return Read(tuple(letters), np.ascontiguousarray(chances[:, kept]), places)
