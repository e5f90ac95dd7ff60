"""What is installed here that decides what is read, by name: part of a report's id.
Loads nothing and reads nothing."""

from __future__ import annotations

import functools
import importlib.util

from serve_app.ocr import model_files


@functools.cache
def parts() -> tuple[str, ...]:
    """The networks, and what reads codes; neither where the networks aren't there."""
    if model_files.find() is None:
        return ()
    return model_files.MODEL, "zxing-cpp" if importlib.util.find_spec("zxingcpp") else "opencv"
