"""What an upload's header decides, before anything is decoded."""

from __future__ import annotations

import logging
import struct

import pytest
from PIL import Image

from serve_app import imaging
from serve_app.core.pictures import Upload
from serve_app.errors import ImageRejected, ImageTooLarge, UnsupportedImageType
from serve_app.settings import Limits
from tests.worlds.imaging_files import chunk, exif, noise, png, saved, scan_bomb, smooth, tiny_webp_of


def inspect(upload: Upload, **limits: object) -> imaging.Header:
    return imaging.inspect(upload, Limits.model_validate(limits), "candidate")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_facts_come_from_the_header(kind: str) -> None:
    upload = saved(smooth(40, 30), kind)
    header = inspect(upload)
    assert (header.format, header.width, header.height) == (kind, 40, 30)
    assert (header.num_bytes, header.orientation, header.frames) == (len(upload.data), 1, 1)


def test_size_is_upright_for_every_orientation() -> None:
    for orientation in range(1, 9):
        header = inspect(saved(smooth(40, 30), "JPEG", exif=exif(orientation)))
        assert (header.width, header.height) == ((30, 40) if orientation >= 5 else (40, 30))


def test_empty_upload_is_refused_with_a_sentence() -> None:
    with pytest.raises(ImageRejected, match="The candidate image is empty") as refusal:
        inspect(Upload(b""))
    assert (refusal.value.type, refusal.value.image) == ("image_unreadable", "candidate")


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        b"hello, I am text",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\xff",
    ],
    ids=["eps", "text", "heic", "svg", "one byte"],
)
def test_unknown_format_is_unsupported_whatever_it_is_called(data: bytes) -> None:
    with pytest.raises(UnsupportedImageType, match="taken are JPEG"):
        inspect(Upload(data))


def test_known_format_off_the_operators_list_is_unsupported() -> None:
    with pytest.raises(UnsupportedImageType, match="is a GIF file; taken are JPEG, PNG"):
        inspect(saved(smooth(8, 8), "GIF"), formats=("JPEG", "PNG"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_good_magic_with_a_broken_header_is_unreadable(kind: str) -> None:
    data = saved(smooth(40, 30), kind).data
    with pytest.raises(ImageRejected) as refusal:
        inspect(Upload(data[:16]))
    assert refusal.value.type == "image_unreadable"


def test_limits_refuse_by_name_and_number() -> None:
    upload = saved(smooth(40, 30), "PNG")
    with pytest.raises(ImageTooLarge, match=f"has {len(upload.data)} bytes; at most 50"):
        inspect(upload, max_image_bytes=50)
    with pytest.raises(ImageTooLarge, match="40x30: a side is over 39 pixels"):
        inspect(upload, max_side=39)
    with pytest.raises(ImageTooLarge, match="40x30: over 1199 pixels"):
        inspect(upload, max_pixels=1199)
    assert inspect(upload, max_pixels=1200, max_side=40).pixels == 1200


def test_image_over_pillows_own_guard_passes_where_the_operator_allows_it() -> None:
    header = inspect(png(12_000, 9_000, 1, 0, b""))
    assert header.pixels == 108_000_000


@pytest.mark.parametrize(
    "upload",
    [
        png(60_000, 60_000, 8, 2, b""),
        Upload(b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0,\0\0\0\0" + b"\xff" * 4 + b"\0\x02\0;"),
        tiny_webp_of(16_000),
    ],
    ids=["png", "gif", "webp"],
)
def test_huge_header_is_too_large_at_once(upload: Upload) -> None:
    with pytest.raises(ImageTooLarge, match="pixels"):
        inspect(upload)


def test_34_byte_webp_is_refused_by_the_memory_it_would_take() -> None:
    upload = tiny_webp_of(11_000)
    assert len(upload.data) == 34
    header = inspect(upload)
    with pytest.raises(ImageTooLarge, match=r"WEBP, 11000x11000\) needs about \d+ MiB to decode; at most 640 MiB"):
        imaging.check_decodable(header, 2.0, Limits(), "candidate")


def test_progressive_jpeg_is_refused_where_the_same_baseline_jpeg_passes() -> None:
    picture = Image.new("RGB", (9000, 9000))
    small = 90.0  # drafted at 1/8: a baseline decoder then needs next to nothing
    baseline = inspect(saved(picture, "JPEG", quality=10, subsampling=0))
    progressive = inspect(saved(picture, "JPEG", quality=10, subsampling=0, progressive=True))
    limits = Limits(max_decode_bytes=300 * 2**20)
    imaging.check_decodable(baseline, small, limits, "reference")
    assert progressive.is_progressive
    with pytest.raises(ImageTooLarge, match="The reference image"):
        imaging.check_decodable(progressive, small, limits, "reference")


def test_scan_bomb_is_refused_before_decoding() -> None:
    assert inspect(scan_bomb(50)).jpeg is not None
    with pytest.raises(ImageTooLarge, match="more than 100 scans"):
        inspect(scan_bomb(2000))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
def test_file_of_countless_pieces_is_refused_before_pillow_reads_each(kind: str) -> None:
    data = saved(Image.new("P", (9, 9)) if kind == "GIF" else smooth(16, 16), kind).data
    pieces = {"JPEG": b"\xff\xfe\0\x02", "PNG": chunk(b"abCd", b""), "GIF": b"!\xfe\x01a\0"}[kind]
    start = {"JPEG": 2, "PNG": 33, "GIF": data.index(b",")}[kind]
    with pytest.raises(ImageRejected, match="cut into far too many pieces"):
        inspect(Upload(data[:start] + pieces * 20_000 + data[start:]))
    assert inspect(Upload(data[:start] + pieces * 100 + data[start:])).format == kind


def test_a_thumbnail_in_the_metadata_is_no_scan() -> None:
    inner = saved(smooth(16, 16), "JPEG", progressive=True).data
    header = inspect(saved(smooth(40, 30), "JPEG", exif=b"Exif\0\0" + inner))
    assert header.jpeg is not None
    assert (header.jpeg.num_scans, header.jpeg.is_progressive, header.jpeg.samples_per_pixel) == (1, False, 1.5)


def test_damaged_exif_is_noted_and_ignored() -> None:
    header = inspect(saved(smooth(40, 30), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff"))
    assert header.orientation == 1
    assert header.notes in ((), ("Its EXIF data is damaged and was ignored.",))


def test_orientation_after_the_pixels_of_a_png_is_found_without_decoding() -> None:
    plain = saved(smooth(40, 30), "PNG").data
    late = plain[:-12] + chunk(b"eXIf", exif(6).removeprefix(b"Exif\0\0")) + plain[-12:]
    assert (inspect(Upload(late)).width, inspect(Upload(late)).height) == (30, 40)


def test_frames_are_counted_cheaply_and_noted() -> None:
    frames = [Image.fromarray(noise(20, 20, seed=n)) for n in range(5)]
    pages = [frame.copy() for frame in frames]  # saving as an animation leaves encoder settings on the images
    for kind in ("GIF", "WEBP", "PNG", "AVIF"):
        header = inspect(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
        assert (header.frames, header.notes) == (5, ("Only the first of 5 frames is compared.",)), kind
    mpo = inspect(saved(frames[0], "MPO", save_all=True, append_images=frames[1:]))
    assert (mpo.format, mpo.file_format, mpo.frames) == ("JPEG", "MPO", 5)
    tiff = inspect(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert tiff.notes == ("Only the first of several frames is compared.",)


def test_log_names_the_cause_and_the_caller_does_not_see_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pairlens.imaging"), pytest.raises(ImageRejected) as refusal:
        inspect(Upload(b"\x89PNG\r\n\x1a\nnonsense"))
    assert refusal.value.detail == "The candidate image can't be decoded: the file is damaged or cut off."
    assert "sha256" in caplog.text
    assert "nonsense" not in caplog.text
