"""Whatever a test has for a picture as the bytes of an image file.
Knows no browser, no pytest and no baseline; imports nothing that the test hasn't, but Pillow and numpy.
"""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, cast, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

# What PNG holds without a loss; other modes become RGB, or RGBA where something is transparent.
_PNG_MODES: Final = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")


class NotAPicture(Exception):
    """What a test handed over can't be taken for a picture: one sentence that says why."""


@runtime_checkable
class Figure(Protocol):
    """A figure of matplotlib, by what is asked of it."""

    bbox_inches: Any

    def savefig(self, fname: Any, **options: Any) -> object: ...


def encoded(actual: object) -> bytes:
    """The file that `actual` is (bytes, a path), or a PNG of it (PIL image, matplotlib figure, array).

    An array is height x width (grey) or height x width x 1, 3 or 4 (grey, RGB, RGBA): bool, integers 0..255, or floats
    0..1. Raises `NotAPicture`, OSError for a path.
    """
    if isinstance(actual, bytes | bytearray | memoryview):
        return bytes(actual)
    if isinstance(actual, str | Path):
        return Path(actual).read_bytes()
    if isinstance(actual, Figure):
        return _drawn(actual)
    from PIL import Image

    if isinstance(actual, Image.Image):
        return png(actual)
    if hasattr(actual, "__array__") or hasattr(actual, "__array_interface__"):
        return png(_of_array(actual))
    raise NotAPicture(
        f"{type(actual).__qualname__} is no picture: hand over a page or locator of Playwright, a matplotlib figure, "
        "a PIL image, an array, the bytes of an image file, or its path."
    )


def png(image: Image.Image) -> bytes:
    """Without a loss for modes that PNG has."""
    if image.mode not in _PNG_MODES:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)  # 5 times as fast as 6, and a tenth larger, for a screenshot
    return out.getvalue()


def as_png(content: bytes) -> bytes:
    """A file as PNG, upright; one that is a PNG as it is. Raises `NotAPicture` where it can't be decoded."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow has to say of a file is no matter of the test's
            with Image.open(io.BytesIO(content)) as opened:
                opened.load()
                return content if opened.format == "PNG" else png(ImageOps.exif_transpose(opened))
    except UnidentifiedImageError as exc:
        raise NotAPicture("it is no image file that can be read here") from exc
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise NotAPicture("it can't be decoded: it is cut off, corrupt or too large") from exc


def _drawn(figure: Figure) -> bytes:
    """As large as the figure says (inches times its own dpi), whatever `savefig.dpi` and `savefig.bbox` are set to."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi="figure", bbox_inches=figure.bbox_inches, metadata={"Software": None})
    return out.getvalue()


def _of_array(actual: object) -> Image.Image:
    import numpy as np
    from PIL import Image

    pixels = np.asarray(cast("NDArray[Any]", actual))
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))) or not math.prod(pixels.shape):
        raise NotAPicture(
            f"An array of shape {pixels.shape} is no picture: height x width, or height x width x 1, 3 or 4 is."
        )
    return Image.fromarray(np.ascontiguousarray(_bytes_of(pixels)))


def _bytes_of(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Values of an array, 0..255. Raises `NotAPicture` where they are outside of what is said for their kind."""
    import numpy as np

    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.bool_:
        return np.where(pixels, 255, 0).astype(np.uint8)
    if not (np.issubdtype(pixels.dtype, np.integer) or np.issubdtype(pixels.dtype, np.floating)):
        raise NotAPicture(f"An array of {pixels.dtype} is no picture: bool, integers 0..255 or floats 0..1 are.")
    most = 1 if np.issubdtype(pixels.dtype, np.floating) else 255
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= most):  # NaN is neither
        raise NotAPicture(f"An array of {pixels.dtype} has values 0..{most}; this one's are {low:g}..{high:g}.")
    return np.rint(pixels * (255 / most)).astype(np.uint8)
