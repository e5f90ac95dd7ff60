"""What `documents` and `reader` say to one another over two pipes: JSON and bytes, as a file may have broken
into the other side. Knows no PDF."""

from __future__ import annotations

import json
import struct
from typing import IO, Any, Final

_HEAD: Final = struct.Struct(">II")
MOST_BYTES: Final = 1 << 30  # of a page as PNG; what says more than that is no reader of ours


class Broken(Exception):
    """The other side has ended, or says what none of ours would."""


def send(stream: IO[bytes], told: dict[str, Any], data: bytes = b"") -> None:
    """Raises OSError."""
    text = json.dumps(told).encode()
    stream.write(_HEAD.pack(len(text), len(data)))
    stream.write(text)
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Raises `Broken`."""
    text_bytes, data_bytes = _HEAD.unpack(_exactly(stream, _HEAD.size))
    if max(text_bytes, data_bytes) > MOST_BYTES:
        raise Broken
    try:
        told = json.loads(_exactly(stream, text_bytes))
    except ValueError:
        raise Broken from None
    if not isinstance(told, dict):
        raise Broken
    return told, _exactly(stream, data_bytes)


def _exactly(stream: IO[bytes], num_bytes: int) -> bytes:
    data = stream.read(num_bytes)
    if len(data) < num_bytes:
        raise Broken
    return data
