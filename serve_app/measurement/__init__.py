"""Two rasters in, what their pixels prove out, without any model.
No decoding, no HTTP, no Ray: numpy, Pillow and OpenCV's filters on arrays."""

from serve_app.measurement.pair import VERSION, Pair, measure, place, working_bytes
from serve_app.measurement.scoring.aspects import aspect_score

__all__ = ["VERSION", "Pair", "aspect_score", "measure", "place", "working_bytes"]
