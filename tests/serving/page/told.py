"""Reports in which all that others say is one string, and streams of events as the service sends them."""

from __future__ import annotations

import copy
import json
from typing import Any

from serve_app.serving.api.pages.examples import sample


def report(*said: str) -> dict[str, Any]:
    """The sample's report; every text of a file, an element, a reader or a model is `said`, all of it or each."""
    told: dict[str, Any] = copy.deepcopy(sample()["report"])
    if not said:
        return told
    whole = "".join(said)
    told |= {"summary": whole, "warnings": list(said)}
    told["model"] |= {"engine": whole, "name": whole, "revision": whole}
    told["measurement"]["text"] = {"status": "read", "lines": 2, "engine": whole, "model": whole, "version": whole}
    for image in told["images"].values():
        image |= {"format": whole, "decode_notes": list(said)}
    for part in ("aspects", "focus_elements"):
        told[part] = [{**told[part][0], "name": each, "explanation": each} for each in said]
    (found,) = told["differences"]
    worded = [{**found, "description": each, "text": _text(each), "further_texts": [_text(each)]} for each in said]
    told["differences"] = [*worded, {**found, "description": whole, "text": None, "further_texts": []}]
    return told


def _text(said: str) -> dict[str, Any]:
    words = {"reference_word": said, "candidate_word": f"{said}!"}
    return {"kind": "changed", "reference": said, "candidate": f"{said}!", **words, "confidence": 0.9}


def stream(*events: tuple[str, dict[str, Any]], retry_ms: int | None = None) -> str:
    """Server-sent events; `retry_ms` of the last one."""
    blocks = [f"event: {name}\ndata: {json.dumps(data)}\n" for name, data in events]
    if retry_ms is not None:
        blocks[-1] += f"retry: {retry_ms}\n"
    return "\n".join((*blocks, ""))


def enveloped(data: Any, code: int = 200, error: Any = None) -> dict[str, Any]:
    return {"code": code, "msg": "ok", "data": data, "error": error, "request_id": "r"}
