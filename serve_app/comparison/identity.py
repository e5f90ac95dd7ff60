"""Which model a report names, and the report's id: known before the work, from what decides a report.
Knows no pixels."""

from __future__ import annotations

import hashlib
import json

from serve_app import __version__, measurement
from serve_app.comparison.dialogue import prompt
from serve_app.core import reading
from serve_app.core.inquiry import ModelIdentity
from serve_app.core.pictures import Upload
from serve_app.ocr import installation
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import ModelSettings


def configured(settings: ModelSettings) -> ModelIdentity:
    """The model that the settings name; which revision of it, only the engine can tell where none is pinned."""
    if not settings.is_asked:
        return ModelIdentity("none", None, None)
    thought_tokens = settings.thought_tokens if settings.engine == "transformers" else 0
    return ModelIdentity(settings.engine, settings.public_name, settings.revision, thought_tokens)


def report_id(reference: Upload, candidate: Upload, config: ImageComparisonConfig, model: ModelIdentity) -> str:
    """SHA-256 of all that decides a report: both files, config, model, versions. Time limits decide none of it."""
    parts = {
        "reference": reference.digest,
        "candidate": candidate.digest,
        "config": config.model_dump(mode="json", exclude={"processing_timeout"}),
        "model": [model.engine, model.name, model.revision],
        "versions": [
            __version__,
            measurement.VERSION,
            prompt.version(model) if model.engine != "none" else "",
            *((reading.VERSION, *installation.parts()) if config.read_text else ()),
        ],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
