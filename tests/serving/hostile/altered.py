"""Right requests of every route that takes a body, after a few changes to what is in it: members taken out, doubled,
exchanged, or replaced by values that nobody foresaw. Knows no HTTP client: what is sent, and which answers are right.
"""

from __future__ import annotations

import copy
import functools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from serve_app.serving.api.callers import MCP
from serve_app.serving.api.chat.refusals import CHAT
from tests.serving.hostile.bodies import BOUNDARY, MARK, data_urls, form, part, pictures
from tests.worlds import pdfs

FORM: Final = f"multipart/form-data; boundary={BOUNDARY}"
MCP_HEADERS: Final = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}
# Refusals that a caller can bring about; 503 is the service's where many come at once, 202 and 507 those of work to do.
RIGHT: Final = frozenset({200, 202, 400, 404, 409, 413, 415, 422, 429, 503, 504, 507})
# An agent's library tells bad messages by 406 as well.
RIGHT_AT: Final = {MCP: RIGHT | {406}}


@dataclass(frozen=True, slots=True)
class Altered:
    """One request. `changes`: what was done to it, for who looks for the reason."""

    route: str
    content_type: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    changes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.route} after {'; '.join(self.changes)}"


# --- right requests


def _compared() -> dict[str, Any]:
    reference, candidate = data_urls()
    config = {
        "focus_elements": ["the title", "the logo"],
        "comparison_aspects": ["color", "content"],
        "similarity_threshold": 0.9,
        "ignore_regions": [[1, 2, 8, 8]],
        "visuals": ["overlay"],
        "processing_timeout": 20,
        "language": "zh",
    }
    return {"reference": reference, "candidate": candidate, "config": config}


def talk(model: str) -> dict[str, Any]:
    """A conversation about two pictures."""
    shown = [{"type": "image_url", "image_url": {"url": url, "detail": "low"}} for url in data_urls()]
    answer_format = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True}}
    return {
        "model": model,
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": [*shown, {"type": "text", "text": "What differs?"}]},
            {"role": "assistant", "content": "A colour."},
            {"role": "user", "content": "Which?"},
        ],
        "max_tokens": 8,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 7,
        "stop": ["."],
        "logprobs": True,
        "top_logprobs": 2,
        "response_format": answer_format,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _called() -> dict[str, Any]:
    compared = _compared()
    compared["config"]["visuals"] = []
    params = {"name": "compare_images", "arguments": compared}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def _listed() -> dict[str, Any]:
    lines = [
        {"reference": "a.png", "candidate": "b.png", "name": "first"},
        {"reference": "b.png", "candidate": "a.png"},
    ]
    return {"lines": lines, "config": {"similarity_threshold": 0.9}}


# --- as bytes


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _batch(value: Any) -> bytes:
    """A form with a list of pairs; what is no list of lines stands in it as it is."""
    lines = value.get("lines") if isinstance(value, dict) else value
    text = "\n".join(json.dumps(line) for line in lines) if isinstance(lines, list) else json.dumps(lines)
    first, second = pictures()
    parts = [
        part("manifest", text.encode(), "pairs.jsonl"),
        part("files", first, "a.png"),
        part("files", second, "b.png"),
        part("config", json.dumps(value.get("config", {}) if isinstance(value, dict) else value).encode()),
    ]
    return form(parts)


@dataclass(frozen=True, slots=True)
class Kind:
    """`right`: what is changed, and `written`: how it stands in a body."""

    route: str
    right: Callable[[], Any]
    written: Callable[[Any], bytes] = _json
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def kinds(model: str = "scripted") -> tuple[Kind, ...]:
    """`model`: what conversations call the model."""
    return (
        Kind("/v1/compare", _compared),
        Kind("/v1/compare/stream", _compared),
        Kind("/v1/jobs", _compared),
        Kind("/v1/batches", _listed, _batch, FORM),
        Kind(CHAT, lambda: talk(model)),
        Kind(MCP, _called, headers=MCP_HEADERS),
    )


# --- changes

_DEEP: Final[Any] = json.loads("[" * 60 + "]" * 60)
NAME: Final = "zqnamezq"  # of a member: a refusal may say where it stands
ODD: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1e308, 2**31, 2**63, -(2**63), int("9" * 310), 0.1, float("nan"), float("inf")),
    *("", " ", MARK, MARK * 2_000, "\0", "\ud800", "\u202e" + MARK, "${jndi:ldap://127.0.0.1/}", "' OR 1=1 --"),
    *(
        "data:image/png;base64,",
        "data:image/svg+xml,<svg/>",
        "https://127.0.0.1/a.png",
        "file:///etc/passwd",
        "../../a",
    ),
    *([], {}, [[]], [None] * 40, {NAME: MARK}, {"": ""}, {"$ref": "#"}, _DEEP),
)


def altered(kind: Kind, dice: random.Random) -> Altered:
    """A right request after one to four changes."""
    document = copy.deepcopy(kind.right())
    changes = tuple(_changed(document, dice) for _ in range(dice.randint(1, 4)))
    return Altered(kind.route, kind.content_type, kind.written(document), kind.headers, changes)


def _changed(document: Any, dice: random.Random) -> str:
    """What was done at one place of it."""
    places = list(_places(document))
    if not places:
        return "nothing is left to change"
    holder, key = dice.choice(places)
    change = dice.choice(("odd", "odd", "odd", "remove", "more", "many", "wrap", "exchange"))
    if change == "remove":
        del holder[key]
    elif change == "more" and isinstance(holder, dict):
        holder[dice.choice((NAME, "", "\ud800", f"{key}s", str(key).upper()))] = holder[key]
    elif change == "many":
        holder[key] = [copy.deepcopy(holder[key]) for _ in range(dice.choice((0, 2, 30)))]
    elif change == "wrap":
        holder[key] = {NAME: holder[key]}
    elif change == "exchange":
        other, there = dice.choice(places)
        holder[key], other[there] = copy.deepcopy(other[there]), copy.deepcopy(holder[key])
    else:
        holder[key] = copy.deepcopy(dice.choice(ODD))
    return f"{change} {str(key)[:20]}"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container with each of its keys; the id of a message is its caller's, and told again."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        if key != "id":
            yield value, key
        yield from _places(inner)


# --- documents of pages


@functools.cache
def _pages() -> bytes:
    return pdfs.pdf(0, 1)


def pdf_batch(dice: random.Random) -> Altered:
    """Two PDFs of two pages as a batch, one of them after a few changes to its bytes."""
    data = bytearray(_pages())
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(data))
        data[at : at + dice.choice((0, 1, 1, 8))] = dice.randbytes(dice.choice((0, 1, 1, 8)))
    body = form([part("reference", _pages(), "a.pdf"), part("candidate", bytes(data), "b.pdf")])
    return Altered("/v1/batches", FORM, body, changes=("changed bytes of a PDF",))


# --- what came


def problem(sent: Altered, status: int, text: str) -> str | None:
    """What is wrong with this answer; None: nothing is. A report and a conversation may hold what was asked."""
    if status not in RIGHT_AT.get(sent.route, RIGHT):
        return f"{status} {text[:200]}"
    is_refused = status >= 400 or '"isError":true' in text
    if is_refused and MARK in text and '"invalid_manifest"' not in text:  # that says which names are wrong
        return f"{status} repeats what was sent: {text[:200]}"
    return None
