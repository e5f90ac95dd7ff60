"""What a model wrote, as values: a label, a text, a box, findings, from JSON that may be wrong or cut off.
Knows no questions and no scores, and raises for no text at all."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NamedTuple

from serve_app.core.habits import Corners
from serve_app.core.inquiry import FINDING_KINDS, MAX_FINDINGS
from serve_app.schema import DifferenceKind

MAX_TEXT: Final = 600
ELLIPSIS: Final = "…"


class Said(NamedTuple):
    """A finding as it was written: what its corners mean is not known here."""

    kind: DifferenceKind
    corners: Corners
    description: str


def text_of(reply: str, key: str) -> str:
    """The string under `key` in a reply that should be one JSON object; "" if there is none.

    A reply cut off by the token limit is mended: the unfinished word goes and an ellipsis says so.
    """
    try:
        value = json.loads(reply)
    except (ValueError, RecursionError):
        return _mended(reply, key)
    text = value.get(key) if isinstance(value, dict) else None
    return _tidy(text) if isinstance(text, str) else ""


def answer_of(reply: str) -> str | None:
    """The label under which the rest was written: the string under `answer`; None if there is none."""
    found = re.search(r'"answer"\s*:\s*("(?:[^"\\]|\\.)*")', reply)
    label = None if found is None else _decoded(found.group(1))
    return label if isinstance(label, str) else None


def corners_of(reply: str) -> Corners | None:
    """The four numbers of a box, in a reply that may be cut off after it; None if there are none."""
    found = re.search(r'"box"\s*:\s*(\[[^\[\]]{0,100}\])', reply)
    return None if found is None else _corners(_decoded(found.group(1)))


def findings_of(reply: str) -> tuple[Said, ...] | None:
    """The findings in a reply, those that can be read; None where there is no list of them.

    A reply cut off by the token limit keeps those that are whole.
    """
    opening = re.search(r'"findings"\s*:\s*\[', reply)
    if opening is None:
        return None
    found: list[Said] = []
    position = opening.end()
    while len(found) < MAX_FINDINGS and (start := re.compile(r"[\s,]*(?=\{)").match(reply, position)):
        try:
            value, position = json.JSONDecoder().raw_decode(reply, start.end())
        except (ValueError, RecursionError):
            break
        finding = _finding(value)
        if finding is not None and finding not in found:
            found.append(finding)
    return tuple(found)


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _corners(value: Any) -> Corners | None:
    if not isinstance(value, list) or len(value) != 4:
        return None
    if not all(type(one) in (int, float) and math.isfinite(one) for one in value):
        return None
    return (value[0], value[1], value[2], value[3])


def _finding(value: dict[str, Any]) -> Said | None:
    kind, corners, description = value.get("kind"), _corners(value.get("box")), value.get("description")
    if kind not in FINDING_KINDS or corners is None or not isinstance(description, str):
        return None
    said = _tidy(description)
    return Said(kind, corners, said) if said else None


def _mended(reply: str, key: str) -> str:
    opening = re.search(rf'"{re.escape(key)}"\s*:\s*"', reply)
    if opening is None:
        return ""
    body = re.match(r'(?:[^"\\]|\\.)*', reply[opening.end() :], re.DOTALL)
    written = body.group(0) if body else ""
    closed = reply[opening.end() + len(written) :].startswith('"')
    written = re.sub(r"\\u[0-9a-fA-F]{0,3}$", "", written)
    try:
        text = json.loads(f'"{written}"', strict=False)
    except ValueError:
        return ""
    return _tidy(text) if closed else _cut(_tidy(text))


def _tidy(text: str) -> str:
    """One line of printable text, bounded; a lone surrogate (half an emoji) can't be sent as UTF-8."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_TEXT else _cut(line[:MAX_TEXT])


def _cut(text: str) -> str:
    """Without its last, perhaps unfinished word; Chinese has no spaces, so it keeps what there is."""
    words, _, _ = text.rpartition(" ")
    kept = (words or text).rstrip(" ,;:，、；：")
    return kept + ELLIPSIS if kept else ""
