"""A form in, the pairs of a batch out: one reference against many, many pairs, or a list that names the files sent.
Decodes no image. Of a list, all that is wrong is told at once."""

from __future__ import annotations

import asyncio
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from fastapi import Request
from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile

from serve_app.comparison import profiles
from serve_app.errors import InvalidConfig, MalformedRequest, ManifestRejected
from serve_app.schema import ImageComparisonConfig, PdfOptions
from serve_app.serving.api import body
from serve_app.serving.api.arrival import arrival
from serve_app.settings import Profile
from serve_app.storage.manifest import MOST_CHARACTERS, ManifestWrong, Named, NoSuchFile, can_be_kept, pairs_of

_ENCODED_NAME: Final = re.compile(r";\s*filename\*=\"?utf-8'[^']*'([^;\"]+)", re.IGNORECASE)
# Files of one form. Each costs Python about 4 KB beside its bytes while it is read.
MOST_FILES: Final = 4096
_PARTS: Final = frozenset({"reference", "candidate", "files", "manifest", "config", "pdf"})
WHAT_TO_SEND: Final = (
    "Send one reference and its candidates, as many references as candidates, or a manifest and the files it names."
)

OPENAPI: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "anyOf": [{"required": ["reference", "candidate"]}, {"required": ["manifest", "files"]}],
                "additionalProperties": False,
                "properties": {
                    "reference": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "description": "One for all candidates, or one for each of them in the same order",
                    },
                    "candidate": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    "manifest": {
                        "type": "string",
                        "format": "binary",
                        "description": "CSV or JSONL of reference, candidate and, if wanted, name: names of `files`",
                    },
                    "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    "config": {"type": "string", "description": "ImageComparisonConfig as JSON, for every pair"},
                    "pdf": {"type": "string", "description": "Of two PDFs: PdfOptions as JSON (dpi, page_regions)"},
                },
            }
        }
    },
}


@dataclass(frozen=True)
class Sent:
    """One file as it was sent, and its name. Equal only to itself."""

    name: str
    file: UploadFile

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


@dataclass(frozen=True, slots=True)
class AskedBatch:
    """Pairs of files that wait on disk until their form is closed."""

    pairs: Sequence[Named[Sent]]
    config: ImageComparisonConfig
    pdf: PdfOptions | None  # None: not sent


async def read(request: Request) -> FormData:
    """The form, its files on disk until it is closed. Raises `MalformedRequest`, `BodyTooLarge`."""
    content_type, options = parse_options_header(request.headers.get("content-type"))
    if content_type != b"multipart/form-data":
        raise MalformedRequest(f"Send multipart/form-data. {WHAT_TO_SEND}")
    return await body.read_form(request, options.get(b"boundary", b""), max_files=MOST_FILES)


async def asked_by(request: Request, form: FormData, named: Mapping[str, Profile]) -> AskedBatch:
    """What its form asks for. Raises `MalformedRequest` and its kinds, `InvalidConfig`, `ManifestRejected`."""
    given = await body.text_of(form, "config")
    config_text = "{}" if given is None else given
    arrival(request).language = body.language_of(config_text)
    pdf_text = await body.text_of(form, "pdf")
    pdf = _pdf_options(pdf_text) if pdf_text is not None else None
    pairs = await asyncio.to_thread(_pairs, form)  # of 100,000 lines a second's work
    return AskedBatch(pairs, profiles.applied(_config(config_text), named), pdf)


def _config(text: str | bytes) -> ImageComparisonConfig:
    config = body.parse_config(text)
    if config.visuals:  # of 10,000 pairs they would be gigabytes
        told = "A batch keeps no pictures: leave visuals out, and have the pairs drawn that you want to see."
        raise InvalidConfig(told, field="/config/visuals")
    return config


def _pdf_options(text: str | bytes) -> PdfOptions:
    """Raises `InvalidConfig`."""
    try:
        return PdfOptions.model_validate_json(text)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
    raise InvalidConfig(f"The part pdf is JSON of dpi and page_regions: {first['msg']}.", field="/pdf")


def _pairs(form: FormData) -> Sequence[Named[Sent]]:
    if not form.keys() <= _PARTS:
        raise MalformedRequest(f"The form has a part that is none of {', '.join(sorted(_PARTS))}.")
    references, candidates, files = (_files(form, name) for name in ("reference", "candidate", "files"))
    if "manifest" in form:
        if references or candidates or not files:
            raise MalformedRequest(WHAT_TO_SEND)
        return _listed(*_manifest(form), files)
    if files or not candidates or len(references) not in (1, len(candidates)):
        raise MalformedRequest(WHAT_TO_SEND)
    if len(references) == 1:
        references *= len(candidates)
    names = _apart(candidate.name for candidate in candidates)
    return [
        Named(name, reference, candidate)
        for name, reference, candidate in zip(names, references, candidates, strict=True)
    ]


def _files(form: FormData, name: str) -> list[Sent]:
    """Raises `MalformedRequest` for a file whose name can't be kept, or whose header is too odd to name a file."""
    found = []
    for part in form.getlist(name):
        if not isinstance(part, UploadFile):  # `FormParser` has added a file's name, where it has understood the header
            raise MalformedRequest(f"The Content-Disposition of a part {name} can't be understood.", field=f"/{name}")
        called = part.filename or _encoded_name(part) or name
        if not can_be_kept(called):
            raise MalformedRequest(f"A file's name has 1..{MOST_CHARACTERS} characters and no control character.")
        found.append(Sent(called, part))
    return found


def _encoded_name(part: UploadFile) -> str | None:
    """What a client sends alone that has a name which isn't ASCII: `filename*=UTF-8''...` (RFC 5987)."""
    found = _ENCODED_NAME.search(part.headers.get("content-disposition", ""))
    return unquote(found[1]) if found else None


def _apart(names: Iterable[str]) -> list[str]:
    """The same names in their order, each once: the second `a.png` is `a.png (2)`."""
    seen: dict[str, int] = {}
    told: list[str] = []
    for name in names:
        other = name
        while other in seen:
            seen[name] += 1
            other = f"{name} ({seen[name]})"
        seen[other] = 1
        told.append(other)
    return told


def _manifest(form: FormData) -> tuple[str, bool]:
    """Its text, and whether it is CSV."""
    parts = form.getlist("manifest")
    if len(parts) > 1:
        raise MalformedRequest("Send one manifest part.", field="/manifest")
    part = parts[0]
    name = ""
    if isinstance(part, UploadFile):
        name, text = (part.filename or "").lower(), part.file.read().decode("utf-8-sig", errors="replace")
    else:
        text = part.removeprefix("\ufeff")
    return text, name.endswith(".csv") or not (name.endswith((".jsonl", ".ndjson")) or text.lstrip()[:1] == "{")


def _listed(text: str, is_csv: bool, files: Sequence[Sent]) -> Sequence[Named[Sent]]:
    """Raises `ManifestRejected`."""
    by_name = {posixpath.normpath(sent.name): sent for sent in files}
    used: set[str] = set()

    def find(said: str) -> Sent:
        path = posixpath.normpath(said)
        if path.startswith(("/", "..")):
            raise NoSuchFile("lies outside the list's own folder")
        if path not in by_name:
            raise NoSuchFile("was not sent")
        used.add(path)
        return by_name[path]

    try:
        pairs = pairs_of(text, find, is_csv=is_csv)
    except ManifestWrong as exc:
        raise _rejected(exc) from None
    # Only now: what a line with a fault names is not to be told of twice.
    left = [f"the file {name!r} was sent, and no line names it." for name in by_name if name not in used]
    if len(by_name) < len(files):
        left.append(f"{len(files) - len(by_name)} files were sent under the name of another.")
    if left:
        raise _rejected(ManifestWrong(left))
    return pairs


def _rejected(wrong: ManifestWrong) -> ManifestRejected:
    told = f"The manifest can't be used, and nothing was begun: {' '.join(wrong.faults)}"
    rejected = ManifestRejected(told)
    rejected.faults = tuple(wrong.faults)
    return rejected
