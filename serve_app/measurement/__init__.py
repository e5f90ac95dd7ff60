"""Two rasters in, what their pixels prove out, without any model.
No decoding, no HTTP, no Ray: numpy, Pillow and OpenCV's filters on arrays."""

from __future__ import annotations

import cv2

from serve_app.core.measured import Measurement
from serve_app.measurement.pair import VERSION, Pair, measure, place, working_bytes
from serve_app.measurement.scoring import aspects

__all__ = ["VERSION", "Pair", "aspect_score", "measure", "place", "working_bytes"]

# Pairs run side by side, in threads and replicas; a pool of OpenCV's own in each of them would only make
# them wait for each other.
cv2.setNumThreads(1)


def aspect_score(measurement: Measurement, name: str) -> float | None:
    """The measured score of an aspect a caller asked for, in English or Chinese; None where pixels can't tell."""
    canonical = aspects.canonical(name)
    return None if canonical is None else measurement.aspects.get(canonical)
