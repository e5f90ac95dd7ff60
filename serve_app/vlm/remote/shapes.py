"""The JSON a question wants, as the schema that holds a chat server's model to it.
No requests: a question in, a schema and a bound on tokens out; and the object found in what was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from serve_app.core.inquiry import FINDING_KINDS, MAX_FINDINGS, Question
from serve_app.settings import ModelSettings
from serve_app.vlm.thought_marks import THOUGHT_MARKS

LABEL_TOKENS: Final = 32  # braces, keys and the label, with spaces between them
BOX_TOKENS: Final = 24
# Neither ranges of numbers nor lengths of strings: not every server knows those words, and the reader checks anyway.
_STRING: Final[dict[str, Any]] = {"type": "string"}
_BOX: Final[dict[str, Any]] = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
_BOX_OR_NULL: Final[dict[str, Any]] = {"anyOf": [{"type": "null"}, _BOX]}


def schema(question: Question, labels: Sequence[str], *, writes: bool) -> dict[str, Any]:
    """Of the JSON to write, the label before the text; of the label alone where no text is wanted."""
    properties: dict[str, Any] = {"answer": {"type": "string", "enum": list(labels)}} if labels else {}
    if writes and question.shape == "findings":
        finding = {"kind": {"type": "string", "enum": list(FINDING_KINDS)}, "box": _BOX, "description": _STRING}
        properties["findings"] = {"type": "array", "items": _object(finding), "maxItems": MAX_FINDINGS}
    elif writes:
        box = {"box": _BOX_OR_NULL} if question.shape == "boxed_text" else {}
        properties |= {**box, question.text_key: _STRING}
    return _object(properties)


def most_tokens(question: Question, settings: ModelSettings, *, writes: bool) -> int:
    if not writes:
        return LABEL_TOKENS
    if question.kind in ("summary", "findings"):
        return LABEL_TOKENS + settings.max_summary_tokens
    box = BOX_TOKENS if question.shape == "boxed_text" else 0
    return LABEL_TOKENS + box + settings.max_explanation_tokens


def after_thought(text: str) -> str:
    """What a model wrote behind its thought, where the server left that in; nothing of a thought that has no end."""
    for begins, ends in THOUGHT_MARKS:
        text = text.rpartition(ends)[2]
        if text.lstrip().startswith(begins):
            return ""
    return text


def object_in(text: str) -> str:
    """The JSON object in a text that may have a thought before it or a fence around it, cut off or not."""
    text = after_thought(text)
    begin, end = text.find("{"), text.rfind("}")
    return text[max(0, begin) : end + 1 if end > begin else len(text)]


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
