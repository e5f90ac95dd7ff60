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
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    # A file's content, or its path; an image of Pillow; an array (height, width) or (height, width, 1, 3 or 4) of
    # bytes, red first, of bools, or of 16 bits where it is grey.
    Picture: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | Image.Image | NDArray[Any]
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
    if hasattr(picture, "__array__"):
        return Source(_of_array(picture, role), f"{role}.png")
    raise TypeError(f"A picture is bytes, a path, an image of Pillow or an array, not {type(picture).__name__}.")


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


def _of_array(picture: Any, role: ImageRole) -> bytes:
    import numpy as np
    from PIL import Image

    array = np.asarray(picture)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not _is_drawable(array):
        told = (
            f"An array of shape {array.shape} and {array.dtype} is no picture: (height, width) or "
            "(height, width, 3 or 4) of uint8, bool, or uint16 where it is grey."
        )
        raise ImageRejected(told, image=role)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(out, "PNG", compress_level=_PNG_EFFORT)
    return out.getvalue()


def _is_drawable(array: NDArray[np.generic]) -> bool:
    if array.size == 0 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in _CHANNELS):
        return False
    depths = ("uint8", "bool", "uint16") if array.ndim == 2 else ("uint8", "bool")
    return array.dtype.name in depths
