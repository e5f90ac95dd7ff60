"""Engines that look at two pictures and answer questions, behind one protocol."""

from serve_app.core.byte_cache import OnLookup, uncounted
from serve_app.vlm.engine import VisionLanguageModel, check, load
from serve_app.vlm.unavailable import ModelUnavailable

__all__ = ["ModelUnavailable", "OnLookup", "VisionLanguageModel", "check", "load", "uncounted"]
