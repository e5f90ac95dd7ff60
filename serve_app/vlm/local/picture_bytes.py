"""What an engine is shown, as pictures of the sizes that were planned.
No model: bytes of the CPU stage in, Pillow's images out.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from serve_app.core.pictures import ShownImage

_DECODED_AT_ONCE = 4


def decoded(pictures: Sequence[ShownImage], sizes: Sequence[tuple[int, int]]) -> list[Image.Image]:
    """Each at its size; side by side, because Pillow's decoder lets go of Python's lock."""
    with ThreadPoolExecutor(_DECODED_AT_ONCE, "pictures") as threads:
        return list(threads.map(lambda shown, size: _shrunk(opened(shown), size), pictures, sizes))


def _shrunk(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def opened(shown: ShownImage) -> Image.Image:
    """The picture as RGB."""
    if shown.encoding == "rgb":
        return Image.frombytes("RGB", (shown.width, shown.height), shown.data)
    with Image.open(io.BytesIO(shown.data), formats=["JPEG"]) as image:
        return image.convert("RGB")
