"""Pictures on their way from upload to measurement and model, and boxes in them.
Values only: nothing here decodes or reads a pixel.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
MASK_GREY = 128  # what ignored places look like, in both pictures and in all that is shown of them


class Box(NamedTuple):
    """A rectangle in upright pixels; `x`, `y` is its top left corner."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    @property
    def area(self) -> int:
        return self.width * self.height

    def overlap(self, other: Box) -> int:
        """Pixels that both hold."""
        across = min(self.right, other.right) - max(self.x, other.x)
        down = min(self.bottom, other.bottom) - max(self.y, other.y)
        return max(0, across) * max(0, down)

    def fit(self, other: Box) -> float:
        """Intersection over union, 0..1."""
        shared = self.overlap(other)
        return shared / (self.area + other.area - shared)


@dataclass(frozen=True, slots=True)
class Upload:
    """One image as it came: encoded bytes. `sha256`: of them, where it is known already."""

    data: bytes
    sha256: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, in hex; 1 ms for a MB where it isn't known."""
        return self.sha256 or hashlib.sha256(self.data).hexdigest()

    def digested(self) -> Upload:
        """The same, its digest known; safe in a thread."""
        return self if self.sha256 else Upload(self.data, self.digest)


@dataclass(frozen=True, slots=True)
class ShownImage:
    """What the model is shown of one image: RGB, at most `max_image_size`."""

    width: int
    height: int
    encoding: Literal["jpeg", "rgb"]  # "rgb": width * height * 3 bytes, row by row
    data: bytes


@dataclass(frozen=True, slots=True)
class Raster:
    """Upright sRGB pixels to measure.

    `pixels` is (height, width, 3) uint8, composited on white; `alpha` is (height, width) uint8, or None
    where every pixel is opaque. On black a pixel is `pixels - (255 - alpha)`, so both backgrounds are here.
    """

    pixels: Pixels
    alpha: Pixels | None
    original_width: int
    original_height: int

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def scale(self) -> float:
        """Original pixels per pixel measured; 1.0 at native resolution."""
        return max(self.original_width / self.width, self.original_height / self.height)


UnseenKind = Literal["frames", "pages", "bits", "range", "hdr", "colour"]


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something of a file that the pixels compared don't hold; `detail`: which, where there are several such."""

    kind: UnseenKind
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the report says of one image; sizes are upright original pixels.

    `samples_sha256`: of the samples as the file has them, where they are of more than 8 bits and could be read so.
    """

    width: int
    height: int
    format: str
    bytes: int
    sha256: str
    shown_width: int
    shown_height: int
    decode_notes: tuple[str, ...] = ()
    unseen: tuple[Unseen, ...] = ()
    samples_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """One upload, decoded: `raster` to measure, `shown` for the model (None where no model asks)."""

    facts: ImageFacts
    raster: Raster
    shown: ShownImage | None
