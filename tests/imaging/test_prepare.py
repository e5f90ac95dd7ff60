"""What comes out of imaging: upright sRGB pixels, alpha as evidence, masks, the shown copy."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage import data as photographs

from serve_app import imaging
from serve_app.core.pictures import Box, Upload
from serve_app.errors import ImageRejected
from serve_app.settings import Limits
from tests.worlds.imaging_files import GREY, chunk, exif, noise, png, prepared, saved, shown_pixels, smooth


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_lossless_formats_give_the_very_same_pixels(kind: str, options: dict[str, bool]) -> None:
    pixels = photographs.astronaut()
    image = prepared(saved(Image.fromarray(pixels), kind, **options), size=(64, 64))
    np.testing.assert_array_equal(image.raster.pixels, pixels)
    assert image.raster.alpha is None
    assert image.raster.scale == 1.0


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_tag_equals_turned_pixels(kind: str, orientation: int) -> None:
    tagged = Image.fromarray(noise(37, 23))
    tagged.getexif()[0x112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    upload = saved(tagged, kind, exif=exif(orientation), **options)
    flips = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
    turned = tagged.transpose(Image.Transpose(flips[orientation])) if orientation > 1 else tagged
    mask = Box(3, 5, 7, 4)
    for scale in (1.0, 2.0):
        ours = prepared(upload, scale=scale, masks=(mask,), size=(16, 16))
        theirs = prepared(saved(turned, "PNG"), scale=scale, masks=(mask,), size=(16, 16))
        apart = np.abs(ours.raster.pixels.astype(int) - theirs.raster.pixels).max()
        # Shrunk as stored: resampling rounds twice, across first, so turned noise may be a few levels off.
        assert apart <= (0 if scale == 1 else 8)
        assert np.abs(shown_pixels(ours).astype(int) - shown_pixels(theirs)).max() <= 8
    assert ("Turned upright as its EXIF orientation says." in ours.facts.decode_notes) == (orientation != 1)


def test_both_backgrounds_are_in_the_raster_exactly() -> None:
    rgba = noise(64, 64, 4)
    raster = prepared(saved(Image.fromarray(rgba), "PNG")).raster
    assert raster.alpha is not None
    np.testing.assert_array_equal(raster.alpha, rgba[:, :, 3])
    cover = rgba[:, :, 3:].astype(np.float64) / 255
    black = np.rint(rgba[:, :, :3] * cover)
    np.testing.assert_array_equal(raster.pixels - (255 - raster.alpha[:, :, None]), black)
    np.testing.assert_array_equal(raster.pixels, black + 255 - rgba[:, :, 3:])


def test_hidden_colours_of_transparent_pixels_are_not_seen() -> None:
    first, second = noise(64, 64, 4, seed=1), noise(64, 64, 4, seed=2)
    first[:, :, 3] = second[:, :, 3] = 0
    one, two = (prepared(saved(Image.fromarray(a), "PNG"), size=(32, 32)) for a in (first, second))
    assert (one.raster.pixels == 255).all()
    np.testing.assert_array_equal(shown_pixels(one), shown_pixels(two))


def test_opaque_alpha_is_no_alpha() -> None:
    rgba = noise(40, 30, 4)
    rgba[:, :, 3] = 255
    raster = prepared(saved(Image.fromarray(rgba), "PNG")).raster
    assert raster.alpha is None
    np.testing.assert_array_equal(raster.pixels, rgba[:, :, :3])


def test_transparency_is_found_in_every_mode_that_has_it() -> None:
    rgba = Image.fromarray(noise(20, 20, 4))
    for image in (rgba, rgba.convert("LA")):
        assert prepared(saved(image, "PNG")).raster.alpha is not None
    palette = Image.new("P", (20, 20))
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.paste(1, (0, 0, 10, 20))
    for kind in ("PNG", "GIF"):
        raster = prepared(saved(palette, kind, transparency=0)).raster
        assert raster.alpha is not None
        assert raster.alpha[0, 15] == 0
        assert raster.pixels[0, 15].tolist() == [255, 255, 255]
        assert raster.pixels[0, 5].tolist() == [0, 255, 0]


@pytest.mark.parametrize(
    ("upload", "transparent"),
    [
        (png(4, 1, 8, 0, b"\0\x00\x40\x80\xff", chunk(b"tRNS", b"\0\x40")), 1),
        (png(4, 1, 4, 0, b"\0\x03\x6f", chunk(b"tRNS", b"\0\x03")), 1),
        (png(4, 1, 16, 0, b"\0\0\0\x40\x01\x40\0\xff\xff", chunk(b"tRNS", b"\x40\x01")), 1),
        (png(2, 1, 8, 2, b"\0\x01\x02\x03\x09\x09\x09", chunk(b"tRNS", b"\0\x01\0\x02\0\x03")), 0),
        (png(8, 1, 1, 0, b"\0\x7f", chunk(b"tRNS", b"\0\0")), 0),
    ],
    ids=["L", "4 bits", "16 bits", "RGB", "1 bit"],
)
def test_one_transparent_colour_is_transparent(upload: Upload, transparent: int) -> None:
    alpha = prepared(upload).raster.alpha
    assert alpha is not None
    assert np.flatnonzero(alpha[0] == 0).tolist() == [transparent]


def test_16_bit_grey_keeps_its_tones() -> None:
    values = np.linspace(0, 65535, 256 * 4).reshape(32, 32).astype(np.uint16)
    raster = prepared(saved(Image.fromarray(values), "PNG")).raster
    np.testing.assert_array_equal(raster.pixels[:, :, 0], values >> 8)
    tiff = prepared(saved(Image.fromarray(values), "TIFF")).raster
    np.testing.assert_array_equal(tiff.pixels, raster.pixels)


def test_16_bit_colour_loses_only_its_low_byte() -> None:
    pixels = noise(8, 8)
    rows = b"".join(b"\0" + np.repeat(row.reshape(-1), 2).tobytes() for row in pixels)
    np.testing.assert_array_equal(prepared(png(8, 8, 16, 2, rows)).raster.pixels, pixels)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_grey_of_unstated_range_is_not_clipped_and_is_noted(mode: str) -> None:
    grey = noise(16, 16, 1)
    image = prepared(saved(Image.fromarray(grey).convert(mode), "TIFF"))
    np.testing.assert_array_equal(image.raster.pixels[:, :, 1], grey)
    assert image.facts.decode_notes == ("Its grey values are of unstated range; 255 is taken as white.",)


def test_floats_up_to_one_are_taken_as_such() -> None:
    values = np.array([[0.0, 0.5, 1.0, np.nan]], np.float32)
    assert prepared(saved(Image.fromarray(values), "TIFF")).raster.pixels[0, :, 0].tolist() == [0, 128, 255, 0]


def test_black_and_white_palette_and_grey_become_rgb() -> None:
    picture = Image.fromarray(photographs.camera()[:64, :64])
    for image in (picture, picture.convert("1"), picture.quantize(64)):
        raster = prepared(saved(image, "PNG"), size=(32, 32)).raster
        np.testing.assert_array_equal(raster.pixels, np.asarray(image.convert("RGB")))


def test_cmyk_is_not_inverted_twice() -> None:
    picture = smooth(64, 64)
    raster = prepared(saved(picture.convert("CMYK"), "JPEG", quality=98)).raster
    assert np.abs(raster.pixels.astype(int) - np.asarray(picture)).mean() < 2


def test_lab_becomes_rgb() -> None:
    picture = Image.new("RGB", (16, 16), (200, 60, 40))
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(picture, srgb, lab, outputMode="LAB")
    assert image is not None
    assert np.abs(prepared(saved(image, "TIFF")).raster.pixels[0, 0].astype(int) - [200, 60, 40]).max() <= 6


def test_srgb_profile_changes_no_pixel() -> None:
    pixels = noise(32, 32)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = prepared(saved(Image.fromarray(pixels), "PNG", icc_profile=profile))
    np.testing.assert_array_equal(image.raster.pixels, pixels)
    assert image.facts.decode_notes == ()


def wide_gamut_profile() -> bytes:
    """sRGB's own profile with the red and green primaries exchanged: visibly another colour space."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"tmp!", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"tmp!", b"gXYZ", 1)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_profile_is_applied_to_raster_and_shown_copy(mode: str) -> None:
    picture = Image.new("RGB", (64, 64), (220, 30, 30))
    picture = picture.quantize(4) if mode == "P" else picture.convert(mode)
    image = prepared(saved(picture, "PNG", icc_profile=wide_gamut_profile()), size=(32, 32))
    red, green, _ = image.raster.pixels[0, 0].astype(int)
    assert green > red + 100
    assert np.abs(shown_pixels(image)[0, 0].astype(int) - image.raster.pixels[0, 0]).max() <= 1
    assert image.facts.decode_notes == ("Converted from its colour profile to sRGB.",)


@pytest.mark.parametrize(
    ("profile", "note"),
    [
        (b"no profile at all", "Its colour profile is damaged and was ignored."),
        (
            ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
            "Its colour profile is not one for such an image and was ignored.",
        ),
    ],
)
def test_unusable_profile_is_ignored_with_a_note(profile: bytes, note: str) -> None:
    pixels = noise(16, 16)
    image = prepared(saved(Image.fromarray(pixels), "PNG", icc_profile=profile))
    np.testing.assert_array_equal(image.raster.pixels, pixels)
    assert image.facts.decode_notes == (note,)


def test_masks_are_opaque_grey_everywhere_they_touch() -> None:
    rgba = noise(100, 80, 4)
    masks = (Box(10, 20, 15, 11), Box(90, 70, 50, 50), Box(500, 500, 9, 9), Box(-5, -5, 8, 8))
    image = prepared(saved(Image.fromarray(rgba), "PNG"), masks=masks, size=(50, 40))
    pixels, alpha = image.raster.pixels, image.raster.alpha
    assert alpha is not None
    for left, top, right, bottom in ((10, 20, 25, 31), (90, 70, 100, 80), (0, 0, 3, 3)):
        assert (pixels[top:bottom, left:right] == GREY).all()
        assert (alpha[top:bottom, left:right] == 255).all()
        small = shown_pixels(image)[top // 2 : -(-bottom // 2), left // 2 : -(-right // 2)]
        assert (small == GREY).all()
    assert alpha[40, 50] == rgba[40, 50, 3]


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("PNG", "L"), ("JPEG", "L")])
def test_nothing_under_a_mask_leaks_out_by_shrinking(kind: str, mode: str) -> None:
    mask = Box(48, 32, 64, 48)  # on JPEG's own blocks: the file itself mixes pixels inside of them
    pictures = []
    for seed in (1, 2):
        pixels = np.full((160, 200, 3), 90, np.uint8)
        pixels[32:80, 48:112] = noise(64, 48, seed=seed)
        pictures.append(saved(Image.fromarray(pixels).convert(mode), kind))
    for scale in (1.0, 2.0, 2.7):
        one, two = (prepared(u, scale=scale, masks=(mask,), size=(64, 64)) for u in pictures)
        np.testing.assert_array_equal(one.raster.pixels, two.raster.pixels)
        np.testing.assert_array_equal(shown_pixels(one), shown_pixels(two))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_scaled_raster_is_close_to_the_reference_shrink(kind: str) -> None:
    photograph = Image.fromarray(photographs.chelsea())
    raster = prepared(saved(photograph, kind, **({"quality": 98} if kind == "JPEG" else {})), scale=2.3).raster
    assert (raster.width, raster.height) == (-(-photograph.width * 10 // 23), -(-photograph.height * 10 // 23))
    reference = np.asarray(photograph.resize((raster.width, raster.height), Image.Resampling.LANCZOS))
    assert np.abs(raster.pixels.astype(int) - reference).mean() < 2.5
    assert raster.scale == pytest.approx(2.3, rel=0.02)


def test_shown_copy_fits_is_never_enlarged_and_carries_no_metadata() -> None:
    upload = saved(smooth(300, 100), "JPEG", exif=exif(1), icc_profile=wide_gamut_profile())
    image = prepared(upload, size=(64, 64), quality=85)
    assert image.shown is not None
    assert (image.shown.width, image.shown.height, image.shown.encoding) == (64, 21, "jpeg")
    copy = Image.open(io.BytesIO(image.shown.data), formats=("JPEG",))
    assert (copy.size, len(copy.getexif()), "icc_profile" in copy.info) == ((64, 21), 0, False)
    small = prepared(upload, size=(4096, 4096))
    assert (small.facts.shown_width, small.facts.shown_height) == (300, 100)
    np.testing.assert_array_equal(shown_pixels(small), small.raster.pixels)


def test_nothing_is_shown_where_nobody_looks_but_its_size_is_told() -> None:
    upload = saved(smooth(2048, 64), "PNG")
    header = imaging.inspect(upload, Limits(), "reference")
    for spec in (None, imaging.ShownSpec((1024, 1024), 85, encode=False)):
        image = imaging.prepare(upload, header, "reference", scale=1.0, masks=(), shown=spec)
        assert image.shown is None
        assert (image.facts.shown_width, image.facts.shown_height) == (1024, 32)


def test_only_the_first_frame_is_compared() -> None:
    frames = [Image.fromarray(noise(20, 20, 1, seed=n)) for n in range(3)]
    image = prepared(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(image.raster.pixels, np.asarray(frames[0].convert("RGB")))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_file_cut_off_is_refused(kind: str, share: float) -> None:
    data = saved(Image.fromarray(noise(200, 200)), kind).data
    with pytest.raises(ImageRejected, match="can't be decoded: the file is damaged or cut off"):
        prepared(Upload(data[: int(len(data) * share)]))


def test_two_threads_prepare_the_same_as_one() -> None:
    uploads = [saved(Image.fromarray(noise(300, 200, bands, seed=bands)), "PNG") for bands in (1, 3, 4)] * 4
    alone = [prepared(upload, scale=1.5, size=(64, 64)) for upload in uploads]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda upload: prepared(upload, scale=1.5, size=(64, 64)), uploads))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.raster.pixels, other.raster.pixels)
        assert one.facts == other.facts
        assert one.shown == other.shown
