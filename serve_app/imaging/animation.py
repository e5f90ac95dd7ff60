"""How many frames a file holds, where saying so costs next to nothing.
Decodes none of them: one of each file is compared."""

from __future__ import annotations

from PIL import Image

from serve_app.imaging.pieces import gif_table_bytes
from serve_app.settings import ImageFormat

# A GIF of one-byte blocks would make a walk of minutes; past this many steps we stop counting.
_MAX_STEPS = 100_000


def count_frames(image: Image.Image, data: bytes, kind: ImageFormat) -> int | None:
    """Frames of an opened, not yet loaded image; None: more than one, not counted.

    Pillow's `n_frames` is a number read from the header for WebP, AVIF, HEIC, PNG and MPO, but a walk
    through the whole file in Python for GIF and TIFF, so these two are looked at here.
    Leaves a TIFF at its second page where it has one.
    """
    if kind == "GIF":
        return _gif_frames(data)
    if kind == "TIFF":
        try:
            image.seek(1)
        except EOFError:
            return 1
        return None
    return max(1, int(getattr(image, "n_frames", 1)))


def has_pages(image: Image.Image) -> bool:
    """Whether each frame lies by itself and has a size of its own."""
    return image.format in ("TIFF", "MPO", "HEIC")


def frame_note(frames: int | None, frame: int) -> str | None:
    if frames == 1:
        return None
    which = f"frame {frame}, counted from 0," if frame else "the first"
    return f"Only {which} of {frames or 'several'} frames is compared."


def _gif_frames(data: bytes) -> int | None:
    at = 13 + gif_table_bytes(data, 10)
    frames = 0
    for _ in range(_MAX_STEPS):
        kind = data[at : at + 1]
        if kind == b",":
            frames += 1
            at += 11 + gif_table_bytes(data, at + 9)
        elif kind == b"!":
            at += 2
        else:
            return max(1, frames)
        while size := data[at] if at < len(data) else 0:
            at += 1 + size
        at += 1
    return None
