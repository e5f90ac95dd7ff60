"""LFM2-VL's pictures to patches without torchvision, which its own image processor in transformers needs.
No model, no text: the layout of tiles follows transformers' `Lfm2VlImageProcessor`, with Pillow's resampling.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_utils import BatchFeature
from transformers.image_utils import PILImageResampling, SizeDict
from transformers.models.siglip2.image_processing_pil_siglip2 import convert_image_to_patches, pad_along_first_dim
from transformers.processing_utils import ImagesKwargs

Values = NDArray[Any]


class Lfm2VlImagesKwargs(ImagesKwargs, total=False):  # type: ignore[misc,call-arg]
    """What a checkpoint's preprocessor_config.json sets, by the names of transformers."""

    downsample_factor: int
    do_image_splitting: bool
    min_tiles: int
    max_tiles: int
    use_thumbnail: bool
    min_image_tokens: int
    max_image_tokens: int
    encoder_patch_size: int
    tile_size: int
    max_pixels_tolerance: float
    do_pad: bool
    return_row_col_info: bool


class Lfm2VlImageProcessorPil(PilBackend):  # type: ignore[misc]
    """Large pictures as tiles and a thumbnail, small ones as they are; each as rows of patches.

    Gives `pixel_values` (parts, patches, values of a patch), `pixel_attention_mask` (parts, patches), 0 where a part
    has fewer, and `spatial_shapes` (parts, 2): rows and columns of patches.
    """

    downsample_factor = 2
    do_image_splitting = True
    min_tiles = 2
    max_tiles = 10
    use_thumbnail = True
    min_image_tokens = 64
    max_image_tokens = 256
    encoder_patch_size = 16
    tile_size = 512
    max_pixels_tolerance = 2.0
    do_resize = True
    size = {"height": 512, "width": 512}  # noqa: RUF012 - what the base class expects; each tile's side is `tile_size`
    resample = PILImageResampling.BILINEAR
    do_rescale = True
    rescale_factor = 1 / 255
    do_normalize = True
    do_pad = True
    return_row_col_info = False
    image_mean = (0.5, 0.5, 0.5)
    image_std = (0.5, 0.5, 0.5)
    valid_kwargs = Lfm2VlImagesKwargs
    model_input_names = ("pixel_values", "pixel_attention_mask", "spatial_shapes")

    def _preprocess(
        self,
        images: list[Values],
        *,
        encoder_patch_size: int,
        return_row_col_info: bool,
        return_tensors: str | None,
        do_rescale: bool,
        rescale_factor: float,
        do_normalize: bool,
        image_mean: list[float],
        image_std: list[float],
        **layout: Any,
    ) -> BatchFeature:
        grid = _Grid(encoder_patch_size=encoder_patch_size, **{name: layout[name] for name in _LAYOUT})
        patches, masks, shapes, rows, columns, sizes = [], [], [], [], [], []
        for image in images:
            down, across, whole = grid.tiles(*image.shape[1:])
            for part in self._parts(image, down, across, whole, grid, layout["resample"]):
                values = self.rescale(part, rescale_factor) if do_rescale else part
                values = self.normalize(values, image_mean, image_std) if do_normalize else values
                shapes.append((part.shape[1] // encoder_patch_size, part.shape[2] // encoder_patch_size))
                padded, mask = pad_along_first_dim(convert_image_to_patches(values, encoder_patch_size), grid.room)
                patches.append(padded)
                masks.append(mask)
            rows.append(down)
            columns.append(across)
            sizes.append(list(whole))
        data = {"pixel_values": patches, "pixel_attention_mask": masks, "spatial_shapes": shapes}
        feature = BatchFeature(data={name: np.asarray(value) for name, value in data.items()})
        feature = feature.convert_to_tensors(return_tensors)
        if return_row_col_info:  # read by the processor, which then drops them
            feature.update({"image_rows": rows, "image_cols": columns, "image_sizes": sizes})
        return feature

    def _parts(
        self, image: Values, down: int, across: int, whole: tuple[int, int], grid: _Grid, resample: Any
    ) -> list[Values]:
        def resized(height: int, width: int) -> Values:
            values: Values = self.resize(image, SizeDict(height=height, width=width), resample=resample)
            return values

        if down == across == 1:
            return [resized(*whole)]
        side = grid.tile_size
        large = resized(down * side, across * side)
        tiles = [
            large[:, row * side : (row + 1) * side, column * side : (column + 1) * side]
            for row in range(down)
            for column in range(across)
        ]
        return [*tiles, resized(*whole)] if grid.use_thumbnail else tiles


_LAYOUT = (
    *("downsample_factor", "do_image_splitting", "min_tiles", "max_tiles", "use_thumbnail", "min_image_tokens"),
    *("max_image_tokens", "tile_size", "max_pixels_tolerance"),
)


class _Grid:
    """Into how many tiles a picture is cut, and the size of the whole of it: `resize_and_split` of transformers."""

    def __init__(
        self,
        *,
        encoder_patch_size: int,
        downsample_factor: int,
        do_image_splitting: bool,
        min_tiles: int,
        max_tiles: int,
        use_thumbnail: bool,
        min_image_tokens: int,
        max_image_tokens: int,
        tile_size: int,
        max_pixels_tolerance: float,
    ) -> None:
        self.tile_size = tile_size
        self.use_thumbnail = use_thumbnail
        self._splits = do_image_splitting and not min_tiles == max_tiles == 1
        self._least, self._most = min_tiles, max_tiles
        self._unit = encoder_patch_size * downsample_factor
        token = self._unit**2  # pixels of one
        self._pixels = (min_image_tokens * token, max_image_tokens * token)
        self._whole_up_to = max_image_tokens * token * max_pixels_tolerance
        self._patch = encoder_patch_size
        in_tile = (tile_size // encoder_patch_size) ** 2 if do_image_splitting else 0
        self.room = max(max_image_tokens * downsample_factor**2, in_tile)  # patches of a part

    def tiles(self, height: int, width: int) -> tuple[int, int, tuple[int, int]]:
        """Rows and columns of tiles, 1 and 1 for an uncut picture, and the size (height, width) of the whole."""
        large = self._rounded(height, self._patch) * self._rounded(width, self._patch) > self._whole_up_to
        across, down = self._ratio(height, width) if large and self._splits else (1, 1)
        return down, across, self._whole(height, width)

    def _rounded(self, length: int, least: int) -> int:
        return max(least, round(length / self._unit) * self._unit)

    def _whole(self, height: int, width: int) -> tuple[int, int]:
        unit, (least, most) = self._unit, self._pixels
        sides = [self._rounded(length, unit) for length in (height, width)]
        if sides[0] * sides[1] > most:
            shrink = math.sqrt(height * width / most)
            sides = [max(unit, math.floor(length / shrink / unit) * unit) for length in (height, width)]
        elif sides[0] * sides[1] < least:
            grow = math.sqrt(least / (height * width))
            sides = [math.ceil(length * grow / unit) * unit for length in (height, width)]
        return sides[0], sides[1]

    def _ratio(self, height: int, width: int) -> tuple[int, int]:
        """Columns and rows whose ratio is nearest to the picture's; of equal ones the largest it half fills."""
        best, off = (1, 1), math.inf
        for across, down in self._ratios():
            here = abs(width / height - across / down)
            fills = height * width > 0.5 * self.tile_size**2 * across * down
            if here < off or (here == off and fills):
                best, off = (across, down), here
        return best

    def _ratios(self) -> list[tuple[int, int]]:
        sides = range(1, self._most + 1)
        found = {(w, h) for w in sides for h in sides if self._least <= w * h <= self._most}
        # As many tiles first: of equal ratios the order decides. Within a number of tiles no two ratios are equal.
        return sorted(found, key=lambda ratio: (ratio[0] * ratio[1], ratio))
