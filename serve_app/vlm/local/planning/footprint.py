"""What passes of a model hold of its device's memory, as formulas: numbers of tokens and rows in, bytes out.
No model, no tensors: `measuring.py` finds the factors, once, when the model is loaded.

What a pass holds is a sum of parts that grow with the picture, the prompt, the rows and what the rows see.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from serve_app.vlm.local.decoding.attention import MOST_SCORES
from serve_app.vlm.local.decoding.suffixes import room

_MARGIN = 1.05  # an allocator's rounding, and what lies between the measured points


@dataclass(frozen=True)
class Curve:
    """Bytes over one number of tokens: straight between measured points, and beyond them straight or as a parabola."""

    points: tuple[tuple[float, float], ...]  # in order
    is_square: bool = False

    def at(self, tokens: float) -> float:
        if not self.points:
            return 0.0
        across, found = zip(*self.points, strict=True)
        if tokens <= across[-1] or len(across) == 1:
            return float(np.interp(tokens, across, found))
        slope = (found[-1] - found[-2]) / (across[-1] - across[-2])
        more = tokens - across[-1]
        bend = 0.0
        if self.is_square and len(across) > 2:
            before = (found[-2] - found[-3]) / (across[-2] - across[-3])
            bend = max(0.0, (slope - before) / (across[-1] - across[-3]))
            slope += bend * (across[-1] - across[-2])
        return float(found[-1] + slope * more + bend * more**2)


@dataclass(frozen=True)
class Sum:
    """Bytes as a sum of parts, each times a factor that is never negative."""

    factors: tuple[float, ...]

    @classmethod
    def fitted(cls, parts: Sequence[Sequence[float]], found: Sequence[float]) -> Sum:
        """Least squares of relative errors; then so much more of all that no measured point is foretold too low."""
        table, target = np.asarray(parts, float), np.maximum(np.asarray(found, float), 1.0)
        factors = np.zeros(table.shape[1])
        used = [i for i in range(table.shape[1]) if table[:, i].any()]
        while used:
            weighted = table[:, used] / target[:, None]
            scale = np.linalg.norm(weighted, axis=0)
            solved = np.linalg.lstsq(weighted / scale, np.ones(len(target)), rcond=1e-9)[0]
            if solved.min() >= 0:
                factors[used] = solved / scale
                break
            used.pop(int(solved.argmin()))
        factors *= max(1.0, float((target / np.maximum(table @ factors, 1.0)).max()))
        return cls(tuple(factors.tolist()))

    def of(self, parts: Iterable[float]) -> float:
        return sum(factor * part for factor, part in zip(self.factors, parts, strict=True))


@dataclass(frozen=True)
class Asked:
    """Rows that go through the model at once.

    `width`: tokens of each, padding included; `length`: of the prompt they continue; `first`: tokens of their first
    pass; `columns`: of their suffixes with this one.
    """

    rows: int
    width: int
    length: int
    first: int
    columns: int


@dataclass(frozen=True)
class Footprint:
    """`look`, `features`: of one picture over its tokens, while it is looked at and afterwards; of no points where the
    vision tower is a part of reading. `state` and `per_token`: of one row's keys, values and states. `given`: of a
    prompt's tensors, for each visual token. `heads`: of attention. `shares`: rows at once continue one prompt. `pads`:
    to the longest of them. `stacks`: prompts are read as one pass. `join`: of no factors where no thought is joined to
    a prompt. `fixed`: bytes of libraries.
    """

    look: Curve
    features: Curve
    read: Sum
    feed: Sum
    step: Sum
    join: Sum
    state: float
    per_token: float
    given: float
    heads: int
    shares: bool
    pads: bool
    stacks: bool
    fixed: int

    def looking(self, pictures: Sequence[int]) -> int:
        """Most bytes while pictures of so many tokens are looked at one after the other."""
        held, most = 0.0, 0.0
        for tokens in pictures:
            most = max(most, held + self.look.at(tokens))
            held += self.features.at(tokens)
        return self._whole(most)

    def held(self, pictures: Sequence[int]) -> int:
        """Bytes that stay of pictures that were looked at."""
        return int(sum(self.features.at(tokens) for tokens in pictures))

    def reading(self, num_prompts: int, visual_tokens: int, length: int) -> int:
        """While prompts of that length, `visual_tokens` of it pictures, are read; what is kept of them included."""
        together = num_prompts if self.stacks else 1
        passing = together * self.read.of(reading_parts(visual_tokens, length))
        waiting = (num_prompts - together) * self.given * visual_tokens
        return self._whole(passing + waiting + self.kept(num_prompts, length))

    def joining(self, num_prompts: int, tokens: int, length: int) -> int:
        """While so many tokens are joined to prompts that then have that length; what is kept of them included."""
        together = num_prompts if self.stacks else 1
        passing = together * self.join.of(joining_parts(tokens, length))
        return self._whole(passing + self.kept(num_prompts, length))

    def kept(self, num_prompts: int, length: int) -> int:
        """Keys, values and states of prompts."""
        return int(num_prompts * (self.state + self.per_token * length))

    def asking(self, asked: Asked) -> int:
        """While these rows go through the model; what stays of the prompts is not counted."""
        fit = self.step if asked.width == 1 else self.feed
        return self._whole(self.own(asked) + fit.of(asking_parts(asked, self.heads)))

    def own(self, asked: Asked) -> float:
        """Keys, values and states of the rows' own, and of the prompt where they can't share it."""
        each = self.state + self.per_token * room(asked.first, asked.columns)
        return asked.rows * each + (0 if self.shares else self.kept(1, asked.length))

    def _whole(self, num_bytes: float) -> int:
        return int(num_bytes * _MARGIN) + self.fixed


def reading_parts(visual_tokens: int, length: int) -> tuple[float, ...]:
    """What the bytes of reading a prompt grow with; the last: masks, and scores where attention isn't fused."""
    return 1, visual_tokens, length, length**2


def joining_parts(tokens: int, length: int) -> tuple[float, ...]:
    """What the bytes of joining tokens to a prompt grow with; the last: masks and scores."""
    return 1, tokens, length, tokens * length


def asking_parts(asked: Asked, heads: int) -> tuple[float, ...]:
    """What the bytes of rows grow with; the last: scores, see `attention.attend`."""
    a_query = asked.rows * heads * (asked.length + asked.columns)
    scores = min(a_query * asked.width, max(MOST_SCORES, a_query))
    return 1, asked.rows, asked.rows * asked.width, scores
