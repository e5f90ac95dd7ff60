"""Pictures that tests are held against: where they lie, and what was ignored when they were taken.
Knows no pytest, no browser and no comparison.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from serve_app.client.pictures import source
from serve_app.schema import BoxField

FOLDER: Final = "baselines"
LONGEST_NAME: Final = 100  # of what is made of a test's name; file systems take 255 bytes
# A text chunk of the PNG: boxes that were ignored when it was taken, as JSON.
_IGNORED: Final = "pairlens:ignored"
# What PNG holds without a loss; other modes become RGB.
_PNG_MODES: Final = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")
_UNSAFE: Final = re.compile(r"[^\w.\-]+")


class NotAPicture(Exception):
    """A file can't be made a baseline: why, without a full stop."""


class BaselineCorrupt(Exception):
    """A file that is there and can't be used: one sentence."""


def path_of(test_file: Path, name: str, browser: str | None) -> Path:
    """Beside the test, in a folder of its own name: as the same test is run in another browser or on another platform,
    another file."""
    drawn_by = f"-{browser}-{sys.platform}" if browser else ""
    return test_file.parent / FOLDER / test_file.stem / f"{name}{drawn_by}.png"


def file_name(test: str) -> str:
    """Of a test's name, parameters and all, what every file system takes; two tests never share one."""
    function, _, parameters = test.partition("[")
    plain = "-".join(part for part in (function.replace("::", "."), parameters.removesuffix("]")) if part)
    safe = _UNSAFE.sub("_", plain).strip("._") or "test"
    if safe == plain and len(safe) <= LONGEST_NAME:
        return safe
    return f"{safe[:LONGEST_NAME]}-{hashlib.sha256(test.encode()).hexdigest()[:8]}"


def is_file_name(name: str) -> bool:
    return bool(name) and len(name) <= LONGEST_NAME and _UNSAFE.search(name) is None and not name.startswith(".")


def write(path: Path, png: bytes, ignored: Sequence[BoxField]) -> None:
    """Whole or not at all, with its folders. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_with_ignored(png, ignored) if ignored else png)
        Path(part).chmod(0o644)  # mkstemp makes it its owner's alone; a baseline is the repository's
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def as_png(content: bytes) -> bytes:
    """A file as PNG, upright; one that is a PNG as it is. Raises `NotAPicture` where it can't be decoded."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow has to say of a file is no matter of the test's
            with Image.open(io.BytesIO(content)) as opened:
                opened.load()
                if opened.format == "PNG":
                    return content
                upright = ImageOps.exif_transpose(opened)
                return source(upright if upright.mode in _PNG_MODES else upright.convert("RGB"), "reference").read()
    except UnidentifiedImageError as exc:
        raise NotAPicture("it is no image file that can be read here") from exc
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise NotAPicture("it can't be decoded: it is cut off, corrupt or too large") from exc


def ignored_in(path: Path, content: bytes) -> tuple[BoxField, ...]:
    """What `write` was told to be ignored. Raises `BaselineCorrupt`."""
    if _IGNORED.encode() not in content:
        return ()
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as opened:
            boxes = json.loads(opened.info.get(_IGNORED, "[]"))
        return tuple((int(x), int(y), int(width), int(height)) for x, y, width, height in boxes)
    except (OSError, SyntaxError, ValueError, TypeError) as exc:
        raise BaselineCorrupt(f"The baseline {path} can't be read: it is cut off or corrupt.") from exc


def _with_ignored(png: bytes, ignored: Sequence[BoxField]) -> bytes:
    from PIL import Image, PngImagePlugin

    told = PngImagePlugin.PngInfo()
    told.add_text(_IGNORED, json.dumps([list(box) for box in ignored]))
    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as opened:
        opened.save(out, "PNG", pnginfo=told)
    return out.getvalue()
