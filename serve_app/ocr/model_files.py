"""Where the two networks lie that read text, and the symbols that the second one knows.
Runs no code of the package they come with: that would download others."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

PACKAGE: Final = "rapidocr"  # 3.10.0; Apache-2.0, code and weights: MODEL_LICENSES.md in its wheel
MODEL: Final = "PP-OCRv6-small"
_DETECTION: Final = (
    "models/PP-OCRv6_det_small.onnx",
    "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
)
_RECOGNITION: Final = (
    "models/PP-OCRv6_rec_small.onnx",
    "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
)
_METADATA: Final = 14  # field of ONNX's ModelProto: key and value, strings
_SYMBOLS: Final = b"character"  # the key; its value has one symbol a line

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """ONNX files: `detection` finds lines, `recognition` reads one."""

    detection: Path
    recognition: Path


class ModelFilesWrong(Exception):
    """A file isn't the one that was tried: another version of the package, or a broken one."""


@cache
def find() -> ModelFiles | None:
    """The files where the package is installed; None where it isn't. Opens neither."""
    spec = find_spec(PACKAGE)
    for folder in (None if spec is None else spec.submodule_search_locations) or ():
        files = ModelFiles(Path(folder, _DETECTION[0]), Path(folder, _RECOGNITION[0]))
        if files.detection.is_file() and files.recognition.is_file():
            return files
    if spec is not None:
        _logger.warning("the package %s is installed without the networks of %s: no text is read", PACKAGE, MODEL)
    return None


def checked(path: Path) -> bytes:
    """What is in one of the files. Raises `ModelFilesWrong` where it isn't what was tried; 20 ms for both."""
    content = path.read_bytes()
    wanted = {Path(name).name: digest for name, digest in (_DETECTION, _RECOGNITION)}[path.name]
    if hashlib.sha256(content).hexdigest() != wanted:
        raise ModelFilesWrong(f"{path.name} is not the file of {PACKAGE} 3.10.0")
    return content


def symbols(recognition: bytes) -> tuple[str, ...]:
    """What each number of the recognition's output stands for; the first is the blank of CTC, the last a space.

    ONNX is a protocol buffer: its top level is walked, the network itself stepped over.
    """
    for number, value in _fields(recognition):
        if number == _METADATA:
            entry = dict(_fields(value))
            if entry.get(1) == _SYMBOLS:
                # Not `splitlines`: some of the symbols are what that takes for the end of a line.
                return ("", *entry[2].decode().removesuffix("\n").split("\n"), " ")
    raise ModelFilesWrong("the network names no symbols")


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Field number and value of a protocol buffer's length-delimited fields; numbers are stepped over."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 2:
            size, at = _varint(message, at)
            yield key >> 3, message[at : at + size]
            at += size
        elif kind == 0:
            _, at = _varint(message, at)
        else:
            at += 8 if kind == 1 else 4


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
