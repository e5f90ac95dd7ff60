"""Two sizes of one frame: both at the smaller resolution."""

from __future__ import annotations

import math
from dataclasses import replace

from serve_app.core.measured import Alignment
from serve_app.core.pictures import Box, Raster
from serve_app.measurement.placing.placed import Placed, box_back, box_onto, resampled
from serve_app.measurement.tiles import Grid

ASPECT_SLACK = 0.01  # of the aspect ratio: rounding of a resize


def resized(first: Raster, second: Raster) -> Placed:
    """Both at the smaller resolution: detail that one picture never had is no difference. Where the frames are of
    another shape, as if one had been stretched."""
    stretch = (second.width / first.width) / (second.height / first.height)
    rounding = 0.5 / min(first.width, first.height, second.width, second.height)
    same_aspect = abs(math.log(stretch)) <= ASPECT_SLACK + 2 * rounding
    size = (min(first.width, second.width), min(first.height, second.height))
    pixels = [resampled(raster.pixels, size) for raster in (first, second)]
    alphas = [None if raster.alpha is None else resampled(raster.alpha, size) for raster in (first, second)]
    grid = Grid(pixels[0], pixels[1], alphas[0], alphas[1], jitter=1)
    scale = math.sqrt(second.width * second.height / (first.width * first.height))

    def places(box: Box) -> tuple[Box, Box]:
        return box_onto(box, size, first), box_onto(box, size, second)

    def back(box: Box, own: int) -> Box | None:
        return box_back(box, (first, second)[own], size)

    found = Alignment("resized", scale=round(scale, 4))
    if not same_aspect:
        scales = (round(second.width / first.width, 4), round(second.height / first.height, 4))
        found = replace(found, kind="stretched", scales=scales)
    geometry = 1 - 0.02 * min(1.0, abs(math.log2(scale))) - min(0.15, 0.3 * abs(math.log(stretch)))
    coarse = max(raster.original_width / size[0] for raster in (first, second))
    return Placed(grid, found, places, geometry, same_aspect, back, coarse)
