"""Pictures and text to what a prompt's forward pass wants, each picture looked at once and remembered.
No questions, no decoding: tensors of a prompt come out.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from transformers.modeling_outputs import BaseModelOutputWithPooling

from serve_app.core.byte_cache import ByteCache

logger = logging.getLogger("pairlens.vlm")
# What image processors call the cutting of a picture into tiles. A close-up is as fine as its file without: InternVL
# would make 3,328 tokens of one of 448 x 380, and 256 of it uncut.
_CUTS = ("crop_to_patches", "do_image_splitting")
NUM_WHOLE = 2  # pictures that come first in every order; what follows are close-ups
_CANT_COMPOSE = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
# In half precision, whose products depend on how many rows go together, Qwen3-VL-8B's features of pictures alone and
# together are 0.016 apart, single values up to 0.09 of a mean of 1; features of something else are about 1.4 apart.
_ROUNDING = 0.05
# Of two shapes and larger than the tiles of small checkpoints, so that what depends on a picture's size shows.
_PROBE_SIZES = ((96, 64), (64, 112))


@dataclass(frozen=True)
class EncodedPicture:
    """One picture as the model takes it.

    `stretch`: its part of the prompt, each (1, tokens); `layout`: its grid or sizes, (1, ...) each; `features`:
    what the vision tower made of it.
    """

    stretch: Mapping[str, torch.Tensor]
    layout: Mapping[str, torch.Tensor]
    features: BaseModelOutputWithPooling

    @property
    def num_bytes(self) -> int:
        parts = [*self.stretch.values(), *self.layout.values(), *_flat(dict(self.features))]
        return sum(tensor.numel() * tensor.element_size() for tensor in parts)


@dataclass(frozen=True)
class Prompt:
    """The tensors of one row's forward pass."""

    inputs: Mapping[str, Any]

    @property
    def length(self) -> int:
        return int(self.inputs["input_ids"].shape[1])

    def count(self, tokens: Sequence[int | None]) -> int:
        """How many of these tokens it has."""
        ids = self.inputs["input_ids"]
        wanted = torch.tensor([token for token in tokens if token is not None], device=ids.device)
        return int(torch.isin(ids, wanted).sum())

    def lengthened(self, more: int) -> Prompt:
        """With its last token that many times more."""
        shape = self.inputs["input_ids"].shape
        longer = dict(self.inputs)
        for name, value in self.inputs.items():
            if isinstance(value, torch.Tensor) and value.shape == shape:
                longer[name] = torch.cat([value, value[:, -1:].expand(-1, more)], dim=1)
        return replace(self, inputs=longer)

    def but_last(self) -> tuple[Prompt, int]:
        """Without its last token, which is no picture's; and that token."""
        shape = self.inputs["input_ids"].shape
        shorter = {
            name: value[:, :-1] if isinstance(value, torch.Tensor) and value.shape == shape else value
            for name, value in self.inputs.items()
        }
        return replace(self, inputs=shorter), int(self.inputs["input_ids"][0, -1])


class VisionEncoder:
    """Looks at pictures with one model and its processor."""

    def __init__(self, model: Any, processor: Any, cache: ByteCache, composes: bool | None = None) -> None:
        """`composes`: see `can_compose`; None: not tried yet."""
        self.model = model
        self.processor = processor
        self._cache = cache
        self.composes = composes
        self._uncut = {name: False for name in _CUTS if hasattr(processor.image_processor, name)}

    def prompts(self, before: str, orders: Sequence[Sequence[Image.Image]]) -> list[Prompt]:
        """One prompt for each order of the pictures, of which those behind the first two are close-ups.

        Each picture goes through the vision tower once, alone, whatever the number of orders, or not at all if it
        is remembered. With a family whose processor treats several pictures other than one (LLaVA-OneVision), all
        are read together, in each order anew.
        """
        if not self.can_compose(before):
            return [Prompt(self.together(before, pictures)) for pictures in orders]
        wanted = {
            id(picture): (picture, place >= NUM_WHOLE) for pictures in orders for place, picture in enumerate(pictures)
        }
        seen = dict(zip(wanted, self._each_seen(list(wanted.values())), strict=True))
        return [self.composed(before, [seen[id(picture)] for picture in pictures]) for pictures in orders]

    def can_compose(self, before: str) -> bool:
        """Whether prompts can be put together from pictures looked at one by one; tried once, on small ones."""
        if self.composes is None:
            self.composes = self._tried(before)
        return self.composes

    def together(self, before: str, pictures: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        """The processor's own tensors for the whole prompt, on the model's device and in its type."""
        bos = self.processor.tokenizer.bos_token
        begins = not (bos and before.startswith(bos))
        batch = self.processor(text=[before], images=[list(pictures)], return_tensors="pt", add_special_tokens=begins)
        return self._sent(batch)

    def _sent(self, batch: Any) -> dict[str, torch.Tensor]:
        if self.model.device.type == "cuda":  # from pinned memory the copy goes on while Python does
            for name, value in batch.to(dtype=self.model.dtype).items():
                batch[name] = value.pin_memory() if isinstance(value, torch.Tensor) else value
        return dict(batch.to(self.model.device, dtype=self.model.dtype, non_blocking=True))

    def uncut(self) -> dict[str, bool]:
        """Settings of the processor for close-ups, where pictures are looked at one by one."""
        return self._uncut if self.composes else {}

    def _each_seen(self, wanted: Sequence[tuple[Image.Image, bool]]) -> Iterator[EncodedPicture]:
        """One after the other; another thread makes the tensors of the next while the device looks at this one.

        One ahead, so that memory doesn't grow with the pictures.
        """
        with ThreadPoolExecutor(1, "pictures") as thread:
            begun: tuple[str, EncodedPicture | Future[Any]] | None = None
            for one in (*wanted, None):
                after = None if one is None else self._begun(thread, *one)
                if begun is not None:
                    yield self._finished(*begun)
                begun = after

    def _begun(
        self, thread: ThreadPoolExecutor, picture: Image.Image, is_close_up: bool
    ) -> tuple[str, EncodedPicture | Future[Any]]:
        key = f"{is_close_up} {content_key(picture)}" if self._cache.capacity_bytes else ""
        return key, self._cache.get("vision", key) or thread.submit(self._alone, picture, is_close_up)

    def _finished(self, key: str, begun: EncodedPicture | Future[Any]) -> EncodedPicture:
        if isinstance(begun, EncodedPicture):
            return begun
        seen = self._looked(begun.result())
        self._cache.put("vision", key, seen, seen.num_bytes)
        return seen

    def look(self, picture: Image.Image, *, is_close_up: bool = False) -> EncodedPicture:
        """One picture alone through the vision tower; a close-up is not cut into tiles."""
        return self._looked(self._alone(picture, is_close_up))

    def _alone(self, picture: Image.Image, is_close_up: bool) -> Any:
        """The processor's tensors of it, on the CPU."""
        uncut = self._uncut if is_close_up else {}
        token = self.processor.image_token
        return self.processor(text=[token], images=[[picture]], return_tensors="pt", add_special_tokens=False, **uncut)

    def _looked(self, batch: Any) -> EncodedPicture:
        tensors = self._sent(batch)
        shape = tensors["input_ids"].shape
        stretch = {name: value for name, value in tensors.items() if value.shape == shape and "pixel" not in name}
        layout = {name: value for name, value in tensors.items() if name not in stretch and "pixel" not in name}
        wanted = inspect.signature(self.model.get_image_features).parameters
        pixels = {name: value for name, value in tensors.items() if name not in stretch and name in wanted}
        features = self.model.get_image_features(**pixels, return_dict=True)
        return EncodedPicture(stretch, layout, _kept(features))

    def composed(self, before: str, pictures: Sequence[EncodedPicture]) -> Prompt:
        """The prompt's text around the pictures, tokenized piece by piece, and their stretches between."""
        pieces = before.split(self.processor.image_token)
        if len(pieces) != len(pictures) + 1:
            raise ValueError("the template has not one place for each picture")
        first, *others = pieces
        return self._joined([self.opening(first), *map(self._plain, others)], pictures)

    def woven(self, stretches: Sequence[Sequence[int]], pictures: Sequence[Image.Image]) -> Prompt:
        """A prompt of these tokens, with a picture between each two stretches, each looked at alone and whole.

        Only where `can_compose`.
        """
        return self._joined(stretches, list(self._each_seen([(picture, False) for picture in pictures])))

    def opening(self, text: str) -> list[int]:
        """Tokens of a prompt's first text: what the tokenizer puts at the beginning is there once."""
        bos = self.processor.tokenizer.bos_token
        begins = not (bos and text.startswith(bos))
        return list(self.processor.tokenizer(text, add_special_tokens=begins)["input_ids"]) if text else []

    def _plain(self, text: str) -> list[int]:
        return list(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []

    def _joined(self, stretches: Sequence[Sequence[int]], pictures: Sequence[EncodedPicture]) -> Prompt:
        names = list(pictures[0].stretch)
        parts = [self._filled(ids, names) for ids in stretches]
        whole: list[Mapping[str, torch.Tensor]] = [parts[0]]
        for seen, part in zip(pictures, parts[1:], strict=True):
            whole += [seen.stretch, part]
        inputs: dict[str, Any] = {name: torch.cat([part[name] for part in whole], dim=1) for name in names}
        for name in pictures[0].layout:
            inputs[name] = torch.cat([seen.layout[name] for seen in pictures])
        inputs["mm_encoder_outputs"] = {"image": merged([seen.features for seen in pictures])}
        return Prompt(inputs)

    def _filled(self, ids: Sequence[int], names: Sequence[str]) -> dict[str, torch.Tensor]:
        device = self.model.device
        fillers = {"input_ids": torch.tensor([list(ids)], dtype=torch.long).to(device)}
        for name in names:
            if name != "input_ids":
                fillers[name] = torch.full((1, len(ids)), int(name == "attention_mask"), device=device)
        return fillers

    def _tried(self, before: str) -> bool:
        """Whether a prompt put together from parts is the processor's own, and its features the model's own."""
        count = before.count(getattr(self.processor, "image_token", None) or "\0")
        pictures = [_noise(_PROBE_SIZES[i % 2], i) for i in range(count)]
        problem = "the template has no place for pictures"
        if pictures:
            try:
                problem = self._difference(before, pictures)
            except _CANT_COMPOSE as exc:
                # Whatever a family does otherwise with one picture than with several: the plain way remains.
                problem = type(exc).__name__
        if problem:
            logger.warning("pictures are read together and not remembered with this model: %s", problem)
        return not problem

    def _difference(self, before: str, pictures: Sequence[Image.Image]) -> str:
        composed = self.composed(before, [self.look(picture) for picture in pictures]).inputs
        whole = self.together(before, pictures)
        for name in composed:
            if name != "mm_encoder_outputs" and not torch.equal(composed[name], whole[name]):
                return name
        wanted = inspect.signature(self.model.get_image_features).parameters
        own = _kept(self.model.get_image_features(**{k: v for k, v in whole.items() if k in wanted}, return_dict=True))
        ours = composed["mm_encoder_outputs"]["image"]
        same = all(_are_near(ours[name], own[name]) for name in dict(own))
        return "" if same else "features"


def stacked(prompts: Sequence[Prompt]) -> dict[str, Any] | None:
    """All prompts as rows of one forward pass; None where they differ in length or in the form of their pictures.

    Padding would make them equally long, but a recurrent state reads it and M-RoPE counts it. Pixels of several
    pictures in one row (MiniCPM-V) are not rows of anything.
    """
    first, *others = [prompt.inputs for prompt in prompts]
    if others and "target_sizes" in first and len(first["pixel_values"]) < len(first["target_sizes"]):
        return None
    rows: dict[str, Any] = {}
    for name, value in first.items():
        if name == "mm_encoder_outputs":
            rows[name] = {"image": merged([value["image"], *(other[name]["image"] for other in others)])}
        elif any(other[name].shape[1:] != value.shape[1:] for other in others):
            return None
        else:
            rows[name] = torch.cat([value, *(other[name] for other in others)])
    return rows


def merged(features: Sequence[BaseModelOutputWithPooling]) -> BaseModelOutputWithPooling:
    """The features of several pictures as one call for all would give them."""
    fields = {name: [dict(one)[name] for one in features] for name in dict(features[0])}
    return type(features[0])(**{name: _joined(parts) for name, parts in fields.items()})


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], torch.Tensor):
        return torch.cat(parts)
    if all(isinstance(one, torch.Tensor) for one in parts[0]):  # a tensor for each picture
        return [one for part in parts for one in part]
    return [_joined(list(level)) for level in zip(*parts, strict=True)]  # so in each of several levels


def _kept(features: BaseModelOutputWithPooling) -> BaseModelOutputWithPooling:
    """Only what a language model reads: the hidden states of the tower's layers may go."""
    names = [name for name in ("pooler_output", "deepstack_features") if features.get(name) is not None]
    return type(features)(**{name: features[name] for name in names})


def _flat(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value
    return [tensor for one in inner for tensor in _flat(one)]


def _are_near(ours: Any, own: Any) -> bool:
    """By the norm of the difference. Raises RuntimeError where there are more of one than of the other."""
    one, other = _tall(ours), _tall(own)
    return bool((one - other).norm() <= _ROUNDING * other.norm())


def _tall(value: Any) -> torch.Tensor:
    """All rows below one another, however they are split by pictures."""
    return torch.cat([tensor.reshape(-1, tensor.shape[-1]).float() for tensor in _flat(value)])


def content_key(picture: Image.Image) -> str:
    """The same for equal pixels, however they were sent."""
    return hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).hexdigest()


def _noise(size: tuple[int, int], seed: int) -> Image.Image:
    return Image.effect_noise(size, 64 + seed).convert("RGB")
