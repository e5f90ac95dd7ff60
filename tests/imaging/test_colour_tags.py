"""Colours as a file's tags describe them: pictures that browsers show alike come out alike, others are named."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageCms

from serve_app.core.pictures import Pixels, Unseen, Upload
from serve_app.imaging.colour_tags import ColourTag, read_colour_tag
from serve_app.imaging.profiles import matrix_profile
from tests.worlds.imaging_files import chunk, prepared, smooth
from tests.worlds.tagged import as_bt709, as_display_p3, as_linear, avif_of, chromaticities, png_of

PICTURE = np.asarray(smooth(96, 64)) // 2 + 64  # inside every gamut, and not so dark that 8 linear bits lose it
P3_D65 = ((0.3127, 0.3290), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060))


def apart(upload: Upload) -> int:
    return int(np.abs(prepared(upload).raster.pixels.astype(int) - PICTURE).max())


@pytest.mark.parametrize(
    ("encode", "chunks"),
    [
        (as_linear, (chunk(b"gAMA", struct.pack(">I", 100_000)),)),
        (as_linear, (chunk(b"cICP", bytes((1, 8, 0, 1))),)),
        (as_bt709, (chunk(b"cICP", bytes((1, 1, 0, 1))),)),
        (as_display_p3, (chunk(b"cICP", bytes((12, 13, 0, 1))),)),
        (as_display_p3, (chromaticities(*P3_D65),)),
        (lambda picture: picture, (chunk(b"gAMA", struct.pack(">I", 45_455)),)),
        (lambda picture: picture, (chunk(b"sRGB", b"\0"), chunk(b"gAMA", struct.pack(">I", 100_000)))),
    ],
    ids=["gAMA", "cICP linear", "cICP BT.709", "cICP Display P3", "cHRM", "gAMA of sRGB", "sRGB before gAMA"],
)
def test_what_a_png_says_of_its_colours_is_applied(
    encode: Callable[[Pixels], Pixels], chunks: tuple[bytes, ...]
) -> None:
    assert apart(png_of(encode(PICTURE), *chunks)) <= 2
    if encode in (as_linear, as_bt709, as_display_p3):
        assert apart(png_of(encode(PICTURE))) > 8  # it is the tag that does it


def test_cicp_counts_before_a_profile_and_gamma_after_it() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    stored = chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))
    linear = as_linear(PICTURE)
    assert apart(png_of(linear, chunk(b"cICP", bytes((1, 8, 0, 1))), stored)) <= 2
    of_light = chunk(b"iCCP", b"x\0\0" + zlib.compress(matrix_profile(ColourTag().chromaticities, (1.0,))))
    assert apart(png_of(linear, chunk(b"cICP", bytes((2, 2, 0, 1))), of_light)) <= 2  # which says nothing
    gamma = chunk(b"gAMA", struct.pack(">I", 100_000))
    assert np.array_equal(prepared(png_of(linear, gamma, stored)).raster.pixels, linear)


def test_what_an_avif_says_of_its_colours_is_applied() -> None:
    said = avif_of(as_display_p3(PICTURE), primaries=12, transfer=13)
    assert float(np.abs(prepared(said).raster.pixels.astype(int) - PICTURE).mean()) < 1.5
    assert prepared(said).facts.unseen == ()
    unsaid = avif_of(as_display_p3(PICTURE), primaries=1, transfer=13)
    assert float(np.abs(prepared(unsaid).raster.pixels.astype(int) - PICTURE).mean()) > 3


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_named_and_left_as_it_is(transfer: int, name: str) -> None:
    for upload in (
        png_of(PICTURE, chunk(b"cICP", bytes((9, transfer, 0, 1)))),
        avif_of(PICTURE, primaries=9, transfer=transfer),
    ):
        found = prepared(upload)
        assert found.facts.unseen == (Unseen("hdr", name),)
        assert any(name in note for note in found.facts.decode_notes)
    assert apart(png_of(PICTURE, chunk(b"cICP", bytes((9, transfer, 0, 1))))) == 0


def test_a_code_that_nobody_gave_a_meaning_is_named() -> None:
    found = prepared(png_of(PICTURE, chunk(b"cICP", bytes((200, 13, 0, 1)))))
    assert found.facts.unseen == (Unseen("colour", "cICP 200/13"),)
    assert np.array_equal(found.raster.pixels, PICTURE)


@pytest.mark.parametrize(
    "chunks",
    [
        (chunk(b"cICP", b"\1"),),
        (chunk(b"cICP", bytes((2, 2, 0, 1))),),
        (chunk(b"gAMA", struct.pack(">I", 0)),),
        (chunk(b"cHRM", bytes(32)),),
        (chunk(b"cHRM", b"\xff" * 32),),
        (chromaticities((0.31, 0.33), (0.6, 0.3), (0.4, 0.3), (0.2, 0.3)),),  # primaries in one line
    ],
)
def test_a_damaged_tag_is_no_tag(chunks: tuple[bytes, ...]) -> None:
    assert apart(png_of(PICTURE, *chunks)) == 0


@pytest.mark.parametrize("short", [chunk(b"gAMA", b"\0"), chunk(b"cHRM", b"\0"), chunk(b"cICP", b"")])
def test_a_short_tag_is_no_tag(short: bytes) -> None:
    assert read_colour_tag(png_of(PICTURE, short).data, "PNG") is None


def test_a_box_that_ends_nowhere_is_no_tag() -> None:
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "AVIF")
    whole = buffer.getvalue()
    for end in range(0, 400, 7):
        read_colour_tag(whole[:end], "AVIF")
    assert read_colour_tag(b"\0\0\0\0metacolrnclx", "AVIF") is None


def test_a_tag_behind_the_pixels_is_too_late() -> None:
    data = png_of(PICTURE).data
    end = data.rindex(b"IEND") - 4
    late = data[:end] + chunk(b"gAMA", struct.pack(">I", 100_000)) + data[end:]
    assert read_colour_tag(late, "PNG") is None
    assert apart(Upload(late)) == 0


def test_grey_has_tags_too() -> None:
    grey = PICTURE[:, :, 0]
    linear = as_linear(grey)
    buffer = io.BytesIO()
    Image.fromarray(linear).save(buffer, "PNG")
    data = buffer.getvalue()
    tagged = Upload(data[:33] + chunk(b"gAMA", struct.pack(">I", 100_000)) + data[33:])
    assert int(np.abs(prepared(tagged).raster.pixels[:, :, 0].astype(int) - grey).max()) <= 2
