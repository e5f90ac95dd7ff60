"""Samples of more than 8 bits: named where they were reduced, compared before that where it can be done."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from serve_app.core.pictures import Unseen, Upload
from serve_app.imaging.depth import reduced
from tests.worlds.imaging_files import noise, png, prepared, saved

RAMP = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)


def tiff(values: NDArray[np.uint16], **tags: int) -> Upload:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for name, value in tags.items():
        directory[int(name.removeprefix("tag_"))] = value
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "TIFF", tiffinfo=directory)
    return Upload(buffer.getvalue())


def test_sixteen_bits_of_grey_are_named_and_their_samples_known() -> None:
    first, again, other = (
        prepared(each).facts for each in (saved(Image.fromarray(RAMP), "PNG"), tiff(RAMP), tiff(RAMP + 1))
    )
    assert first.unseen == again.unseen == other.unseen == (Unseen("bits"),)
    assert first.samples_sha256 == again.samples_sha256 != other.samples_sha256
    assert first.decode_notes == ("Reduced to 8 bits a sample; finer differences are not seen.",)


def test_the_same_samples_in_another_order_of_bytes_are_the_same() -> None:
    buffer = io.BytesIO()
    Image.fromarray(RAMP.astype(">u2")).save(buffer, "TIFF")
    assert prepared(Upload(buffer.getvalue())).facts.samples_sha256 == prepared(tiff(RAMP)).facts.samples_sha256
    assert prepared(tiff(RAMP.reshape(16, 64))).facts.samples_sha256 != prepared(tiff(RAMP)).facts.samples_sha256


def test_eight_bits_in_sixteen_lose_nothing() -> None:
    grey = noise(16, 16, 1)
    found = prepared(tiff(grey.astype(np.uint16) * 257))
    np.testing.assert_array_equal(found.raster.pixels[:, :, 0], grey)
    assert (found.facts.unseen, found.facts.decode_notes) == ((), ())


@pytest.mark.parametrize("bits", [9, 10, 12, 14])
def test_a_range_that_the_header_states_is_stretched(bits: int) -> None:
    white = 2**bits - 1
    values = np.linspace(0, white, 256).round().astype(np.uint16).reshape(16, 16)
    found = prepared(tiff(values, tag_281=white))
    assert np.abs(found.raster.pixels[:, :, 0].astype(int).reshape(-1) - np.arange(256)).max() <= 1
    assert f"Its header names {white} as white, and so it is taken." in found.facts.decode_notes
    assert found.facts.unseen == (Unseen("bits"),)


@pytest.mark.parametrize(("highest", "named"), [(300, "9"), (4095, "12"), (16383, "14"), (16384, None), (0, None)])
def test_a_range_that_nobody_states_is_named(highest: int, named: str | None) -> None:
    values = np.full((8, 8), highest, np.uint16)
    found = prepared(tiff(values)).facts
    assert [each.detail for each in found.unseen if each.kind == "range"] == ([] if named is None else [named])
    assert any("nearly black" in note for note in found.decode_notes) == (named is not None)


def test_wide_colour_is_named() -> None:
    rows = b"".join(b"\0" + np.repeat(row.reshape(-1), 2).tobytes() for row in noise(8, 8))
    found = prepared(png(8, 8, 16, 2, rows)).facts
    assert (found.unseen, found.samples_sha256) == ((Unseen("bits"),), None)
    assert prepared(saved(Image.fromarray(noise(8, 8)), "PNG")).facts.unseen == ()
    assert prepared(saved(Image.fromarray(noise(8, 8)), "TIFF")).facts.unseen == ()


def test_avif_of_ten_bits_is_named() -> None:
    eight = saved(Image.fromarray(noise(32, 32)), "AVIF")
    assert prepared(eight).facts.unseen == ()
    at = eight.data.index(b"av1C") + 6
    ten = eight.data[:at] + bytes((eight.data[at] | 0x40,)) + eight.data[at + 1 :]  # which no decoder believes
    assert reduced(Image.new("RGB", (32, 32)), ten, "AVIF").unseen == (Unseen("bits"),)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_wide_grey_of_whole_levels_loses_nothing_and_other_values_do(mode: str) -> None:
    levels = Image.fromarray(noise(8, 8, 1)).convert(mode)
    assert prepared(saved(levels, "TIFF")).facts.unseen == ()
    wide = Image.fromarray(np.full((8, 8), 1000 if mode == "I" else 0.3, np.int32 if mode == "I" else np.float32))
    assert prepared(saved(wide, "TIFF")).facts.unseen == (Unseen("bits"),)
