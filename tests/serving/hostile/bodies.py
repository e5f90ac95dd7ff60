"""How the body of a comparison is written, byte by byte, right or nearly so.
Knows no HTTP client and no service."""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterable
from typing import Final

from tests.worlds.samples import card, encoded

# Wherever a caller's own word could come back, it is this one.
MARK: Final = "zqmarkqz"


@functools.cache
def pictures() -> tuple[bytes, bytes]:
    return encoded(card(size=(64, 48))), encoded(card("red", size=(64, 48), place=(20, 18)))


@functools.cache
def data_urls() -> tuple[str, str]:
    first, second = (base64.b64encode(each).decode() for each in pictures())
    return f"data:image/png;base64,{first}", f"data:image/png;base64,{second}"


def document(config: str = "{}", *, before: str = "", after: str = "") -> str:
    """A request in JSON with this text as its config, and other members before or after."""
    reference, candidate = data_urls()
    return f'{{{before}"reference":"{reference}","candidate":"{candidate}","config":{config}{after}}}'


BOUNDARY: Final = "b"


def part(name: str, content: bytes, filename: str | None = None, *headers: str) -> bytes:
    """One part, without what stands between parts."""
    named = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    lines = [f"Content-Disposition: {named}", *headers]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape") + b"\r\n" + content


def form(parts: Iterable[bytes], boundary: str = BOUNDARY, end: bytes = b"\r\n") -> bytes:
    line = b"--" + boundary.encode("latin-1")
    return b"".join(line + end + each + end for each in parts) + line + b"--" + end


def small_values(num_bytes: int, kind: str = "[]") -> bytes:
    """A JSON body whose config is a list of as many small values as `num_bytes` hold."""
    count = max(1, num_bytes // (len(kind) + 1))
    return b'{"config":[' + (kind.encode() + b",") * (count - 1) + kind.encode() + b"]}"


SMALL: Final = ("[]", "{}", "0", '""', "1.5", "null", '{"":0}', "[[[]]]")
