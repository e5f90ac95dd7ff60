"""Colours as a file describes them: whether that changes anything, and the way from there to sRGB.
Works on images of the plain modes; knows no files, sizes or orientation."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageCms

from serve_app.core.pictures import Unseen
from serve_app.imaging.colour_tags import ColourTag
from serve_app.imaging.profiles import matrix_profile

_log = logging.getLogger("pairlens.imaging")

PROFILE_ERRORS = (ImageCms.PyCMSError, OSError, ValueError, TypeError)
# Colour space of a profile (ICC.1:2022, table 19) to the Pillow mode its numbers come in.
_MODE_OF_SPACE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
# A profile that moves no probe by more than a level is sRGB for us, whatever it calls itself: its
# pixels then stay exactly those of the same picture without a profile.
_UNNOTICEABLE = 1
_PROBE_STEPS = 9
_CONVERTED_FROM_TAG = "Converted from the colours that its tags describe to sRGB."


@dataclass(frozen=True, slots=True)
class Colour:
    """How an image's numbers become sRGB. `transform` is None where they are sRGB already."""

    transform: ImageCms.ImageCmsTransform | None = None
    mode: str = "RGB"  # what the transform takes
    note: str | None = None
    unseen: Unseen | None = None  # what the file says and no transform of ours follows

    def to_srgb(self, image: Image.Image) -> Image.Image:
        """L, LA, RGB, RGBA or CMYK in; L, LA, RGB or RGBA out, alpha untouched."""
        if self.transform is None:
            return image.convert("RGB") if image.mode == "CMYK" else image
        if image.mode not in ("LA", "RGBA"):
            return self.transform.apply(image if image.mode == self.mode else image.convert(self.mode))
        alpha = image.getchannel("A")
        result = self.transform.apply(image.getchannel("L") if self.mode == "L" else image.convert("RGB"))
        result.putalpha(alpha)
        return result


def colour_of(raw_profile: object, tag: ColourTag | None, mode: str) -> Colour:
    """The way to sRGB for an image of plain `mode` with this ICC profile and tag; a bad profile is ignored."""
    has_profile = isinstance(raw_profile, bytes) and bool(raw_profile)
    if tag is not None and (tag.is_over_profile or not has_profile):
        return _of_tag(tag, mode)
    return _of_profile(raw_profile, mode) if isinstance(raw_profile, bytes) and raw_profile else Colour()


def _of_tag(tag: ColourTag, mode: str) -> Colour:
    if tag.high_dynamic_range:
        note = f"Marked as HDR ({tag.high_dynamic_range} transfer), which is not applied: the samples count as sRGB."
        return Colour(note=note, unseen=Unseen("hdr", tag.high_dynamic_range))
    if tag.unknown:
        return Colour(note=f"Its colour tag ({tag.unknown}) is not applied.", unseen=Unseen("colour", tag.unknown))
    if tag.is_srgb or mode == "CMYK":
        return Colour()
    return replace(_of_profile(matrix_profile(tag.chromaticities, tag.curve), mode), note=_CONVERTED_FROM_TAG)


def _of_profile(raw_profile: bytes, mode: str) -> Colour:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(raw_profile))
        profile_mode = _MODE_OF_SPACE.get(source.profile.xcolor_space.strip())
        if profile_mode is None or not _suits(profile_mode, mode):
            return Colour(note="Its colour profile is not one for such an image and was ignored.")
        target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        transform = ImageCms.ImageCmsTransform(source, target, profile_mode, "RGB")
        if profile_mode != "CMYK" and _is_unnoticeable(transform, profile_mode):
            return Colour()
    except PROFILE_ERRORS as exc:
        _log.info("unusable ICC profile: %s", type(exc).__name__)
        return Colour(note="Its colour profile is damaged and was ignored.")
    return Colour(transform, profile_mode, "Converted from its colour profile to sRGB.")


def _suits(profile_mode: str, mode: str) -> bool:
    if mode in ("L", "LA"):
        return profile_mode in ("L", "RGB")
    return profile_mode == ("CMYK" if mode == "CMYK" else "RGB")


def _is_unnoticeable(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    levels = np.linspace(0, 255, _PROBE_STEPS).round().astype(np.uint8)
    probes = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    if mode == "L":
        probes = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    image = Image.fromarray(np.ascontiguousarray(probes[:, :, 0]) if mode == "L" else probes)
    moved = np.asarray(transform.apply(image)).astype(int) - probes
    return int(np.abs(moved).max()) <= _UNNOTICEABLE
