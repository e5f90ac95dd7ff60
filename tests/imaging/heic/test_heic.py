"""HEIC where the operator takes it: upright, coloured, opaque or not, and refused as any other picture."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from serve_app import imaging
from serve_app.core.pictures import Pixels, PreparedImage, Unseen, Upload
from serve_app.errors import ImageRejected, ImageTooLarge, InvalidConfig, UnsupportedImageType
from serve_app.imaging.formats import heif
from serve_app.imaging.signature import format_of
from serve_app.operating import launch
from serve_app.settings import Limits
from tests.imaging.heic.container import (
    code_points,
    colours,
    container,
    grid,
    mirrored,
    picture,
    profile,
    turned,
    with_opacity,
)
from tests.imaging.heic.frames import COLOURS, LARGE, TEN_BITS
from tests.imaging.test_memory import MIB, peak_bytes
from tests.worlds.imaging_files import prepared

TAKEN = Limits(formats=("JPEG", "PNG", "HEIC"))
RED, GREEN, BLUE, WHITE = (200, 30, 30), (30, 180, 40), (40, 60, 200), (240, 240, 240)


def seen(data: bytes) -> PreparedImage:
    return prepared(Upload(data), limits=TAKEN)


def quarters(pixels: Pixels) -> list[tuple[int, int, int]]:
    """The colour in the middle of each quarter, by rows, as the nearest of ours."""
    height, width = pixels.shape[:2]
    named = np.array([RED, GREEN, BLUE, WHITE])
    found = []
    for y, x in ((1, 1), (1, 3), (3, 1), (3, 3)):
        far = np.abs(named - pixels[height * y // 4, width * x // 4].astype(int)).sum(1)
        assert far.min() < 40
        found.append(tuple(named[far.argmin()].tolist()))
    return found


def test_a_picture_is_what_was_coded() -> None:
    image = seen(colours())
    assert (image.facts.width, image.facts.height, image.facts.format) == (64, 48, "HEIC")
    assert quarters(image.raster.pixels) == [RED, GREEN, BLUE, WHITE]
    assert image.raster.alpha is None
    assert image.facts.decode_notes == ()
    assert image.facts.unseen == ()


@pytest.mark.parametrize("orientation", [None, 1, 3, 6, 8])
def test_a_picture_is_turned_by_its_decoder_and_not_again_by_its_exif(orientation: int | None) -> None:
    image = seen(colours(turned(3), orientation=orientation))  # as an iPhone held upright: irot and EXIF say 6
    assert (image.facts.width, image.facts.height) == (48, 64)
    assert quarters(image.raster.pixels) == [BLUE, RED, WHITE, GREEN]
    assert not any("EXIF" in note for note in image.facts.decode_notes)


def test_an_exif_orientation_alone_turns_nothing() -> None:
    assert quarters(seen(colours(orientation=6)).raster.pixels) == [RED, GREEN, BLUE, WHITE]


def test_a_mirror_is_one() -> None:
    assert quarters(seen(colours(mirrored(1))).raster.pixels) == [GREEN, RED, WHITE, BLUE]


def test_tiles_lie_side_by_side() -> None:
    tiles = [grid([2, 3, 4, 5], 2, 128, 128), *[picture(COLOURS)] * 4]
    image = seen(container(tiles))
    assert image.facts.width == image.facts.height == 128
    for y in (0, 64):
        for x in (0, 64):
            assert quarters(image.raster.pixels[y : y + 48, x : x + 64]) == [RED, GREEN, BLUE, WHITE]


def test_what_is_transparent_is_so() -> None:
    alpha = seen(with_opacity()).raster.alpha
    assert alpha is not None
    assert alpha[:, :36].min() > 250
    assert alpha[:, 44:].max() < 5


def test_a_profile_and_code_points_are_applied() -> None:
    plain = seen(colours()).raster.pixels.astype(int)
    wide = seen(colours(code_points(12, 13))).raster.pixels.astype(int)  # Display P3
    assert wide[10, 10, 0] > plain[10, 10, 0] + 8  # a red that is redder than sRGB's
    same = seen(colours(profile(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())))
    assert np.abs(same.raster.pixels - plain).max() <= 2


def test_ten_bits_are_told_as_finer_than_what_is_seen() -> None:
    image = seen(container([grid([2], 1, 64, 48), picture(TEN_BITS)]))
    assert Unseen("bits") in image.facts.unseen
    assert image.raster.pixels.dtype == np.uint8
    assert int(image.raster.pixels[10, 60].max()) > int(image.raster.pixels[10, 5].max())


def collection(primary: int) -> bytes:
    """A picture as it is and the same turned; the tile is hidden in neither."""
    return container([picture(COLOURS), picture(COLOURS, turned(2))], primary)


@pytest.mark.parametrize(("primary", "frame", "first"), [(1, 0, RED), (1, 1, None), (2, 0, None), (2, 1, RED)])
def test_of_a_collection_the_primary_picture_is_the_first(primary: int, frame: int, first: Any) -> None:
    upload = Upload(collection(primary))
    header = imaging.inspect(upload, TAKEN, "reference", frame)
    assert (header.frames, header.unseen) == (2, (Unseen("frames", str(frame)),))
    image = imaging.prepare(upload, header, "reference", scale=1.0, masks=(), shown=None)
    corner = image.raster.pixels[8, 8]
    assert (np.abs(corner.astype(int) - RED).max() < 20) == (first == RED)
    with pytest.raises(InvalidConfig, match="has no frame 2"):
        imaging.inspect(upload, TAKEN, "reference", 2)


# --- what is refused


def test_it_is_off_until_the_operator_lists_it() -> None:
    with pytest.raises(UnsupportedImageType) as refused:
        imaging.inspect(Upload(colours()), Limits(), "candidate")
    told = refused.value.detail
    assert "The candidate image is HEIC, as iPhones" in told
    assert "which this service doesn't take" in told
    assert "export it as JPEG" in told


def test_brands_are_told_from_others() -> None:
    assert format_of(colours()) == "HEIC"
    assert format_of(container([picture(COLOURS)], brand=b"mif1", others=(b"heic",))) == "HEIC"
    assert format_of(container([picture(COLOURS)], brand=b"mif1", others=(b"miaf",))) is None
    assert format_of(container([picture(COLOURS)], brand=b"avif", others=(b"mif1",))) == "AVIF"
    assert format_of(container([picture(COLOURS)], brand=b"isom", others=(b"heic",))) is None


def test_size_is_refused_from_the_header() -> None:
    for data in (
        container([picture(COLOURS, width=20_000, height=20_000)]),
        container([grid(range(2, 202), 20, 60_000, 60_000), *[picture(COLOURS)] * 200]),
        container([picture(COLOURS, turned(1), width=100, height=30_000)]),
        container([picture(COLOURS), picture(COLOURS, width=30_000, height=30_000)], 2),
    ):
        with pytest.raises(ImageTooLarge, match="over"):
            imaging.inspect(Upload(data), TAKEN, "candidate")
    behind = Upload(container([picture(COLOURS), picture(COLOURS, width=30_000, height=30_000)]))
    assert imaging.inspect(behind, TAKEN, "candidate").width == 64
    with pytest.raises(ImageTooLarge):
        imaging.inspect(behind, TAKEN, "candidate", 1)


def lying() -> bytes:
    """A frame of 12 megapixels in a file that says 64 x 64."""
    return container([picture(LARGE)])


@pytest.mark.parametrize(
    "make",
    [
        lying,
        lambda: container([picture(COLOURS, width=3000, height=3000)]),
        lambda: container([grid([2, 3], 2, 4000, 64), *[picture(COLOURS)] * 2]),
        lambda: container([grid([1], 1, 64, 48)]),  # of itself
        lambda: container([grid([2], 1, 64, 48), grid([1], 1, 64, 48)]),
        lambda: container([grid([9], 1, 64, 48), picture(COLOURS)]),
        lambda: container([picture(COLOURS)], 7),
        lambda: container([picture(COLOURS, width=0, height=0)]),
        lambda: colours()[:-100],
        lambda: colours()[:200],
        lambda: colours()[:24],
        lambda: container([picture(COLOURS._replace(frame=b"\0" * 300))]),
        lambda: container([picture(COLOURS._replace(settings=b"\1" * 20))]),
        lambda: container([picture(COLOURS)], brand=b"msf1", others=(b"hevc",))[:28] + b"\0\0\0\x10moov" + bytes(8),
    ],
)
def test_what_is_damaged_or_lies_is_refused(make: Callable[[], bytes]) -> None:
    with pytest.raises(ImageRejected):
        seen(make())


def test_a_frame_that_is_larger_than_its_file_says_is_given_no_memory() -> None:
    """The decoder's own limit is the size that the header gave."""
    with pytest.raises(ImageRejected) as refused:
        seen(lying())
    assert "Security limit exceeded" in str(refused.value.__cause__)


def test_any_byte_may_be_wrong() -> None:
    dice = np.random.default_rng(7)
    for whole in (colours(turned(1), orientation=6), with_opacity(), collection(2)):
        for _ in range(60):
            data = bytearray(whole)
            for at in dice.integers(12, len(data), 1 + dice.integers(4)):
                data[at] = dice.integers(256)
            try:
                seen(bytes(data))
            except (ImageRejected, UnsupportedImageType):
                continue


# --- what it costs


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_prediction_is_not_under_the_peak_and_not_far_over(scale: float) -> None:
    upload = Upload(container([picture(LARGE, width=4000, height=3000)]))
    header = imaging.inspect(upload, TAKEN, "reference")
    predicted = imaging.predicted_bytes(header, scale)
    measured = peak_bytes(upload, Upload(colours()), scale, formats=TAKEN.formats)
    assert 0.97 * measured <= predicted <= 1.35 * measured, f"{predicted / MIB:.0f} for {measured / MIB:.0f} MiB"


# --- where it can't be read


@pytest.mark.parametrize(
    ("version", "is_fine"),
    [("1.23.0", True), ("1.30.1", True), ("2.0", True), ("1.22.2", False), ("1.3", False), ("", False)],
)
def test_an_older_libheif_is_not_used(version: str, is_fine: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import pi_heif

    monkeypatch.setattr(pi_heif, "libheif_version", lambda: version)
    heif._picture.cache_clear()
    try:
        if is_fine:
            launch.check_formats(TAKEN)
            return
        with pytest.raises(launch.LaunchFailed, match=f"libheif here is {version}, .* before 1.23 have known holes"):
            launch.check_formats(TAKEN)
        launch.check_formats(Limits())
    finally:
        heif._picture.cache_clear()


def test_a_list_with_heic_and_nothing_that_reads_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("pi_heif"):
            raise ImportError(name)
        return real(name, *rest, **named)

    heif._picture.cache_clear()
    for name in [name for name in sys.modules if name.startswith("pi_heif")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    try:
        with pytest.raises(launch.LaunchFailed, match=r"pip install 'pairlens\[heic\]'"):
            launch.check_formats(TAKEN)
    finally:
        heif._picture.cache_clear()


def test_pillow_itself_learns_nothing_of_it() -> None:
    heif.check(TAKEN.formats)
    Image.init()
    assert not {"HEIF", "HEIC"} & set(Image.OPEN)
