"""HEIC, as iPhones save photographs: opened with pi-heif (the extra `heic`), which has libheif and a decoder in it.
Knows no limits: what it opens is measured and refused as any other picture, from its header."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from PIL import Image

# Versions before it have known holes that a file can reach (published in 2026).
LEAST_LIBHEIF: Final = (1, 23)

_NOT_INSTALLED: Final = (
    "HEIC is on the list (args.limits.formats), but what reads it isn't installed: pip install 'pairlens[heic]'."
)


class HeicUnavailable(Exception):
    """HEIC is on the operator's list and can't be read here: one sentence for the operator."""


def check(formats: Iterable[str]) -> None:
    """Raises `HeicUnavailable` where HEIC is one of the formats and can't be read."""
    if "HEIC" in formats:
        _picture()


def opened(data: bytes) -> Image.Image:
    """The primary picture of the file, its size and colours known, nothing of it decoded: 0.4 ms for 4 MB.

    What the file says of turning and mirroring (irot, imir) is in its size already and is done by the decoder; its EXIF
    orientation counts for nothing, as ISO/IEC 23008-12 has it. Raises what Pillow's own plugins raise.
    """
    found: Image.Image = _picture()(io.BytesIO(data))
    return found


def too_old(version: str) -> str | None:
    """What is wrong with this version of libheif, for the operator."""
    numbers = tuple(int(part) if part.isdigit() else 0 for part in version.split(".")[:2])
    if numbers >= LEAST_LIBHEIF:
        return None
    least = ".".join(map(str, LEAST_LIBHEIF))
    return (
        f"HEIC is on the list (args.limits.formats), but libheif here is {version}, and versions before {least} have "
        "known holes: pip install --upgrade 'pi-heif>=1.4', or take HEIC off the list."
    )


@cache
def _picture() -> Any:
    """The class of an opened file. Raises `HeicUnavailable`."""
    try:
        import pi_heif
        from pi_heif.as_plugin import HeifImageFile
    except ImportError as exc:
        raise HeicUnavailable(_NOT_INSTALLED) from exc
    if (problem := too_old(pi_heif.libheif_version())) is not None:
        raise HeicUnavailable(problem)
    options = pi_heif.options
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    options.DECODE_THREADS = 1  # `preprocessing.threads` says how many pictures are decoded at once
    options.DISABLE_SECURITY_LIMITS = False

    class Picture(HeifImageFile):  # type: ignore[misc] # of a package without types
        """Not registered with Pillow: only what is known as HEIC by its first bytes comes here."""

        format = "HEIC"

        def _open(self) -> None:
            super()._open()
            if not self.info.get("primary"):  # it is damaged: the plugin would show another one
                raise SyntaxError("no primary picture")

        def seek(self, frame: int) -> None:
            """0 is the primary picture, wherever it lies; the others follow in their order. Raises EOFError."""
            pictures = self._heif_file
            if pictures is None or not 0 <= frame < len(pictures):
                raise EOFError(frame)
            primary = pictures.primary_index
            index = primary if frame == 0 else frame - (frame <= primary)
            width, height = pictures[index].size
            if width * height > (Image.MAX_IMAGE_PIXELS or 0):
                raise Image.DecompressionBombError  # the plugin takes memory for all of it at once
            super().seek(index)

    return Picture
