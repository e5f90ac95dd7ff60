"""Measures at load what a model's passes hold: a few small ones, over blank pictures and idle tokens, byte by byte.
No questions, no budget: a `Footprint` comes out, which foretells the large ones.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image

from serve_app.settings import MIB
from serve_app.vlm.local.decoding import prefix, suffixes
from serve_app.vlm.local.decoding.branches import most_likely
from serve_app.vlm.local.decoding.prefix import Prefix
from serve_app.vlm.local.planning.allocation import Allocations
from serve_app.vlm.local.planning.footprint import (
    Asked,
    Curve,
    Footprint,
    Sum,
    asking_parts,
    joining_parts,
    reading_parts,
)
from serve_app.vlm.local.planning.picture_tokens import PictureTokens
from serve_app.vlm.local.vision import Prompt, VisionEncoder, stacked

logger = logging.getLogger("pairlens.vlm")
_SIDES = (64, 128, 192, 320, 512, 768, 1024, 1536)  # of pictures, until one has enough tokens
_ENOUGH_TOKENS = 512  # tiled and as it is, a picture has shown by then what more of it takes
_LONGER = (63, 191, 447)  # tokens that a measured prompt is lengthened by
_STRETCHED = 4  # times: what rows see of a prompt outweighs all else only where it is long
_ASKED = ((1, 16), (4, 16), (4, 48))  # rows, and tokens of each
_JOINED = (65, 257)  # tokens that become a part of a prompt: linear attention pads them to multiples of 64
# Of a GPU's libraries, which no operation of ours shows: tiny models took 6 to 12 MB more than their tensors (H100).
_WORKSPACES = 16 * MIB


class _Watch(Allocations):  # type: ignore[no-untyped-call]
    """Also sees whether something grows with the square of the tokens: masks, or scores where attention isn't fused."""

    def __init__(self, model: Any, length: int | None = None) -> None:
        """`length`: of the prompt that is read; None: only scores are looked for."""
        super().__init__([*model.parameters(), *model.buffers()], torch.device(model.device))
        self._length = length
        self.saw_square = False

    def run(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        made = func(*args, **kwargs)
        if isinstance(made, torch.Tensor) and made.ndim > 1 and made.shape[-1] == made.shape[-2] > 1:
            self.saw_square |= made.shape[-1] == self._length if self._length else "softmax" in str(func)
        return made


@dataclass(frozen=True)
class _Read:
    """A prompt that was read. Bytes `given` as its tensors, `held` at most, `kept` as keys, values and states."""

    visual_tokens: int
    length: int
    given: int
    held: int
    kept: int
    saw_square: bool


def measure(
    sight: VisionEncoder, before: str, picture_tokens: PictureTokens, *, shares: bool, thinks: bool = False
) -> Footprint:
    """`before`: a prompt's text with two pictures. `shares`: see `prefix.can_share`. `thinks`: thoughts are joined to
    prompts. Some twenty short passes."""
    started = time.perf_counter()
    model, sizes = sight.model, _sizes(picture_tokens)
    with torch.inference_mode():
        begun, *_ = _read(model, _prompt(sight, before, sizes[0]))
        is_recurrent = suffixes.is_recurrent(begun.cache)
        join = _joins(begun) if thinks else Sum(())
        looked = [_looked(sight, size, picture_tokens) for size in sizes] if sight.can_compose(before) else []
        reads, asks = _read_and_asked(sight, before, sizes, picture_tokens, shares=shares)
        stacks = stacked([_prompt(sight, before, sizes[0])] * 2) is not None
    state, per_token = _line(reads[0], reads[len(_LONGER) - 1])
    bare = Footprint(
        look=Curve(tuple((tokens, peak) for tokens, peak, _, _ in looked), any(one[3] for one in looked)),
        features=Curve(tuple((tokens, held) for tokens, _, held, _ in looked)),
        read=_fitted(reads),
        feed=Sum(()),
        step=Sum(()),
        join=join,
        state=state,
        per_token=per_token,
        heads=model.config.get_text_config().num_attention_heads,
        shares=shares,
        pads=not is_recurrent,
        stacks=stacks,
        given=max(one.given / one.visual_tokens for one in reads),
        fixed=_WORKSPACES if model.device.type == "cuda" else 0,
    )
    feed, step = (
        Sum.fitted([asking_parts(one, bare.heads) for one, _ in found], [peak - bare.own(one) for one, peak in found])
        for found in zip(*asks, strict=True)
    )
    logger.info("the model's memory measured: %.1f s", time.perf_counter() - started)
    return replace(bare, feed=feed, step=step)


def _sizes(picture_tokens: PictureTokens) -> list[tuple[int, int]]:
    """The smallest picture, and the last two up to the first that has enough tokens; no two of the same number."""
    by_tokens: dict[int, tuple[int, int]] = {}
    for side in _SIDES:
        tokens = picture_tokens.of((side, side))
        by_tokens.setdefault(tokens, (side, side))
        if tokens >= _ENOUGH_TOKENS:
            break
    sizes = [by_tokens[tokens] for tokens in sorted(by_tokens)]
    return [sizes[0], *sizes[1:][-2:]]


def _looked(sight: VisionEncoder, size: tuple[int, int], picture_tokens: PictureTokens) -> tuple[int, int, int, bool]:
    """Tokens of a picture, bytes held at most while it is looked at, and in the end; whether scores were made."""
    with _Watch(sight.model) as watch:
        seen = sight.look(Image.new("RGB", size))
    return picture_tokens.of(size), watch.peak_bytes, seen.num_bytes, watch.saw_square


def _prompt(sight: VisionEncoder, before: str, size: tuple[int, int]) -> Prompt:
    return sight.prompts(before, [[Image.new("RGB", size), Image.new("RGB", size)]])[0]


def _read_and_asked(
    sight: VisionEncoder, before: str, sizes: Sequence[tuple[int, int]], picture_tokens: PictureTokens, *, shares: bool
) -> tuple[list[_Read], list[list[tuple[Asked, int]]]]:
    """Prompts of small pictures in some lengths, and one of larger pictures; what is asked after one."""
    reads: list[_Read] = []
    asks: list[list[tuple[Asked, int]]] = []
    larger = sizes[min(1, len(sizes) - 1)]
    for number, (size, more) in enumerate((*((sizes[0], more) for more in _LONGER), (larger, _LONGER[-1]))):
        prompt = _prompt(sight, before, size).lengthened(more)
        begun, given, held, saw_square = _read(sight.model, prompt)
        reads.append(_Read(2 * picture_tokens.of(size), prompt.length, given, held, _bytes(begun), saw_square))
        if number == len(_LONGER) - 1:
            for one in (begun, begun.stretched(begun.length * _STRETCHED)):
                asks += [_asked(one, rows if shares else 1, width, shares=shares) for rows, width in _ASKED]
    return reads, asks


def _read(model: Any, prompt: Prompt) -> tuple[Prefix, int, int, bool]:
    with _Watch(model, prompt.length) as watch:
        watch.count(dict(prompt.inputs))
        given = watch.live_bytes
        begun = prefix.read(model, stacked([prompt]) or prompt.inputs)
    return begun, given, watch.peak_bytes, watch.saw_square


def _joins(begun: Prefix) -> Sum:
    """Tokens that become a part of a prompt: what that holds at most beside what is kept then."""
    parts, found = [], []
    for length in (begun.length, begun.length * _STRETCHED):
        for tokens in _JOINED:
            one = begun.stretched(length)
            with _Watch(begun.model) as watch:
                watch.count(list(_tensors(one)))
                one, _ = one.lengthened([[0] * tokens])
            parts.append(joining_parts(tokens, one.length))
            found.append(watch.peak_bytes - _bytes(one))
    return Sum.fitted(parts, found)


def _asked(begun: Prefix, rows: int, width: int, *, shares: bool) -> list[tuple[Asked, int]]:
    """Questions of some tokens and a token behind each: what they hold at most beside the prompt."""
    with _Watch(begun.model) as watch:
        watch.count(list(_tensors(begun)))
        held = watch.live_bytes
        branches = begun.branch([0] * rows, together=shares and begun.can_batch)
        branches.feed([[0] * width] * rows)
        fed = Asked(rows, width, begun.length, width, width), watch.peak_bytes - held
        watch.reset_peak()
        logits = branches.feed([[0]] * rows)
        most_likely(logits, torch.full((rows, -(-logits.shape[1] // 32)), -1, dtype=torch.int32))
        stepped = Asked(rows, 1, begun.length, width, width + 1), watch.peak_bytes - held
    return [fed, stepped]


def _fitted(reads: Sequence[_Read]) -> Sum:
    is_square = any(one.saw_square for one in reads)
    parts = [reading_parts(one.visual_tokens, one.length) for one in reads]
    if not is_square:
        parts = [(*some, 0) for *some, _ in parts]
    return Sum.fitted(parts, [one.held - one.kept for one in reads])


def _line(one: _Read, other: _Read) -> tuple[float, float]:
    """Bytes kept of a prompt of no tokens, and of each token more."""
    slope = (other.kept - one.kept) / (other.length - one.length)
    return max(0.0, one.kept - slope * one.length), slope


def _tensors(begun: Prefix) -> Iterator[torch.Tensor]:
    return (tensor for layer in begun.cache.layers for tensor in prefix.tensors(layer))


def _bytes(begun: Prefix) -> int:
    """Of whole storages: a sliding layer keeps the end of one."""
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in _tensors(begun)}
    return sum(storages.values())
