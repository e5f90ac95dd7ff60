"""What a caller may hand over as a picture, and the bytes or the file that it is sent as.
Decodes nothing, and loads neither Pillow nor numpy: who has an image or an array has loaded them already."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from serve_app.errors import ImageRejected, ImageRole

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from PIL import Image

    # A file's content, or its path; an image of Pillow; a figure of matplotlib; an array (height, width) or (height,
    # width, 1, 3 or 4), red first: bools, integers 0..255, floats 0..1, or 16 bits where it is grey.
    Picture: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | Image.Image | Figure | NDArray[Any]
else:
    Picture = object

# Of zlib, 0..9: sent once, so it is to be quick.
_PNG_EFFORT = 1
_CHANNELS = (1, 3, 4)


@dataclass(frozen=True, slots=True)
class Source:
    """A picture as it is sent: bytes, or a file that is read while it is sent."""

    content: bytes | Path
    name: str

    def read(self) -> bytes:
        """Raises OSError."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()

    def digest(self) -> str:
        """SHA-256 of it, in hex. Raises OSError."""
        if isinstance(self.content, bytes):
            return hashlib.sha256(self.content).hexdigest()
        with self.content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def source(picture: Picture, role: ImageRole) -> Source:
    """How a picture is sent: a path as it is, images and arrays as PNG, which loses nothing.

    Raises `ImageRejected` for what has no lossless form of 8 or 16 bits, TypeError for what is no picture.
    """
    if isinstance(picture, bytes | bytearray | memoryview):
        return Source(bytes(picture), role)
    if isinstance(picture, str | os.PathLike):
        path = Path(picture)
        return Source(path, path.name or role)
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(picture, pillow.Image):
        return Source(_of_image(picture, role), f"{role}.png")
    figure = sys.modules.get("matplotlib.figure")
    if figure is not None and isinstance(picture, figure.Figure):
        return Source(_of_figure(picture), f"{role}.png")
    if hasattr(picture, "__array__"):
        return Source(_of_array(picture, role), f"{role}.png")
    told = "A picture is bytes, a path, an image of Pillow, a figure of matplotlib or an array"
    raise TypeError(f"{told}, not {type(picture).__name__}.")


def _of_image(image: Image.Image, role: ImageRole) -> bytes:
    """Its pixels and, beside them, what says how they are turned and what their colours mean."""
    kind = "TIFF" if image.mode in ("CMYK", "LAB", "YCbCr") else "PNG"  # PNG has no such colours
    more: dict[str, Any] = {"compression": "tiff_deflate"} if kind == "TIFF" else {"compress_level": _PNG_EFFORT}
    exif = image.getexif()
    if exif:
        more["exif"] = exif.tobytes()
    out = io.BytesIO()
    try:
        image.save(out, kind, icc_profile=image.info.get("icc_profile"), **more)
    except (OSError, ValueError, KeyError):
        told = f"An image of mode {image.mode} can't be sent as it is: convert it to RGB, RGBA or L."
        raise ImageRejected(told, image=role) from None
    return out.getvalue()


def _of_figure(figure: Figure) -> bytes:
    """As large as it says (inches times its own dpi), whatever `savefig.dpi` and `savefig.bbox` are set to; the same
    bytes each time."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi="figure", bbox_inches=figure.bbox_inches, metadata={"Software": None})
    return out.getvalue()


def _of_array(picture: Any, role: ImageRole) -> bytes:
    import numpy as np
    from PIL import Image

    array = np.asarray(picture)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    pixels = None if array.size == 0 or array.ndim not in (2, 3) else _drawable(array)
    if pixels is None:
        told = (
            f"An array of shape {array.shape} and {array.dtype.name} is no picture: (height, width) or (height, "
            "width, 1, 3 or 4) of bools, integers 0..255 or floats 0..1, or of uint16 where it is grey."
        )
        raise ImageRejected(told, image=role)
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG", compress_level=_PNG_EFFORT)
    return out.getvalue()


def _drawable(array: NDArray[Any]) -> NDArray[Any] | None:
    """As numbers of 8 bits, grey ones of 16; None for what isn't of a kind, a shape or a range that says how."""
    import numpy as np

    if array.ndim == 3 and array.shape[2] not in _CHANNELS:
        return None
    if array.dtype == np.uint8 or (array.dtype == np.uint16 and array.ndim == 2):
        return array
    is_float = np.issubdtype(array.dtype, np.floating)
    if not (is_float or array.dtype == np.bool_ or np.issubdtype(array.dtype, np.integer)):
        return None
    most = 255 if np.issubdtype(array.dtype, np.integer) else 1
    if not (array.min() >= 0 and array.max() <= most):  # NaN is neither
        return None
    return np.rint(array * (255 / most)).astype(np.uint8)
