"""A `data:` URL in, its bytes out, as leniently as browsers read one.
Decodes no image, and never repeats what a caller sent back at them."""

from __future__ import annotations

import binascii
import io
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

# Characters that are decoded at once.
_PIECE: Final = 256 * 1024
_MAX_HEAD: Final = 200  # up to its comma
_SPACE: Final = re.compile(r"[ \t\r\n\f]+")
_BASE64: Final = re.compile(r";[ \t]*base64[ \t]*\Z", re.IGNORECASE)


def is_one(text: str) -> bool:
    return text[:_MAX_HEAD].lstrip()[:5].lower() == "data:"


def decoded(text: str) -> bytes:
    """The bytes of a `data:` URL (RFC 2397), in base64 or percent-encoded.

    Of base64 (forgiving-base64 of WHATWG's Infra, 8), line breaks and spaces don't count, a character may be
    percent-encoded, padding may be missing. In pieces: decoding holds Python's lock, 5 ms a MiB, and others get in
    between. Raises ValueError.
    """
    comma = text.find(",", 0, _MAX_HEAD)
    if comma < 0 or not is_one(text):
        raise ValueError("no data: URL")
    if not _BASE64.search(text, 0, comma):
        return unquote_to_bytes(text[comma + 1 :])
    data, rest, is_over = io.BytesIO(), "", False  # the value of BytesIO is no copy, as a bytearray's would be
    for piece in _pieces(text, comma + 1):
        rest += _SPACE.sub("", unquote(piece, "latin-1"))
        if is_over and rest:
            raise ValueError("padding in the middle")
        whole = len(rest) // 4 * 4
        data.write(binascii.a2b_base64(rest[:whole], strict_mode=True))
        is_over = rest[:whole].endswith("=")
        rest = rest[whole:]
    if is_over and rest:
        raise ValueError("padding in the middle")
    data.write(binascii.a2b_base64(rest.ljust(-len(rest) % 4 + len(rest), "="), strict_mode=True))
    return data.getvalue()


def _pieces(text: str, start: int) -> Iterator[str]:
    """The text from `start` on, no percent-encoded character cut in two."""
    while start < len(text):
        end = min(start + _PIECE, len(text))
        escape = text.rfind("%", max(start + 1, end - 2), end)
        if escape > 0 and end < len(text):
            end = escape
        yield text[start:end]
        start = end
