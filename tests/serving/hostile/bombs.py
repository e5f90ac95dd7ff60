"""Small files that claim, or would become, far more than their bytes: for the limits, the budget and the clock.
Knows no service: a bomb is a name, its bytes, and what must become of a comparison with it.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from PIL import Image

from tests.worlds.imaging_files import chunk, png, saved, scan_bomb, smooth, tiny_webp_of

Fate = Literal["report", "image_too_large", "image_unreadable"]
PNG: Final = b"\x89PNG\r\n\x1a\n"
SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG's pixel, by its colour type
MP_121: Final = (11_000, 11_000)  # under the 128 megapixels that are taken
ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@dataclass(frozen=True, slots=True)
class Bomb:
    """`fate` of a comparison with it; `by_header`: that is known before any pixel is decoded."""

    name: str
    fate: Fate
    make: Callable[[], bytes]
    by_header: bool = True

    def __str__(self) -> str:
        return self.name


def zeros(num_bytes: int) -> bytes:
    """That many zero bytes as zlib packs them, a thousandth, at once: one packed block after another.

    A block that ends with a full flush refers to nothing before it, so it can be repeated; the checksum
    of zeros is known (RFC 1950: the sums are 1 and the length).
    """
    block, rest = 2**20, num_bytes % 2**20
    packer = zlib.compressobj(9, wbits=-15)
    repeated = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, wbits=-15)
    last = packer.compress(bytes(rest)) + packer.flush()
    checksum = struct.pack(">HH", num_bytes % 65_521, 1)
    return b"\x78\xda" + repeated * (num_bytes // block) + last + checksum


# --- PNG


def flat_png(size: tuple[int, int], depth: int = 8, colour: int = 2, *, interlaced: bool = False) -> bytes:
    """Black, and valid to the last byte."""
    tables = (chunk(b"PLTE", bytes(768)), chunk(b"tRNS", bytes(256))) if colour == 3 else ()
    packed = zeros(pixel_bytes(size, depth * SAMPLES[colour], ADAM7 if interlaced else ((0, 0, 1, 1),)))
    return png_of(size, depth, colour, packed, *tables, interlaced=interlaced)


def pixel_bytes(size: tuple[int, int], bits: int, passes: tuple[tuple[int, int, int, int], ...]) -> int:
    """Of all rows with the filter's byte before each; `passes`: first column and row, and the steps from there."""
    width, height = size
    return sum(
        (1 + (len(range(x, width, across)) * bits + 7) // 8) * len(range(y, height, down))
        for x, y, across, down in passes
    )


def png_of(
    size: tuple[int, int], depth: int, colour: int, packed: bytes, *chunks: bytes, interlaced: bool = False
) -> bytes:
    """A PNG with this header and this already packed IDAT, whatever they have to do with each other."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlaced))
    return b"".join((PNG, header, *chunks, chunk(b"IDAT", packed), chunk(b"IEND", b"")))


def cut_png(size: tuple[int, int], share: float = 0.75) -> bytes:
    """Its header promises all pixels and its IDAT ends before: refused only after they were laid out."""
    packed = zeros(pixel_bytes(size, 24, ((0, 0, 1, 1),)))
    return png_of(size, 8, 2, packed[: int(len(packed) * share)])


def small_png(*chunks: bytes) -> bytes:
    return png(16, 16, 8, 0, bytes(17 * 16), *chunks).data


def png_in_pieces(number: int) -> bytes:
    """Its pixels in IDATs of one byte, and as many empty ones after them as make `number`."""
    packed = zlib.compress(bytes(17 * 16))
    pieces = b"".join(chunk(b"IDAT", packed[at : at + 1]) for at in range(max(number, len(packed))))
    return PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0)) + pieces + chunk(b"IEND", b"")


def header_only(width: int, height: int) -> Callable[[], bytes]:
    return lambda: png_of((width, height), 8, 2, zlib.compress(bytes(100)))


_PNGS: Final = (
    Bomb("png 1 bit, 128 MP", "report", lambda: flat_png((16_000, 8_000), 1, 0)),
    Bomb("png grey, 121 MP", "report", lambda: flat_png(MP_121, 8, 0)),
    Bomb("png rgb, 121 MP", "report", lambda: flat_png(MP_121)),
    Bomb("png rgba, 121 MP", "image_too_large", lambda: flat_png(MP_121, 8, 6)),
    Bomb("png grey 16 bit, 121 MP", "report", lambda: flat_png(MP_121, 16, 0)),
    Bomb("png rgb 16 bit, 64 MP", "report", lambda: flat_png((8_000, 8_000), 16, 2)),
    Bomb("png palette with alpha, 121 MP", "image_too_large", lambda: flat_png(MP_121, 8, 3)),
    Bomb("png interlaced, 64 MP", "report", lambda: flat_png((8_000, 8_000), interlaced=True)),
    Bomb("png 20000 x 1", "report", lambda: flat_png((20_000, 1))),
    Bomb("png 1 x 20000", "report", lambda: flat_png((1, 20_000))),
    Bomb("png header 2^31-1 squared", "image_too_large", header_only(2**31 - 1, 2**31 - 1)),
    Bomb("png header 65535 squared", "image_too_large", header_only(65_535, 65_535)),
    Bomb("png header 20001 x 1", "image_too_large", header_only(20_001, 1)),
    Bomb("png header 1 x 20001", "image_too_large", header_only(1, 20_001)),
    Bomb("png header just over 128 MP", "image_too_large", header_only(20_000, 6_401)),
    Bomb("png header 0 x 0", "image_unreadable", header_only(0, 0)),
    Bomb("png cut off, 64 MP", "image_unreadable", lambda: cut_png((8_000, 8_000)), by_header=False),
    Bomb("png 16 x 16 with 1 GB of pixels", "report", lambda: png_of((16, 16), 8, 0, zeros(2**30))),
    Bomb("png zTXt of 256 MB", "image_unreadable", lambda: small_png(chunk(b"zTXt", b"a\0\0" + zeros(2**28)))),
    Bomb("png iCCP of 256 MB", "image_unreadable", lambda: small_png(chunk(b"iCCP", b"a\0\0" + zeros(2**28)))),
    Bomb("png 200,000 tEXt", "image_unreadable", lambda: small_png(*[chunk(b"tEXt", b"a\0b")] * 200_000)),
    Bomb("png IDATs of one byte", "image_unreadable", lambda: png_in_pieces(200_000)),
    Bomb("png EXIF of 60,000 tags", "report", lambda: small_png(chunk(b"eXIf", exif_of(60_000)))),
    Bomb("apng of 2^31-1 frames", "report", lambda: small_png(chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)))),
)

# --- JPEG


def jpeg_with_size(width: int, height: int) -> bytes:
    """A small JPEG whose frame header says another size."""
    data = bytearray(saved(smooth(64, 64), "JPEG").data)
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_of(size: tuple[int, int], mode: str = "L", **options: Any) -> bytes:
    return saved(Image.new(mode, size), "JPEG", **options).data


def jpeg_segments(number: int) -> bytes:
    data = saved(smooth(64, 64), "JPEG").data
    return data[:2] + b"\xff\xe5\x00\x02" * number + data[2:]


def exif_in_pieces(number: int) -> bytes:
    """Pillow joins the EXIF of a JPEG's segments, one after another: the cost is the square of their number."""
    data, body = saved(smooth(64, 64), "JPEG").data, b"Exif\0\0" + bytes(250)
    return data[:2] + (b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body) * number + data[2:]


def exif_loop() -> bytes:
    """EXIF whose directory names itself as the next one and as its own sub-directory."""
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8)
    tags = b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 8)
    return saved(smooth(64, 64), "JPEG", exif=b"Exif\0\0" + tags).data


def exif_of(number: int) -> bytes:
    """That many tags, each said to be larger than the file."""
    tags = b"".join(struct.pack("<HHII", tag, 4, 2**30, 8) for tag in range(1_000, 1_000 + number))
    return b"II*\0" + struct.pack("<IH", 8, number) + tags + bytes(4)


def mpo(frames: int) -> bytes:
    """An MPO whose index promises `frames` pictures, where two are."""
    images = [smooth(32, 32), smooth(32, 32)]
    data = saved(images[0], "MPO", save_all=True, append_images=images[1:]).data
    number = data.index(struct.pack("<HHII", 0xB001, 4, 1, 2))
    return data[: number + 8] + struct.pack("<I", frames) + data[number + 12 :]


_JPEGS: Final = (
    Bomb("jpeg header 65500 squared", "image_too_large", lambda: jpeg_with_size(65_500, 65_500)),
    # Its decoder makes up what is missing.
    Bomb("jpeg header 121 MP, 64 x 64 inside", "report", lambda: jpeg_with_size(*MP_121)),
    Bomb("jpeg grey, 121 MP", "report", lambda: jpeg_of(MP_121)),
    Bomb("jpeg progressive, 36 MP", "report", lambda: jpeg_of((6_000, 6_000), progressive=True)),
    Bomb("jpeg cmyk, 36 MP", "report", lambda: jpeg_of((6_000, 6_000), "CMYK")),
    Bomb("jpeg of 500 scans", "image_too_large", lambda: scan_bomb(500).data),
    Bomb("jpeg of 400,000 segments", "image_unreadable", lambda: jpeg_segments(400_000)),
    Bomb("jpeg EXIF in 12,000 pieces", "image_unreadable", lambda: exif_in_pieces(12_000)),
    Bomb("jpeg with a loop in its EXIF", "report", exif_loop),
    Bomb("mpo of 2^31 pictures", "report", lambda: mpo(2**31)),
)

# --- TIFF


def tiff(
    size: tuple[int, int] = (8, 8),
    strip: bytes = bytes(64),
    *further: tuple[int, int, int],
    strips: int = 1,
    next_at: int = 0,
    **tags: int,
) -> bytes:
    """A little-endian TIFF of one directory at byte 8. `tags`: other values of tags, as t258=32; `further`: tag, count
    and value of longs; `strips`: so many offsets are listed, all of the same strip."""
    values = {256: size[0], 257: size[1], 258: 8, 259: 1, 262: 1, 277: 1, 278: size[1], 279: len(strip)}
    values |= {int(name[1:]): value for name, value in tags.items()}
    num_rows = len(values) + 1 + len(further)
    after = 8 + 2 + 12 * num_rows + 4
    where = after + 4 * strips if strips > 1 else after
    rows = [(tag, 1, value) for tag, value in values.items()] + [(273, strips, after), *further]
    packed = b"".join(struct.pack("<HHII", tag, 4, count, value) for tag, count, value in sorted(rows))
    offsets = struct.pack("<I", where) * strips if strips > 1 else b""
    return b"II*\0" + struct.pack("<IH", 8, num_rows) + packed + struct.pack("<I", next_at) + offsets + strip


def big_tiff(number: int) -> bytes:
    """A BigTIFF (its directories are counted in 64 bits) of that many tags, each said to be larger than the file."""
    values = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 16, 277: 1, 278: 8, 279: 64}
    rows = [struct.pack("<HHQQ", tag, 4, 1, value) for tag, value in values.items()]
    rows += [struct.pack("<HHQQ", 60_000, 4, 2**40, 8)] * number
    head = b"II+\0" + struct.pack("<HHQ", 8, 0, 80) + bytes(64)
    return head + struct.pack("<Q", len(rows)) + b"".join(rows) + bytes(8)


def deflated_tiff(size: tuple[int, int], bits: int = 8, **tags: int) -> bytes:
    return tiff(size, zeros(size[0] * size[1] * bits // 8), t258=bits, t259=8, **tags)


def lzw_tiff(size: tuple[int, int]) -> bytes:
    return saved(Image.new("RGB", size), "TIFF", compression="tiff_lzw").data


def tag_flood(number: int) -> bytes:
    return tiff((8, 8), bytes(64), *((tag, 2**30, 8) for tag in range(1_000, 1_000 + number)))


_TIFFS: Final = (
    Bomb("tiff deflate, 121 MP", "report", lambda: deflated_tiff(MP_121)),
    Bomb("tiff float, 64 MP", "report", lambda: deflated_tiff((8_000, 8_000), 32, t339=3)),
    Bomb("tiff lzw rgb, 16 MP", "report", lambda: lzw_tiff((4_000, 4_000))),
    Bomb("tiff header 2^32-1 squared", "image_too_large", lambda: tiff((2**32 - 1, 2**32 - 1))),
    Bomb("tiff that is its own next page", "report", lambda: tiff(next_at=8)),
    Bomb("tiff of 60,000 tags", "image_unreadable", lambda: tag_flood(60_000)),
    Bomb("tiff of 600,000 strips", "image_unreadable", lambda: tiff((8, 8), bytes(64), strips=600_000, t278=1)),
    Bomb("bigtiff of 100,000 tags", "image_unreadable", lambda: big_tiff(100_000)),
)

# --- WebP, GIF, BMP, AVIF


def gif_of(screen: tuple[int, int], frame: tuple[int, int], frames: int = 1) -> bytes:
    """Frames of any size on a screen of any size; the pixels of each end where they begin."""
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + bytes(6)
    one = b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x4c\x01\x00"
    return head + one * frames + b";"


def bmp_of_runs(size: tuple[int, int]) -> bytes:
    """Each row as runs of 255 pixels of one colour."""
    runs = b"\xff\x00" * (size[0] // 255) + bytes((size[0] % 255, 0)) + b"\0\0"
    body = runs * size[1] + b"\0\1"
    return bmp_header(size, 8, 1, len(body)) + bytes(1024) + body


def bmp_header(size: tuple[int, int], bits: int, compression: int, num_bytes: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, *size, 1, bits, compression, num_bytes, 2835, 2835, 0, 0)
    start = 54 + (1024 if bits == 8 else 0)
    return b"BM" + struct.pack("<IHHI", start + num_bytes, 0, 0, start) + info


def avif_with_size(side: int) -> bytes:
    """A small AVIF that says of itself, in its container, that it is larger."""
    data = saved(smooth(64, 64), "AVIF").data
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", side, side) + data[at + 8 :]


def lossless_webp(size: tuple[int, int]) -> bytes:
    return saved(Image.new("RGB", size), "WEBP", lossless=True, method=0, quality=0).data


def animated_webp(frames: int) -> bytes:
    pictures = [Image.fromarray(np.full((4, 4, 3), number % 256, np.uint8)) for number in range(frames)]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "WEBP", save_all=True, append_images=pictures[1:], lossless=True, method=0)
    return buffer.getvalue()


_OTHERS: Final = (
    Bomb("webp header 16383 squared", "image_too_large", lambda: tiny_webp_of(16_383).data),
    Bomb("webp header 121 MP", "image_too_large", lambda: tiny_webp_of(11_000).data),
    Bomb("webp without its pixels, 36 MP", "image_unreadable", lambda: tiny_webp_of(6_000).data, by_header=False),
    Bomb("webp lossless, 16 MP", "report", lambda: lossless_webp((4_000, 4_000))),
    Bomb("webp of 1,000 frames", "report", lambda: animated_webp(1_000)),
    Bomb("gif screen 65535 squared", "image_too_large", lambda: gif_of((65_535, 65_535), (1, 1))),
    Bomb("gif frame 65535 squared on 16 x 16", "image_too_large", lambda: gif_of((16, 16), (65_535, 65_535))),
    Bomb("gif 36 MP", "report", lambda: saved(Image.new("L", (6_000, 6_000)), "GIF").data),
    Bomb("gif of 100,000 frames", "image_unreadable", lambda: gif_of((16, 16), (1, 1), 100_000)),
    Bomb("bmp of runs, 64 MP", "report", lambda: bmp_of_runs((8_000, 8_000))),
    Bomb("bmp of the lowest height", "image_too_large", lambda: bmp_header((100, -(2**31)), 24, 0, 0)),
    Bomb("bmp 121 MP without pixels", "image_unreadable", lambda: bmp_header(MP_121, 24, 0, 0), by_header=False),
    Bomb("avif header 65535 squared", "image_unreadable", lambda: avif_with_size(65_535)),
    Bomb("avif 9 MP", "report", lambda: saved(Image.new("L", (3_000, 3_000)), "AVIF", speed=10).data),
)

BOMBS: Final = (*_PNGS, *_JPEGS, *_TIFFS, *_OTHERS)
