"""Files that are no pictures of ours, or were: damaged, cut, under a false name, with changed bytes.
Knows no service: bytes, and what must become of a comparison with them."""

from __future__ import annotations

import functools
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from PIL import Image

from tests.imaging.heic import container as heic
from tests.imaging.heic.frames import COLOURS
from tests.serving.hostile.bombs import cut_png, header_only, jpeg_segments
from tests.worlds.imaging_files import exif, noise, saved, scan_bomb, smooth
from tests.worlds.samples import card, encoded

Fate = Literal["report", "unsupported_image_type", "image_too_large", "image_unreadable"]


@dataclass(frozen=True, slots=True)
class Picture:
    """`fate`: what becomes of a comparison with it, a report or the type of the refusal.
    `fate_if_read`: the same where the operator takes the format that its first bytes name."""

    name: str
    fate: Fate
    make: Callable[[], bytes]
    fate_if_read: Fate | None = None

    def __str__(self) -> str:
        return self.name


# --- valid files, to be damaged


@functools.cache
def valid(kind: str) -> bytes:
    """A small picture of each way in which a file can be made that we take."""
    image = smooth(48, 32)
    frames = [Image.fromarray(noise(24, 16, seed=n)) for n in range(3)]
    options = {"exif": exif(5)}
    many = {"save_all": True, "append_images": frames[1:]}
    made: dict[str, Callable[[], bytes]] = {
        "progressive": lambda: saved(image, "JPEG", progressive=True, exif=exif(6)).data,
        "CMYK": lambda: saved(image.convert("CMYK"), "JPEG").data,
        "L": lambda: saved(image.convert("L"), "JPEG", quality=100, subsampling=0).data,
        "RGBA": lambda: saved(image.convert("RGBA"), "PNG", icc_profile=b"bad").data,
        "P": lambda: saved(image.convert("P"), "PNG", icc_profile=b"bad").data,
        "I;16": lambda: saved(Image.fromarray(noise(32, 48, 1).astype("uint16") * 257), "PNG").data,
        "1": lambda: saved(image.convert("1"), "PNG").data,
        "APNG": lambda: saved(frames[0], "PNG", **many).data,
        "lossless": lambda: saved(image.convert("RGBA"), "WEBP", lossless=True).data,
        "animated": lambda: saved(frames[0], "WEBP", **many).data,
        "GIF": lambda: saved(frames[0], "GIF", **many).data,
        "MPO": lambda: saved(frames[0], "MPO", **many).data,
        "BMP 8": lambda: saved(image.convert("P"), "BMP").data,
        "LZW": lambda: saved(image, "TIFF", compression="tiff_lzw").data,
        "deflate": lambda: saved(image, "TIFF", compression="tiff_adobe_deflate").data,
        "fax": lambda: saved(image.convert("1"), "TIFF", compression="group4").data,
        "JPEG in TIFF": lambda: saved(image, "TIFF", compression="jpeg").data,
        "float": lambda: saved(image.convert("F"), "TIFF").data,
        "pages": lambda: saved(frames[0], "TIFF", **many).data,
        "HEIC": lambda: heic.colours(heic.turned(3), orientation=6),
        "HEIC tiles": lambda: heic.container([heic.grid([2, 3], 2, 128, 64), *[heic.picture(COLOURS)] * 2]),
    }
    return made[kind]() if kind in made else saved(image, kind, **options).data


KINDS: Final = (
    *("JPEG", "progressive", "CMYK", "L", "MPO", "PNG", "RGBA", "P", "I;16", "1", "APNG", "WEBP", "lossless"),
    *("animated", "GIF", "BMP", "BMP 8", "TIFF", "LZW", "deflate", "fax", "JPEG in TIFF", "float", "pages", "AVIF"),
)
# Those that only a service takes whose operator lists it.
LISTED: Final = ("HEIC", "HEIC tiles")


def flipped(dice: random.Random, kinds: Sequence[str] = KINDS) -> tuple[str, bytes]:
    """A valid file after one to eight changes: bytes set, bits turned, parts taken out, put in or exchanged."""
    kind = dice.choice(kinds)
    data = bytearray(valid(kind))
    for _ in range(dice.randint(1, 8)):
        end = min(len(data), 200) if dice.random() < 0.5 else len(data)  # half of all changes in the header
        at, length = dice.randrange(end), dice.randint(1, 16)
        change = dice.choice(("set", "turn", "take", "put", "number", "swap", "cut"))
        if change == "set":
            data[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        elif change == "turn":
            data[at] ^= 1 << dice.randrange(8)
        elif change == "take":
            del data[at : at + length]
        elif change == "put":
            data[at:at] = dice.randbytes(length)
        elif change == "number":
            number = dice.choice((0, 1, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
            data[at : at + 4] = struct.pack(dice.choice("<>") + "I", number)
        elif change == "swap":
            other = valid(dice.choice(kinds))
            data[at:] = other[at:]
        else:
            del data[dice.randrange(end, len(data) + 1) :]
        data = data or bytearray(b"\0")
    return kind, bytes(data)


# --- refused at every depth


@functools.cache
def _drawn(kind: str, side: int = 2_000) -> bytes:
    """A large picture that is not flat, so that it can be cut somewhere in its pixels."""
    coarse = Image.fromarray(noise(8, 6)).resize((side, side), Image.Resampling.BICUBIC)
    quick = {"PNG": {"compress_level": 1}, "WEBP": {"quality": 30, "method": 0}, "AVIF": {"speed": 10, "quality": 30}}
    if kind == "GIF":
        coarse = coarse.convert("L")
    return saved(coarse, kind, **quick.get(kind, {})).data


def cut(kind: str, share: float = 0.6, side: int = 2_000) -> bytes:
    data = _drawn(kind, side)
    return data[: int(len(data) * share)]


def spoilt(kind: str) -> bytes:
    """Its middle is overwritten."""
    data = bytearray(_drawn(kind))
    middle = len(data) // 2
    data[middle : middle + 2_000] = b"\xff" * min(2_000, len(data) - middle)
    return bytes(data)


# Each fails at another place: by its name, its header, its first pixel or one of its last.
REFUSED: Final = (
    Picture("png cut off", "image_unreadable", lambda: cut_png((2_000, 2_000))),
    Picture("png spoilt", "image_unreadable", lambda: spoilt("PNG")),
    Picture("jpeg cut off", "image_unreadable", lambda: cut("JPEG")),
    Picture("webp cut off", "image_unreadable", lambda: cut("WEBP")),
    Picture("gif cut off", "image_unreadable", lambda: cut("GIF")),
    Picture("bmp cut off", "image_unreadable", lambda: cut("BMP", side=1_000)),
    Picture("tiff cut off", "image_unreadable", lambda: cut("TIFF", side=1_000)),
    Picture("avif spoilt", "image_unreadable", lambda: spoilt("AVIF")),
    Picture("jpeg of many segments", "image_unreadable", lambda: jpeg_segments(30_000)),
    Picture("jpeg of many scans", "image_too_large", lambda: scan_bomb(500).data),
    Picture("png of too many pixels", "image_too_large", header_only(20_000, 6_401)),
    Picture("postscript", "unsupported_image_type", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(300_000)),
    Picture("nothing", "image_unreadable", lambda: b""),
)

# --- under a false name


def _written(kind: str, mode: str = "RGB") -> Callable[[], bytes]:
    return lambda: encoded(card("red", size=(64, 64)).convert(mode), kind)


def _archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    return buffer.getvalue()


def _box(brand: bytes) -> Callable[[], bytes]:
    """An ISO media file of this brand, with the box in which an AVIF has its pictures."""
    head = struct.pack(">I4s4sI4s", 20, b"ftyp", brand, 0, brand)
    return lambda: head + struct.pack(">I4s", 300, b"meta") + bytes(292)


_PREVIEW: Final = b"\xc5\xd0\xd3\xc6" + struct.pack("<IIIIIIH", 30, 100, 0, 0, 0, 0, 0xFFFF)
EPS: Final = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(/etc/passwd) (r) file run\n(id) (w) file\nshowpage\n"
SVG: Final = (
    b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:1/"/><text>&a;</text></svg>'
)
_OTHER: Final[dict[str, Callable[[], bytes]]] = {
    "eps": lambda: EPS,
    "eps with a preview": lambda: (
        struct.pack("<4sIIIIIIH", b"\xc5\xd0\xd3\xc6", 30, len(EPS), 0, 0, 0, 0, 0xFFFF) + EPS
    ),
    "postscript": lambda: b"%!PS-Adobe-3.0\n(id) system\n",
    "pdf": _written("PDF"),
    "svg": lambda: SVG,
    "svgz": lambda: zlib.compress(SVG, wbits=31),
    "mvg": lambda: (
        b"push graphic-context\nviewbox 0 0 1 1\nfill 'url(https://127.0.0.1:1/\"|id\")'\npop graphic-context\n"
    ),
    "html": lambda: b"<html><script>alert(1)</script></html>",
    "shell script": lambda: b"#!/bin/sh\nid\n",
    "program": lambda: b"\x7fELF\x02\x01\x01" + bytes(100),
    "zip": _archive,
    "tar": lambda: b"a.png".ljust(257, b"\0") + b"ustar\x0000" + bytes(248),
    "mp4": _box(b"isom"),
    "jpeg 2000": _written("JPEG2000"),
    "ico": _written("ICO"),
    "cur": lambda: b"\0\0\2\0" + _written("ICO")()[4:],
    "icns": _written("ICNS"),
    "psd": lambda: b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 64, 64, 8, 3) + bytes(100),
    "pcx": _written("PCX"),
    "dcx": lambda: struct.pack("<III", 0x3ADE68B1, 12, 0) + _written("PCX")(),
    "tga": _written("TGA"),
    "ppm": _written("PPM"),
    "pfm": lambda: b"PF\n8 8\n-1.0\n" + bytes(768),
    "dds": _written("DDS"),
    "sgi": _written("SGI"),
    "im": _written("IM"),
    "msp": _written("MSP", "1"),
    "xbm": _written("XBM", "1"),
    "xpm": lambda: b'/* XPM */\nstatic char *a[] = {"1 1 1 1", "a c #000000", "a"};\n',
    "blp": _written("BLP", "P"),
    "fits": lambda: b"SIMPLE  =                    T".ljust(2880),
    "hdf5": lambda: b"\x89HDF\r\n\x1a\n" + bytes(100),
    "grib": lambda: b"GRIB" + bytes(3) + b"\1" + bytes(100),
    "bufr": lambda: b"BUFR" + bytes(3) + b"\4" + bytes(100),
    "wmf": lambda: b"\xd7\xcd\xc6\x9a" + bytes(100),
    "emf": lambda: struct.pack("<II", 1, 88) + bytes(32) + b" EMF" + bytes(60),
    "fli": lambda: struct.pack("<IHHHHH", 128, 0xAF11, 1, 8, 8, 8) + bytes(114),
    "qoi": lambda: b"qoif" + struct.pack(">IIBB", 1, 1, 3, 0) + bytes(12),
    "sun raster": lambda: struct.pack(">8I", 0x59A66A95, 8, 8, 24, 192, 1, 0, 0) + bytes(192),
    "ole": lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    "text": lambda: "これは絵ではありません".encode(),
    "zeros": lambda: bytes(1_000),
}
DISGUISES: Final = (
    *(Picture(name, "unsupported_image_type", make) for name, make in _OTHER.items()),
    Picture("heic with nothing in it", "unsupported_image_type", _box(b"heic"), "image_unreadable"),
    # Two kinds in one: what the first bytes say is looked at, and nothing else of it.
    Picture("jpeg with a zip after it", "report", lambda: valid("JPEG") + _archive()),
    Picture("png with html after it", "report", lambda: valid("PNG") + b"<script>alert(1)</script>"),
    Picture("gif that is a script", "image_unreadable", lambda: b"GIF89a=1;alert(1)//" + bytes(100)),
    Picture("webp name, eps inside", "image_unreadable", lambda: b"RIFF" + struct.pack("<I", 200) + b"WEBP" + EPS),
    Picture("tiff name, pdf inside", "image_unreadable", lambda: b"II*\0" + _written("PDF")()),
    Picture("png name, jpeg inside", "image_unreadable", lambda: b"\x89PNG\r\n\x1a\n" + valid("JPEG")),
)


def names(picture: Picture) -> Iterator[tuple[str, str]]:
    """File names and content types under which it may come: its own word is worth nothing."""
    yield "a.png", "image/png"
    yield f"../../etc/{picture.name}", "application/octet-stream"
