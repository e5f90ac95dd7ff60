"""The typefaces that pairs are drawn in: those of a fixed list that this machine has.
Knows no text."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import ImageFont

FONTS: Final = Path("/usr/share/fonts")
PACKAGES: Final = ("fonts-wqy-microhei", "fonts-dejavu-core")  # Debian's smallest that have all letters: 1.6 and 1.1 MB
LOGICAL: Final = "logical"  # Pillow's own face stands for it; always there


@dataclass(frozen=True)
class Face:
    """One cut of a typeface; `file` under the system's fonts, `index` in its collection."""

    name: str
    file: str
    index: int = 0
    is_chinese: bool = False
    is_bold: bool = False

    @property
    def is_there(self) -> bool:
        return self.file == LOGICAL or (FONTS / self.file).is_file()

    def has(self, text: str) -> bool:
        """It has a shape for each letter."""
        return all(_has(self, letter) for letter in set(text) if not letter.isspace())


_LATIN = (
    Face("Aileron", LOGICAL),
    Face("DejaVu Sans", "truetype/dejavu/DejaVuSans.ttf"),
    Face("DejaVu Sans Bold", "truetype/dejavu/DejaVuSans-Bold.ttf", is_bold=True),
    Face("DejaVu Sans Condensed", "truetype/dejavu/DejaVuSansCondensed.ttf"),
    Face("DejaVu Serif", "truetype/dejavu/DejaVuSerif.ttf"),
    Face("Liberation Sans", "truetype/liberation/LiberationSans-Regular.ttf"),
    Face("Liberation Sans Bold", "truetype/liberation/LiberationSans-Bold.ttf", is_bold=True),
    Face("Liberation Sans Narrow", "truetype/liberation/LiberationSansNarrow-Regular.ttf"),
    Face("Liberation Serif", "truetype/liberation/LiberationSerif-Regular.ttf"),
    Face("Liberation Serif Bold", "truetype/liberation/LiberationSerif-Bold.ttf", is_bold=True),
    Face("Liberation Mono", "truetype/liberation/LiberationMono-Regular.ttf"),
)
_CHINESE = (
    Face("WenQuanYi Micro Hei", "truetype/wqy/wqy-microhei.ttc", is_chinese=True),
    Face("Noto Sans CJK SC", "opentype/noto/NotoSansCJK-Regular.ttc", 2, is_chinese=True),
    Face("Noto Sans CJK SC Bold", "opentype/noto/NotoSansCJK-Bold.ttc", 2, is_chinese=True, is_bold=True),
    Face("Noto Serif CJK SC", "opentype/noto/NotoSerifCJK-Regular.ttc", 2, is_chinese=True),
    Face("AR PL SungtiL GB", "truetype/arphic-gbsn00lp/gbsn00lp.ttf", is_chinese=True),
    Face("AR PL KaitiM GB", "truetype/arphic-gkai00mp/gkai00mp.ttf", is_chinese=True),
)


@functools.cache
def faces(*, chinese: bool, bold: bool | None = None) -> tuple[Face, ...]:
    """Those that are here, in a fixed order; where none is bold enough, any."""
    here = tuple(face for face in (_CHINESE if chinese else _LATIN) if face.is_there)
    return tuple(face for face in here if bold is None or face.is_bold == bold) or here


def has_chinese() -> bool:
    return bool(faces(chinese=True))


def has_prices() -> bool:
    """Pillow's own face has neither sign."""
    return any(face.has("¥€") for chinese in (False, True) for face in faces(chinese=chinese))


@functools.lru_cache(512)
def font(face: Face, size: float) -> ImageFont.FreeTypeFont:
    if face.file == LOGICAL:
        loaded = ImageFont.load_default(size=size)
        assert isinstance(loaded, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
        return loaded
    return ImageFont.truetype(str(FONTS / face.file), size, index=face.index)


@functools.cache
def _has(face: Face, letter: str) -> bool:
    shape, none = (bytes(font(face, 24).getmask(each)) for each in (letter, "\U0010fffe"))
    return shape != none
