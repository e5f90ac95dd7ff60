"""What an inquiry will take of the device's memory, and how it is made to fit, decided before the work.
No pixels, no tensors: sizes and lengths in, a scale and a number of rows out, by arithmetic alone.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from serve_app.core.byte_cache import ByteCache
from serve_app.core.inquiry import MemoryPlan
from serve_app.errors import ImageTooLarge
from serve_app.settings import MIB, ModelSettings
from serve_app.vlm.local.planning import measuring
from serve_app.vlm.local.planning.footprint import Asked, Footprint
from serve_app.vlm.local.planning.picture_tokens import PictureTokens
from serve_app.vlm.local.vision import NUM_WHOLE, VisionEncoder

logger = logging.getLogger("pairlens.vlm")
MIN_SIDE = 64  # of the longer side: the contract shows no picture smaller than this
_CANT_MEASURE = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Work:
    """What is to be done.

    `text_tokens`: of a prompt beside its pictures. `sizes`: width and height of every picture, reference and candidate
    first, then close-ups. `orders`: of the pictures, one a prompt. `places`: which prompt each question continues,
    those that write first. `lengths`: of the questions, in tokens. `thought`: tokens that are joined to each prompt
    before the first question, at most, in the order in which they are. `num_whole`: pictures that come first and are no
    close-ups. `subject`: what it is about, in a refusal.
    """

    text_tokens: int
    sizes: tuple[tuple[int, int], ...]
    orders: tuple[tuple[int, ...], ...]
    places: tuple[int, ...]
    num_writing: int
    lengths: tuple[int, ...]
    longest_text: int
    thought: tuple[int, ...] = ()
    num_whole: int = NUM_WHOLE
    subject: str = "this pair"

    def scaled(self, scale: float) -> Work:
        return replace(self, sizes=tuple(scaled(size, scale) for size in self.sizes))


@dataclass(frozen=True)
class Need:
    """Bytes alive at most, beside the weights: before the first question (while pictures and prompts are read and a
    thought is written), and while answers are written."""

    reading: int
    answering: int
    visual_tokens: int
    prompt_tokens: int

    @property
    def peak(self) -> int:
        return max(self.reading, self.answering)


@dataclass(frozen=True)
class _Fit:
    """`work` as it fits in `available` bytes: its pictures so many times smaller, so many rows at once."""

    work: Work
    need: Need
    rows: int
    scale: float
    available: int


class Planner:
    """Foretells the work of one model and makes it fit.

    `cache`: what could be given back. `free_bytes`: what the device could still give.
    """

    def __init__(
        self,
        footprint: Footprint,
        picture_tokens: PictureTokens,
        settings: ModelSettings,
        cache: ByteCache,
        free_bytes: Callable[[], int],
    ) -> None:
        self.footprint = footprint
        self._picture_tokens = picture_tokens
        self._settings = settings
        self._cache = cache
        self._free_bytes = free_bytes

    def decide(self, work: Work) -> tuple[MemoryPlan, Work]:
        """A plan that fits, and the work as it is then. Raises ImageTooLarge, with the numbers."""
        fit = self._fit(work)
        plan = MemoryPlan(
            visual_tokens=fit.need.visual_tokens,
            prompt_tokens=fit.need.prompt_tokens,
            predicted_bytes=fit.need.peak,
            available_bytes=fit.available,
            rows_per_batch=fit.rows,
            scale=round(fit.scale, 4),
            shown_reference=fit.work.sizes[0],
            shown_candidate=fit.work.sizes[1],
        )
        return plan, fit.work

    def fitted(self, work: Work) -> Work:
        """The work as it fits, where nobody reads a plan. Raises ImageTooLarge, with the numbers."""
        return self._fit(work).work

    def _fit(self, work: Work) -> _Fit:
        """Fewer questions at once first, then smaller pictures; and room made of the cache where it is needed."""
        available = self.available_bytes()
        scale, asked = 1.0, work
        while True:
            rows = len(asked.places) if self.footprint.shares else 1
            need = self.need(asked, rows)
            while need.peak > available >= need.reading and rows > 1:
                rows = math.ceil(rows / 2)
                need = self.need(asked, rows)
            if need.peak <= available:
                break
            if max(max(size) for size in asked.sizes[: asked.num_whole]) <= MIN_SIDE:
                raise ImageTooLarge(_refusal(asked, need, available))
            # Memory goes at least with the area; more than a half at once could shrink too far.
            scale *= min(0.95, max(0.5, math.sqrt(available / need.peak)))
            asked = work.scaled(scale)
        if need.peak > available - self._cache.held_bytes:
            self._cache.clear()
        return _Fit(asked, need, rows, scale, available)

    def available_bytes(self) -> int:
        """The operator's share of what is free, what the cache would give back included."""
        share = int((self._free_bytes() + self._cache.held_bytes) * self._settings.memory_share)
        return min(share, self._settings.memory_budget_bytes or share)

    def need(self, work: Work, rows: int) -> Need:
        """With `rows` questions at once."""
        pictures = [self._picture_tokens.of(size, place >= work.num_whole) for place, size in enumerate(work.sizes)]
        visual, prompts = sum(pictures), len(work.orders)
        read = work.text_tokens + visual
        length = read + sum(work.thought)
        kept_pictures = min(self.footprint.held(pictures), self._cache.capacity_bytes)
        reading = self.footprint.reading(prompts, visual, read) + kept_pictures
        thinking = self._thinking(work, read) + kept_pictures
        kept = self.footprint.kept(prompts, length) + kept_pictures
        answering = kept + max(map(self.footprint.asking, self._asked(work, rows, length)))
        return Need(max(self.footprint.looking(pictures), reading, thinking), answering, visual, length)

    def _thinking(self, work: Work, read: int) -> int:
        """While a thought is written behind prompts of that length, and while its parts are joined to them."""
        if not work.thought:
            return 0
        prompts, most, length = len(work.orders), 0, read
        for tokens in work.thought:
            length += tokens
            most = max(most, self.footprint.joining(prompts, tokens, length))
        rows = prompts if self.footprint.stacks and self.footprint.shares else 1
        step = self.footprint.asking(Asked(rows, 1, length, 1, work.thought[-1]))
        return max(most, self.footprint.kept(prompts, length) + step)

    def _asked(self, work: Work, rows: int, length: int) -> list[Asked]:
        """The passes of the questions at once, see `Branches.feed`, and the last token of the texts."""
        at_once = [i for i, place in enumerate(work.places) if self.footprint.stacks or place == work.places[0]]
        widths = sorted(work.lengths[i] for i in at_once[:rows])
        if self.footprint.pads:
            widths = [max(work.lengths)] * len(widths)
        asked, read = [], 0
        for number, width in enumerate(widths):
            if width > read:
                asked.append(Asked(len(widths) - number, width - read, length, widths[0], width))
                read = width
        if writing := min(work.num_writing, len(widths)):
            asked.append(Asked(writing, 1, length, widths[0], read + work.longest_text))
        return asked


def planner_for(
    sight: VisionEncoder,
    before: str,
    settings: ModelSettings,
    free_bytes: Callable[[torch.device], int],
    *,
    cache: ByteCache,
    shares: bool,
) -> Planner | None:
    """Measures the model, see `measuring.measure`; None where that can't be done: the log says so once."""
    try:
        with torch.inference_mode():
            composes = sight.can_compose(before)
        picture_tokens = PictureTokens(sight.processor, 1 if composes else 2, sight.uncut())
        forgetful = VisionEncoder(sight.model, sight.processor, ByteCache(0), composes=composes)
        thinks = settings.thought_tokens > 0
        footprint = measuring.measure(forgetful, before, picture_tokens, shares=shares, thinks=thinks)
    except torch.OutOfMemoryError:
        raise
    except _CANT_MEASURE as exc:
        logger.warning("memory is not planned with this model: %s", type(exc).__name__)
        return None
    return Planner(footprint, picture_tokens, settings, cache, lambda: free_bytes(sight.model.device))


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """At least a pixel each way."""
    width, height = size
    return max(1, round(width * scale)), max(1, round(height * scale))


def _refusal(work: Work, need: Need, available: int) -> str:
    sizes = " and ".join(f"{width}x{height}" for width, height in work.sizes[: work.num_whole])
    return (
        f"The model needs about {need.peak / MIB:.1f} MiB of memory for {work.subject}, even shown at {sizes}; "
        f"this service has {available / MIB:.1f} MiB for it."
    )
