"""Multipart forms as real clients send them: pictures with an encoded file name or none, text before the first part.
Knows no field of ours but by their being pictures."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Final

from starlette.formparsers import MultiPartException, MultiPartParser

_NAME: Final = re.compile(rb';\s*name="?(files|reference|candidate)"?\s*(;|\Z)', re.IGNORECASE)
_FILE_NAME: Final = re.compile(rb';\s*filename="?', re.IGNORECASE)
_MAX_PREAMBLE: Final = 64 * 1024


class FormParser(MultiPartParser):
    """Takes a part of a picture's name for a file whatever its header says: RFC 7578 makes the file name optional, and
    some clients send one that isn't ASCII as `filename*` alone."""

    def on_headers_finished(self) -> None:
        header = self._current_part.content_disposition or b""
        if _NAME.search(header) and not _FILE_NAME.search(header):
            self._current_part.content_disposition = header + b'; filename=""'
        super().on_headers_finished()


async def without_preamble(pieces: AsyncGenerator[bytes, None], boundary: bytes) -> AsyncGenerator[bytes, None]:
    """The same body from its first boundary on: what stands before it is for readers that know no MIME (RFC 2046, 5.1).

    Raises `MultiPartException` where that is too much, or all there is.
    """
    delimiter, before, is_begun = b"--" + boundary, b"", False
    async for piece in pieces:
        if is_begun:
            yield piece
            continue
        before += piece
        found = 0 if before.startswith(delimiter) else before.find(b"\n" + delimiter) + 1
        is_begun = found > 0 or before.startswith(delimiter)
        if is_begun:
            yield before[found:]
        elif len(before) > _MAX_PREAMBLE + len(piece):
            raise MultiPartException("no part begins")
    if not is_begun:
        raise MultiPartException("no part begins")
