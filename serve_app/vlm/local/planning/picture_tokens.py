"""How many tokens of a prompt a picture of some size takes, told without its pixels.
No model: a processor's own count where it has one that holds, else what it makes of a blank picture.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Mapping
from typing import Any

from PIL import Image

logger = logging.getLogger("pairlens.vlm")
_MOST_REMEMBERED = 4096  # sizes
_TRIED = ((96, 64), (64, 112), (448, 448), (1024, 768), (300, 900))
_NO_COUNT = (AttributeError, IndexError, KeyError, TypeError, ValueError)


class PictureTokens:
    """Counts for one processor. `at_once`: pictures in one prompt, because some processors cut a lone one otherwise.

    `uncut`: the processor's settings for close-ups.
    """

    def __init__(self, processor: Any, at_once: int, uncut: Mapping[str, bool]) -> None:
        self._processor = processor
        self._uncut = uncut
        self._at_once = at_once
        self.of = functools.lru_cache(_MOST_REMEMBERED)(self._of)
        # Marks around a picture are not in every processor's count: so many tokens more, the same for every size.
        self._around: int | None = None
        try:
            around = {self._blank(*one) - self._own_count(*one) for one in itertools.product(_TRIED, (False, True))}
            self._around = around.pop() if len(around) == 1 else None
        except _NO_COUNT:
            pass
        if self._around is None:
            logger.info("tokens of a picture are counted by processing a blank one: its processor has no count")

    @property
    def is_arithmetic(self) -> bool:
        return self._around is not None

    def _of(self, size: tuple[int, int], is_close_up: bool = False) -> int:
        """`size`: width and height. Raises what the processor raises of a picture that it doesn't take."""
        if self._around is None:
            return self._blank(size, is_close_up)
        return self._own_count(size, is_close_up) + self._around

    def _own_count(self, size: tuple[int, int], is_close_up: bool) -> int:
        width, height = size
        more = self._uncut if is_close_up else {}
        counted = self._processor._get_num_multimodal_tokens(image_sizes=[(height, width)], **more)
        return int(counted.num_image_tokens[0])

    def _blank(self, size: tuple[int, int], is_close_up: bool) -> int:
        more = self._uncut if is_close_up else {}
        pictures = [Image.new("RGB", size)] * self._at_once
        text = self._processor.image_token * self._at_once
        made = self._processor(text=[text], images=[pictures], return_tensors="np", add_special_tokens=False, **more)
        return round(len(made["input_ids"][0]) / self._at_once)
