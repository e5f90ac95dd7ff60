"""What a pair will cost, decided from two headers before anything is decoded: scale, memory, order.
Decodes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from serve_app import imaging, measurement
from serve_app.core.pictures import Box, Upload
from serve_app.errors import ImageTooLarge
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import MIB, Limits

DRAFT_SCALES: Final = (2.0, 4.0, 8.0)


@dataclass(frozen=True, slots=True)
class PairPlan:
    """What a pair will cost, decided from the two headers before anything is decoded."""

    reference: imaging.Header
    candidate: imaging.Header
    scale: float  # original pixels per measured pixel, the same for both images
    reserved_bytes: int
    decodes_together: bool


def plan_pair(
    reference: Upload, candidate: Upload, config: ImageComparisonConfig, limits: Limits, budget_bytes: int
) -> PairPlan:
    """Check both headers, then decide scale, memory and order. Raises `ImageRejected` and its kinds, `InvalidConfig`.

    A pair that fits at no finer scale is measured at a half, a quarter or an eighth: what a JPEG decoder
    skips for nothing. The refusal of one that fits at none tells the numbers of the finest.
    """
    shown_size = config.max_image_size
    first = imaging.inspect(reference, limits, "reference", config.frame)
    second = imaging.inspect(candidate, limits, "candidate", config.frame)
    pixels = max(first.width * first.height, second.width * second.height)
    finest = max(1.0, math.sqrt(pixels / limits.max_measured_pixels))
    try:
        return _fit(first, second, finest, shown_size, limits, budget_bytes)
    except ImageTooLarge:
        for coarser in (scale for scale in DRAFT_SCALES if scale > finest):
            with suppress(ImageTooLarge):
                return _fit(first, second, coarser, shown_size, limits, budget_bytes)
        raise


def ignored(config: ImageComparisonConfig, plan: PairPlan) -> tuple[list[Box], list[Box]]:
    """The ignored regions in reference and candidate, as far as headers tell."""
    masks = [Box(*region) for region in config.ignore_regions]
    return masks, masks_on_candidate(masks, plan)


def masks_on_candidate(masks: Sequence[Box], plan: PairPlan) -> list[Box]:
    """The masks of the reference on the candidate: same relative place where the sizes differ."""
    reference, candidate = plan.reference, plan.candidate
    if (reference.width, reference.height) == (candidate.width, candidate.height):
        return list(masks)
    across = candidate.width / reference.width
    down = candidate.height / reference.height
    moved = []
    for mask in masks:
        left, top = math.floor(mask.x * across), math.floor(mask.y * down)
        right, bottom = math.ceil(mask.right * across), math.ceil(mask.bottom * down)
        moved.append(Box(left, top, right - left, bottom - top))
    return moved


def _fit(
    first: imaging.Header,
    second: imaging.Header,
    scale: float,
    shown_size: tuple[int, int],
    limits: Limits,
    budget_bytes: int,
) -> PairPlan:
    """Both decodes at once if the budget holds them, else one after the other, else a refusal."""
    imaging.check_decodable(first, scale, limits, "reference")
    imaging.check_decodable(second, scale, limits, "candidate")
    decode = [imaging.predicted_bytes(header, scale, shown_size) for header in (first, second)]
    # RGB and alpha stay until the pair is measured.
    kept = [math.ceil(4 * header.width * header.height / scale**2) for header in (first, second)]
    width = math.ceil(max(first.width, second.width) / scale)
    height = math.ceil(max(first.height, second.height) / scale)
    measuring = sum(kept) + measurement.working_bytes(width, height)
    together = max(sum(decode), measuring)
    in_turn = max(decode[0], kept[0] + decode[1], measuring)
    if in_turn > budget_bytes:
        raise ImageTooLarge(
            f"Comparing these two images needs about {in_turn // MIB} MiB of memory; "
            f"this service gives a pair {budget_bytes // MIB} MiB."
        )
    decodes_together = together <= budget_bytes
    return PairPlan(first, second, scale, together if decodes_together else in_turn, decodes_together)
