"""Upload bytes in, `core.PreparedImage` out: header, limits, decode, upright, colour, alpha, shown copy.
No HTTP, no Ray, no model; file names and content types are never consulted."""

from serve_app.imaging.cut import cut
from serve_app.imaging.formats.heif import HeicUnavailable
from serve_app.imaging.formats.heif import check as check_formats
from serve_app.imaging.header import Header, inspect
from serve_app.imaging.memory import check_decodable, predicted_bytes
from serve_app.imaging.prepare import prepare
from serve_app.imaging.shown import ShownSpec

__all__ = [
    "Header",
    "HeicUnavailable",
    "ShownSpec",
    "check_decodable",
    "check_formats",
    "cut",
    "inspect",
    "predicted_bytes",
    "prepare",
]
