"""What the markers of a JPEG say of the work its decoding will be.
Decodes nothing; damaged files give whatever was read before the damage."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
_NO_FRAMES = {0xC4, 0xC8, 0xCC}  # tables and an extension among the codes C0..CF
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
# The next marker inside entropy-coded data: there FF 00 is a stuffed byte and FF D0..D7 restarts.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class JpegStructure:
    """`num_scans` stops counting one above the cap it was given.

    `samples_per_pixel`: of all components, after chroma subsampling: 1.5 for 4:2:0, 3 for 4:4:4.
    `is_buffered`: the decoder keeps all coefficients (2 bytes a sample) until the last scan.
    """

    num_scans: int
    samples_per_pixel: float
    is_progressive: bool
    is_buffered: bool


def read_structure(data: bytes, max_scans: int) -> JpegStructure:
    """Walk the markers; microseconds for one scan, about 1 ns a byte where many are to be counted."""
    components = scans = 0
    samples, progressive, buffered = 3.0, False, False
    at = 2
    while (marker := _marker_at(data, at)) is not None:
        code, at = marker
        if code == _END_OF_IMAGE:
            break
        if code in _BARE:
            continue
        if at + 2 > len(data):
            break
        body = data[at + 2 : at + 2 + 64]
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
        if 0xC0 <= code <= 0xCF and code not in _NO_FRAMES and not components:
            components, samples = _frame(body)
            progressive = code in _PROGRESSIVE
        elif code == _START_OF_SCAN:
            scans += 1
            buffered = buffered or progressive or (bool(body) and body[0] < components)
            if not buffered or scans > max_scans:
                break
            found = _NEXT_MARKER.search(data, at)
            if found is None:
                break
            at = found.start()
    return JpegStructure(scans, samples, progressive, buffered)


def _marker_at(data: bytes, at: int) -> tuple[int, int] | None:
    """The code of the next marker from `at` and where its body begins, as lenient as libjpeg."""
    found = data.find(b"\xff", at)
    while 0 <= found < len(data) - 1:
        code = data[found + 1]
        if code not in (0x00, 0xFF):
            return code, found + 2
        found = data.find(b"\xff", found + 1)
    return None


def _frame(body: bytes) -> tuple[int, float]:
    """Number of components and samples a pixel, of a start-of-frame segment."""
    try:
        count = body[5]
        factors = [struct.unpack_from("BBB", body, 6 + 3 * index)[1] for index in range(count)]
    except (IndexError, struct.error):
        return 3, 3.0
    across = [max(1, factor >> 4) for factor in factors]
    down = [max(1, factor & 15) for factor in factors]
    if not factors:
        return 3, 3.0
    area = max(across) * max(down)
    return count, sum(h * v for h, v in zip(across, down, strict=True)) / area
