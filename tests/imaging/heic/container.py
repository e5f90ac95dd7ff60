"""HEIC files put together by hand: boxes of ISO/IEC 14496-12 and 23008-12 around coded frames.
Knows no decoder; what it is told to write it writes, true or not."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from tests.imaging.heic.frames import COLOURS, OPACITY, Coded


@dataclass(frozen=True, slots=True)
class Item:
    """One of the file's items, numbered from 1 as they come. `properties`: boxes that describe it; `refers`: kinds of
    reference, each with the items that it leads to."""

    kind: bytes
    payload: bytes
    properties: tuple[bytes, ...] = ()
    refers: tuple[tuple[bytes, tuple[int, ...]], ...] = ()


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def size(width: int, height: int) -> bytes:
    return full(b"ispe", struct.pack(">II", width, height))


def turned(quarters: int) -> bytes:
    """Anticlockwise, by quarters."""
    return box(b"irot", bytes([quarters]))


def mirrored(axis: int) -> bytes:
    """0: top and bottom change places; 1: left and right do."""
    return box(b"imir", bytes([axis]))


def profile(icc: bytes) -> bytes:
    return box(b"colr", b"prof", icc)


def code_points(primaries: int, transfer: int) -> bytes:
    return box(b"colr", b"nclx", struct.pack(">HHHB", primaries, transfer, 6, 0x80))


def picture(coded: Coded, *more: bytes, width: int = 64, height: int = 64, refers: Sequence[int] = ()) -> Item:
    """A coded frame as it is; `refers`: items that it belongs to as their opacity."""
    properties = (box(b"hvcC", coded.settings), size(width, height), *more)
    return Item(b"hvc1", coded.frame, properties, ((b"auxl", tuple(refers)),) if refers else ())


def grid(tiles: Sequence[int], columns: int, width: int, height: int, *more: bytes) -> Item:
    """A picture of tiles, cut to its size."""
    rows = -(-len(tiles) // columns)
    payload = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width & 0xFFFF, height & 0xFFFF)
    return Item(b"grid", payload, (size(width, height), *more), ((b"dimg", tuple(tiles)),))


def exif(orientation: int, of: int) -> Item:
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)
    return Item(b"Exif", struct.pack(">I", 6) + b"Exif\0\0" + tiff, refers=((b"cdsc", (of,)),))


def container(
    items: Sequence[Item], primary: int = 1, brand: bytes = b"heic", others: Sequence[bytes] = (b"mif1",)
) -> bytes:
    """The file. `primary`: the number of the item that is shown."""
    head = box(b"ftyp", brand, bytes(4), brand, *others)
    start = len(head) + len(_meta(items, primary, 0)) + 8
    return head + _meta(items, primary, start) + box(b"mdat", *(item.payload for item in items))


def _meta(items: Sequence[Item], primary: int, start: int) -> bytes:
    places, at = [], start
    for number, item in enumerate(items, 1):
        places.append(struct.pack(">HHHHII", number, 0, 0, 1, at, len(item.payload)))
        at += len(item.payload)
    tiles = {to for item in items for kind, tos in item.refers if kind == b"dimg" for to in tos}
    infos = [
        full(b"infe", struct.pack(">HH", number, 0), item.kind, b"\0", version=2, flags=int(number in tiles))
        for number, item in enumerate(items, 1)
    ]
    references = [
        box(kind, struct.pack(f">HH{len(to)}H", number, len(to), *to))
        for number, item in enumerate(items, 1)
        for kind, to in item.refers
    ]
    return full(
        b"meta",
        full(b"hdlr", bytes(4), b"pict", bytes(13)),
        full(b"pitm", struct.pack(">H", primary)),
        full(b"iloc", b"\x44\0", struct.pack(">H", len(items)), *places, version=1),
        full(b"iinf", struct.pack(">H", len(items)), *infos),
        _properties(items),
        *([full(b"iref", *references)] if references else []),
    )


def _properties(items: Sequence[Item]) -> bytes:
    known: list[bytes] = []
    rows = []
    for number, item in enumerate(items, 1):
        indices = bytearray()
        for each in item.properties:
            if each not in known:
                known.append(each)
            is_essential = each[4:8] in (b"hvcC", b"irot", b"imir")
            indices.append(known.index(each) + 1 | is_essential << 7)
        if indices:
            rows.append(struct.pack(">HB", number, len(indices)) + indices)
    return box(b"iprp", box(b"ipco", *known), full(b"ipma", struct.pack(">I", len(rows)), *rows))


def colours(*more: bytes, orientation: int | None = None) -> bytes:
    """64 x 48: red and green over blue and white, as heif-enc writes it: a tile, cut. `more`: of the cut picture."""
    items = [grid([2], 1, 64, 48, *more), picture(COLOURS)]
    return container(items if orientation is None else [*items, exif(orientation, 1)])


def with_opacity() -> bytes:
    """The same, transparent from pixel 40 on."""
    kind = full(b"auxC", b"urn:mpeg:hevc:2015:auxid:1\0")
    opacity = Item(b"grid", grid([4], 1, 64, 48).payload, (size(64, 48), kind), ((b"dimg", (4,)), (b"auxl", (1,))))
    return container([grid([2], 1, 64, 48), picture(COLOURS), opacity, picture(OPACITY)])
