"""Predicted memory against the peaks of fresh processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from serve_app import imaging
from serve_app.core.pictures import Upload
from serve_app.operating.own_ray import SERVE_ENVIRONMENT
from serve_app.settings import Limits
from tests.worlds.imaging_files import saved, smooth

MIB = 1024 * 1024
# VmHWM and not getrusage: the latter's maximum is inherited from the parent at fork.
_PROGRAM = """
import json, sys
from serve_app import imaging
from serve_app.core.pictures import Upload
from serve_app.settings import Limits

def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

def prepare(upload):
    limits = Limits(max_image_bytes=64 * 2**20, formats=tuple(sys.argv[4].split()))
    header = imaging.inspect(upload, limits, "reference", int(sys.argv[3]))
    shown = imaging.ShownSpec((1024, 1024), 85)
    imaging.prepare(upload, header, "reference", scale=float(sys.argv[1]), masks=(), shown=shown)

upload = Upload(sys.stdin.buffer.read())
# A small one first: the pages of code that it touches are the machine's, there or not, and no image's.
prepare(Upload(bytes.fromhex(sys.argv[2])))
before = status("VmRSS")
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")
prepare(upload)
print(json.dumps(status("VmHWM") - before))
"""


def peak_bytes(
    upload: Upload, small: Upload, scale: float, frame: int = 0, formats: tuple[str, ...] = Limits().formats
) -> int:
    """Above what a process holds that has prepared `small`."""
    command = [sys.executable, "-c", _PROGRAM, str(scale), small.data.hex(), str(frame), " ".join(formats)]
    as_served = {**os.environ, **SERVE_ENVIRONMENT}  # with the service's thresholds of the allocator
    result = subprocess.run(command, input=upload.data, capture_output=True, check=True, timeout=120, env=as_served)
    return int(json.loads(result.stdout))


@pytest.mark.parametrize(
    ("kind", "mode", "scale", "options"),
    [
        ("JPEG", "RGB", 1.0, {}),
        ("JPEG", "RGB", 2.0, {}),
        ("JPEG", "RGB", 1.0, {"progressive": True}),
        ("JPEG", "RGB", 3.9, {"progressive": True}),
        ("JPEG", "CMYK", 1.0, {}),
        ("PNG", "RGBA", 1.0, {"compress_level": 1}),
        ("PNG", "RGBA", 2.0, {"compress_level": 1}),
        ("PNG", "P", 2.0, {"compress_level": 1}),
        ("BMP", "RGB", 1.0, {}),
        ("BMP", "RGB", 2.0, {}),
        ("WEBP", "RGB", 1.0, {"quality": 50, "method": 0}),
    ],
)
def test_prediction_is_not_under_the_peak_and_not_far_over(
    kind: str, mode: str, scale: float, options: dict[str, object]
) -> None:
    picture = smooth(4000, 3000)
    if mode == "RGBA":
        picture.putalpha(100)
    picture = picture.quantize(64) if mode == "P" else picture.convert(mode)
    upload, small = (saved(one, kind, **options) for one in (picture, picture.resize((64, 64))))
    header = imaging.inspect(upload, Limits(max_image_bytes=64 * MIB), "reference")
    predicted, measured = imaging.predicted_bytes(header, scale), peak_bytes(upload, small, scale)
    assert 0.97 * measured <= predicted <= 1.2 * measured, f"{predicted / MIB:.0f} for {measured / MIB:.0f} MiB"


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_a_later_frame_takes_no_more_than_is_predicted(kind: str) -> None:
    """The prediction may be far over: frames are composed in as many ways as there are disposals."""
    pictures = [smooth(3000, 2000).rotate(turn) for turn in (0, 90, 180)]
    options = {"AVIF": {"speed": 10, "quality": 30}, "WEBP": {"method": 0}}.get(kind, {})

    def animated(frames: list[Image.Image]) -> Upload:
        return saved(frames[0], kind, save_all=True, append_images=frames[1:], disposal=2, duration=100, **options)

    upload, small = animated(pictures), animated([each.resize((64, 64)) for each in pictures])
    header = imaging.inspect(upload, Limits(max_image_bytes=64 * MIB), "reference", 2)
    predicted, measured = imaging.predicted_bytes(header, 1.0), peak_bytes(upload, small, 1.0, 2)
    assert 0.97 * measured <= predicted <= 2 * measured, f"{predicted / MIB:.0f} for {measured / MIB:.0f} MiB"
