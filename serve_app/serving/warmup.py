"""A small real comparison, to know that the whole path works before callers do.
Knows no Ray and no HTTP."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw

from serve_app.comparison.pipeline import Pipeline, Turns
from serve_app.core.pictures import Upload
from serve_app.errors import ComparisonError
from serve_app.schema import ComparisonReport, ImageComparisonConfig


async def compare(pipeline: Pipeline, turns: Turns) -> ComparisonReport:
    """Compare two drawn images that differ in one square; every stage is asked, the model too, in its turn and
    inside the time that any request gets.

    Raises `ComparisonError`, also where the answer misses the square: such a service is not ready.
    """
    config = ImageComparisonConfig(comparison_aspects=("color",), swap_check=False)
    report = await pipeline.compare(_drawn(None), _drawn("red"), config, pipeline.deadline(config), turns)
    if not report.differences:
        raise ComparisonError("The warm-up comparison missed a difference.")
    return report


def _drawn(square: str | None) -> Upload:
    image = Image.new("RGB", (128, 128), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((16, 16, 111, 40), fill="navy")
    if square is not None:
        draw.rectangle((48, 64, 79, 95), fill=square)
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    return Upload(encoded.getvalue())
