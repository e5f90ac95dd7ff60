"""What reading the directories of a TIFF will cost, those inside EXIF too: Pillow reads each tag in Python.
Decodes nothing; reads a few thousand entries at most.

60,000 tags that each claim to be larger than their file of 31 MiB took Pillow 42 s to open, as many strips as fit into
one of 8 x 8 pixels 39 s and 2 GiB.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_MOST_TAGS: Final = 4096  # of one directory; cameras write some hundred
_FEWEST_DIRECTORIES: Final = 8  # looked at: the first and the second are always read, and those inside EXIF
_TIMES_READ: Final = 16  # the whole file: a few damaged tags may claim more than there is
_STRIPS: Final = frozenset({273, 279, 324, 325})  # where strips and tiles lie, and how long they are
_SUBFILE_TYPE, _SUB_DIRECTORIES, _DNG_VERSION, _SHORT = 254, 330, 50706, 3
# Of strips or tiles, 5 us each, beside one for so many bytes of the file: rows of their own are 20,000 at most.
_MOST_STRIPS, _BYTES_A_STRIP = 65_536, 512
# Bytes of one value by type (TIFF 6.0, section 2, and BigTIFF).
_UNITS: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


@dataclass(frozen=True, slots=True)
class _Layout:
    """How one file writes its numbers: a directory's count of entries, an entry, a place in the file."""

    order: str
    count: str
    entry: str
    place: str
    first_at: int

    @property
    def inline_bytes(self) -> int:
        return struct.calcsize(self.order + self.place)


def is_dear(data: bytes, num_read: int = 0) -> bool:
    """Whether a TIFF's directories promise more than a real one holds. False for what is no TIFF.
    `num_read`: how many of them will be."""
    layout, most = _layout(data), max(_FEWEST_DIRECTORIES, num_read)
    return layout is not None and any(_is_dear(data, layout, at) for at in _directories(data, layout, most))


def is_of_thumbnail(data: bytes) -> bool:
    """Whether a TIFF's first directory is of a reduced picture, with others below it (TIFF/EP), or says it is DNG."""
    layout = _layout(data)
    if layout is None:
        return False
    found = dict(_entries(data, layout, _number(data, layout, layout.place, layout.first_at)))
    is_reduced = bool(found.get(_SUBFILE_TYPE, 0) & 1)
    return _DNG_VERSION in found or (is_reduced and _SUB_DIRECTORIES in found)


def _entries(data: bytes, layout: _Layout, at: int) -> Iterator[tuple[int, int]]:
    """Each tag of a directory and the first number of what stands in its place of a value."""
    form = layout.order + layout.entry
    start = at + struct.calcsize(layout.order + layout.count)
    for number in range(min(_number(data, layout, layout.count, at), _MOST_TAGS)):
        place = start + number * struct.calcsize(form)
        if place + struct.calcsize(form) > len(data):
            return
        tag, kind, _, value = struct.unpack_from(form, data, place)
        is_short_and_big_endian = kind == _SHORT and layout.order == ">"
        yield tag, value >> 8 * (layout.inline_bytes - 2) if is_short_and_big_endian else value


def _layout(data: bytes) -> _Layout | None:
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 16:
        return None
    (version,) = struct.unpack_from(order + "H", data, 2)
    if version == 43:
        return _Layout(order, "Q", "HHQQ", "Q", 8)
    return _Layout(order, "H", "HHII", "I", 4)


def _directories(data: bytes, layout: _Layout, most: int) -> Iterator[int]:
    """Where each directory begins, in their chain."""
    seen: set[int] = set()
    at = _number(data, layout, layout.place, layout.first_at)
    while at and at not in seen and len(seen) < most:
        seen.add(at)
        yield at
        entries = _number(data, layout, layout.count, at)
        after = (
            at + struct.calcsize(layout.order + layout.count) + entries * struct.calcsize(layout.order + layout.entry)
        )
        at = _number(data, layout, layout.place, after)


def _number(data: bytes, layout: _Layout, kind: str, at: int) -> int:
    """0 behind the end of the file."""
    form = layout.order + kind
    if at + struct.calcsize(form) > len(data):
        return 0
    return int(struct.unpack_from(form, data, at)[0])


def _is_dear(data: bytes, layout: _Layout, at: int) -> bool:
    number = _number(data, layout, layout.count, at)
    if number > _MOST_TAGS:
        return True
    form = layout.order + layout.entry
    start = at + struct.calcsize(layout.order + layout.count)
    end = min(start + number * struct.calcsize(form), len(data))
    whole = (end - start) // struct.calcsize(form) * struct.calcsize(form)
    read = 0
    for tag, kind, count, _ in struct.iter_unpack(form, data[start : start + whole]):
        if tag in _STRIPS and count > _MOST_STRIPS + len(data) // _BYTES_A_STRIP:
            return True
        size = count * _UNITS.get(kind, 1)
        read += min(size, len(data)) if size > layout.inline_bytes else 0
    return read > _TIMES_READ * len(data)
