"""What an inquiry will take of the device's memory, and how it is made to fit, decided before the work.
No pixels, no answers: sizes and lengths in, a scale and a number of rows out.

The model goes through the work once without weights and without numbers (`rehearsal`), and the bytes that would be
alive are counted. Sizes and lengths are rounded up by at most a sixteenth, so that what was rehearsed serves again.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image

from serve_app.core.byte_cache import ByteCache
from serve_app.core.clock import Stop
from serve_app.core.inquiry import MemoryPlan
from serve_app.errors import ImageTooLarge
from serve_app.settings import MIB, ModelSettings
from serve_app.vlm.local.decoding import prefix, reading
from serve_app.vlm.local.decoding.branches import stoppable
from serve_app.vlm.local.planning.rehearsal import FusedAttention, Rehearsal, understudy
from serve_app.vlm.local.vision import Prompt, Seen, Sight

logger = logging.getLogger("pairlens.vlm")
MIN_SIDE = 64  # of the longer side: the contract shows no picture smaller than this
_CANT_REHEARSE = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
_SLACK = 1.03  # the labels' and the grammar's tensors, an allocator's rounding to 512 bytes
_SMALL_SIDE = 512  # of the longest side: rehearsed in milliseconds and a few megabytes
_MOST_KEPT = 256  # rehearsals remembered


@dataclass(frozen=True)
class Work:
    """What is to be done.

    `sizes`: width and height of every picture, reference and candidate first. `orders`: of the pictures, one a
    prompt. `places`: which prompt each question continues, those that write first. Lengths are in tokens.
    """

    before: str
    sizes: tuple[tuple[int, int], ...]
    orders: tuple[tuple[int, ...], ...]
    places: tuple[int, ...]
    num_writing: int
    lengths: tuple[int, ...]  # of the questions
    longest_text: int

    def scaled(self, scale: float) -> Work:
        return replace(self, sizes=tuple(scaled(size, scale) for size in self.sizes))


@dataclass(frozen=True)
class Need:
    """Bytes alive at most, beside the weights: while pictures and prompts are read, and while answers are written."""

    reading: int
    answering: int
    visual_tokens: int
    prompt_tokens: int

    @property
    def peak(self) -> int:
        return max(self.reading, self.answering)


class Planner:
    """Rehearses the work of one model and makes it fit.

    `free_bytes`: what the device could still give; `cache`: what could be given back for that. `shares`: whether
    several questions may continue one prompt at once.
    """

    def __init__(
        self,
        sight: Sight,
        settings: ModelSettings,
        cache: ByteCache,
        free_bytes: Callable[[torch.device], int],
        *,
        shares: bool,
    ) -> None:
        self._real_sight = sight
        self._settings = settings
        self._cache = cache
        self._free_bytes = free_bytes
        self._shares = shares
        self._attention = FusedAttention(sight.model.device)
        self.understudy, self._share_of_layers = understudy(sight.model)
        self._sight = Sight(self.understudy, sight.processor, ByteCache(0))
        self._rehearses = True
        self._seen: OrderedDict[tuple[int, int], tuple[Seen, int]] = OrderedDict()
        self._needs: OrderedDict[tuple[object, ...], Need] = OrderedDict()

    def decide(self, work: Work, stop: Stop) -> tuple[MemoryPlan | None, Work]:
        """A plan that fits, and the work as it is then: fewer questions at once first, then smaller pictures.

        None where the model's code can't go without numbers, kernels of other libraries above all: the log says so
        once. Raises ImageTooLarge, with the numbers, and DeadlineExceeded.
        """
        if not self._rehearses:
            return None, work
        try:
            with stoppable(self.understudy, stop):
                return self._fitted(work)
        except torch.OutOfMemoryError:
            raise
        except _CANT_REHEARSE as exc:
            logger.warning("memory is not planned with this model: %s", type(exc).__name__)
            self._rehearses = False
            return None, work

    def _fitted(self, work: Work) -> tuple[MemoryPlan, Work]:
        available = self.available_bytes()
        scale = self._first_scale(work, available)
        asked = work.scaled(scale)
        while True:
            rows = len(asked.places) if self._shares else 1
            need = self.need(asked, rows)
            while need.peak > available >= need.reading and rows > 1:
                rows = math.ceil(rows / 2)
                need = self.need(asked, rows)
            if need.peak <= available:
                break
            if max(max(size) for size in asked.sizes[:2]) <= MIN_SIDE:
                raise ImageTooLarge(_refusal(asked, need, available))
            # Memory goes at least with the area; more than a half at once could shrink too far.
            scale *= min(0.95, max(0.5, math.sqrt(available / need.peak)))
            asked = work.scaled(scale)
        if need.peak > available - self._cache.held_bytes:
            self._cache.clear()
        plan = MemoryPlan(
            visual_tokens=need.visual_tokens,
            prompt_tokens=need.prompt_tokens,
            predicted_bytes=need.peak,
            available_bytes=available,
            rows_per_batch=rows,
            scale=round(scale, 4),
            shown_reference=asked.sizes[0],
            shown_candidate=asked.sizes[1],
        )
        return plan, asked

    def _first_scale(self, work: Work, available: int) -> float:
        """1, or for large pictures at most what could fit: so that nothing far too large is even rehearsed.

        Bytes grow with the pictures' area at least as fast as they do among small ones, so a straight line through
        two small sizes is a lower bound, and where it crosses what is available an upper bound of the area.
        """
        small = _SMALL_SIDE / max(max(size) for size in work.sizes)
        if small >= 0.5:
            return 1.0
        less, more = (self.need(work.scaled(scale), 1).peak for scale in (small / 2, small))
        growth = (more - less) / (small**2 - small**2 / 4)
        if growth <= 0 or more >= available:
            return 1.0 if more < available else small
        return min(1.0, math.sqrt(small**2 + (available - more) / growth))

    def available_bytes(self) -> int:
        """The operator's share of what is free, what the cache would give back included."""
        free = self._free_bytes(self._real_sight.model.device) + self._cache.held_bytes
        share = int(free * self._settings.memory_share)
        return min(share, self._settings.memory_budget_bytes or share)

    def need(self, work: Work, rows: int) -> Need:
        """With `rows` questions at once."""
        self._sight.composes = self._real_sight.can_compose(work.before)
        rounded = replace(
            work,
            sizes=tuple((rounded_up(width), rounded_up(height)) for width, height in work.sizes),
            places=work.places[:rows],
            num_writing=min(work.num_writing, rows),
            lengths=tuple(rounded_up(length) for length in work.lengths[:rows]),
        )
        num_text_tokens = len(self._sight.processor.tokenizer(work.before)["input_ids"])
        # Finer than sizes, which differ more: the masks of some families grow with the square of the length.
        most_text_tokens = rounded_up(num_text_tokens, parts=32)
        key = (replace(rounded, before=""), most_text_tokens)
        if key not in self._needs:
            self._needs[key] = self._rehearsed(rounded, most_text_tokens - num_text_tokens)
        need: Need = _recent(self._needs, key)
        return need

    def _rehearsed(self, work: Work, more_text: int) -> Need:
        looking, held = self._look(work.sizes) if self._sight.composes else (0, 0)
        with self._stage() as stage:
            prompts = self._prompts(work)
            visual_tokens = prompts[0].count(self._sight.processor.image_token_ids)
            prompts = [prompt.lengthened(more_text) for prompt in prompts]
            length = prompts[0].length
            prefixes = reading.read(self.understudy, prompts, ByteCache(0))
            kept = sum(prefix.held_bytes(one.cache) for one in prefixes)
            left_out = kept * self._share_of_layers
            peak = stage.peak_bytes + left_out
            beginning = self._remembered(prompts[0], kept + left_out, len(prompts))
            del prompts
            forgotten = 0 if self._cache.capacity_bytes else held
            before = stage.live_bytes
            stage.reset_peak()
            branches = self._answer(prefixes, work)
            left_out += (stage.live_bytes - before) * self._share_of_layers
            del branches
            answering = stage.peak_bytes + left_out + beginning - forgotten
        return Need(int(max(looking, peak) * _SLACK), int(answering * _SLACK), visual_tokens, length)

    def _answer(self, prefixes: Sequence[prefix.Prefix], work: Work) -> Any:
        """All that questions and answers add to the largest batch, in the end."""
        one = prefixes[0]
        # Of two prefixes the first is asked first, with as many questions as the second or more.
        asked = [i for i, place in enumerate(work.places) if place == 0 or len(prefixes) == 1]
        lengths = [work.lengths[i] for i in asked]
        if not prefix.is_recurrent(one.cache):  # a recurrent state would read the padding
            lengths = [max(lengths)] * len(lengths)
        places = [work.places[i] if one.num_rows > 1 else 0 for i in asked]
        branches = one.branch(places, together=self._shares and one.can_batch)
        branches.feed([[0] * length for length in lengths])
        if 0 < work.num_writing < len(places):
            branches.keep(range(work.num_writing))
        # In pieces, because one long piece would take what single tokens don't.
        piece = min(lengths)
        for start in range(0, work.longest_text if work.num_writing else 0, piece):
            branches.feed([[0] * min(piece, work.longest_text - start)] * work.num_writing)
        return branches

    def _look(self, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """Most bytes while the pictures are looked at, one after the other, and what their features hold then."""
        most, held = 0, 0
        for size in sizes:
            if size not in self._seen:
                with self._stage() as stage:
                    self._seen[size] = (self._sight.look(Image.new("RGB", size)), stage.peak_bytes)
            seen, peak = _recent(self._seen, size)
            most = max(most, held + peak)
            held += seen.num_bytes
        return most, held

    def _prompts(self, work: Work) -> list[Prompt]:
        if self._sight.composes:
            return [
                self._sight.composed(work.before, [("", self._seen[work.sizes[i]][0]) for i in order])
                for order in work.orders
            ]
        pictures = [Image.new("RGB", size) for size in work.sizes]
        return self._sight.prompts(work.before, [[pictures[i] for i in order] for order in work.orders])

    def _remembered(self, prompt: Prompt, kept: float, num_rows: int) -> int:
        """The copy that stays of text and first picture, for when they come again."""
        num_bytes = int(kept / num_rows * (prompt.first_picture_ends or 0) / prompt.length)
        return num_bytes if self._cache.capacity_bytes and self._cache.fits(num_bytes) else 0

    @contextlib.contextmanager
    def _stage(self) -> Iterator[Rehearsal]:
        weights = [*self.understudy.parameters(), *self.understudy.buffers()]
        with torch.inference_mode(), self._attention, Rehearsal(weights) as stage:
            yield stage


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """At least a pixel each way."""
    width, height = size
    return max(1, round(width * scale)), max(1, round(height * scale))


def rounded_up(number: int, parts: int = 16) -> int:
    """To a multiple of a power of two, at most one of `parts` (a power of two as well) of the number more."""
    step = max(1, 1 << max(0, number.bit_length() - parts.bit_length()))
    return -(-number // step) * step


def _recent(kept: OrderedDict[Any, Any], key: Any) -> Any:
    kept.move_to_end(key)
    if len(kept) > _MOST_KEPT:
        kept.popitem(last=False)
    return kept[key]


def _refusal(work: Work, need: Need, available: int) -> str:
    (width, height), (its_width, its_height) = work.sizes[:2]
    return (
        f"The model needs about {need.peak / MIB:.1f} MiB of memory for this pair, even shown at {width}x{height} and "
        f"{its_width}x{its_height}; this service has {available / MIB:.1f} MiB for it."
    )
