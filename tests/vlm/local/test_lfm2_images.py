"""LFM2-VL's pictures without torchvision: the layout that its prompt counts on."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("transformers", reason="needs the extra [vl]")

from serve_app.vlm.local.lfm2_images import Lfm2VlImageProcessorPil


def prepared(width: int, height: int) -> dict[str, object]:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return dict(Lfm2VlImageProcessorPil()([noise], return_tensors="pt", return_row_col_info=True))


# The layouts that transformers 5.23 gives with torchvision 0.29: parts, rows, columns, size of the whole.
@pytest.mark.parametrize(
    ("size", "parts", "grid", "whole"),
    [
        ((512, 512), 1, (1, 1), [512, 512]),
        ((64, 48), 1, (1, 1), [224, 320]),
        ((1024, 1024), 5, (2, 2), [512, 512]),
        ((1920, 1080), 9, (2, 4), [384, 672]),
        ((700, 3000), 5, (4, 1), [1056, 224]),
    ],
)
def test_large_pictures_are_tiles_and_a_thumbnail(
    size: tuple[int, int], parts: int, grid: tuple[int, int], whole: list[int]
) -> None:
    feature = prepared(*size)
    assert (feature["image_rows"], feature["image_cols"]) == ([grid[0]], [grid[1]])
    assert feature["image_sizes"] == [whole]
    shapes = np.asarray(feature["spatial_shapes"])
    assert shapes.tolist() == [[32, 32]] * (parts - 1) + [[whole[0] // 16, whole[1] // 16]]
    masks, values = np.asarray(feature["pixel_attention_mask"]), np.asarray(feature["pixel_values"])
    assert masks.sum(axis=1).tolist() == shapes.prod(axis=1).tolist()
    assert values.shape == (parts, 1024, 16 * 16 * 3)
    assert not values[masks == 0].any()
    assert np.abs(values).max() <= 1


def test_a_tile_holds_the_pixels_of_its_place() -> None:
    picture = np.zeros((1024, 1024, 3), np.uint8)
    picture[512:, :512] = 255
    tiles = np.asarray(Lfm2VlImageProcessorPil()([picture], return_tensors="pt")["pixel_values"])
    assert [tile.mean() for tile in tiles[:4]] == [-1, -1, 1, -1]
