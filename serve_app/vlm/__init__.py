"""Engines that look at pictures and answer questions or talk, behind one protocol."""

from serve_app.core.byte_cache import OnLookup, uncounted
from serve_app.vlm.engine import TalkingModel, Tell, VisionLanguageModel, check, load
from serve_app.vlm.unavailable import ModelUnavailable

__all__ = ["ModelUnavailable", "OnLookup", "TalkingModel", "Tell", "VisionLanguageModel", "check", "load", "uncounted"]
