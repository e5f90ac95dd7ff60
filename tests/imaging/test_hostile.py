"""Whatever the bytes are, imaging gives a picture or a refusal of ours, never another exception."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.core.pictures import Box, PreparedImage, Upload
from serve_app.errors import ImageRejected
from serve_app.settings import Limits
from tests.serving.hostile.pictures import KINDS, valid
from tests.worlds.imaging_files import prepared, scan_bomb

# Damaged metadata makes Pillow warn; in production these warnings are switched off where imaging is imported.
pytestmark = pytest.mark.filterwarnings("ignore")
SMALL = Limits(max_pixels=400_000, max_side=5000)


def outcome(data: bytes, scale: float = 1.0) -> PreparedImage | None:
    try:
        return prepared(Upload(data), scale=scale, masks=(Box(1, 1, 5, 5),), size=(16, 16), limits=SMALL)
    except ImageRejected:
        return None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_picture_or_a_refusal(data: bytes) -> None:
    outcome(data)


@given(st.sampled_from([valid(kind)[:16] for kind in KINDS]), st.binary(max_size=300))
def test_any_bytes_after_a_good_magic_are_a_picture_or_a_refusal(magic: bytes, data: bytes) -> None:
    for length in (4, 8, 12, 16):
        outcome(magic[:length] + data)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(KINDS),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255), st.booleans()), min_size=1, max_size=8),
    st.sampled_from([1.0, 2.0, 3.3]),
)
def test_mutated_files_are_a_picture_or_a_refusal(
    kind: str, changes: list[tuple[float, int, bool]], scale: float
) -> None:
    data = bytearray(valid(kind))
    for place, value, in_header in changes:
        data[int(place * (min(len(data), 200 if in_header else len(data)) - 1))] = value
    image = outcome(bytes(data), scale)
    if image is not None:
        assert image.raster.pixels.dtype == np.uint8
        assert image.raster.pixels.shape[2] == 3


@pytest.mark.parametrize("kind", KINDS)
def test_valid_files_are_pictures(kind: str) -> None:
    assert outcome(valid(kind)) is not None


def test_scan_bomb_is_no_picture() -> None:
    assert outcome(scan_bomb(500).data) is None
