"""A request body in, two uploads and a config out: multipart in the seed's form or named parts, or JSON.
Decodes no image, and never repeats what a caller sent back at them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from types import MappingProxyType
from typing import Any, BinaryIO, Final, TypeVar, cast

import pydantic_core
from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException

from serve_app.comparison import profiles
from serve_app.core.pictures import Upload
from serve_app.errors import ImageRole, MalformedRequest, TwoImagesRequired
from serve_app.schema import ImageComparisonConfig, Language
from serve_app.schema.parsing import parse_config as parse_config
from serve_app.serving.api import data_url
from serve_app.serving.api.arrival import arrival
from serve_app.serving.api.form import FormParser, without_preamble
from serve_app.serving.image_urls import MOST_CHARACTERS, ImageUrls, Named, is_one
from serve_app.settings import Profile

T = TypeVar("T")

TWO_IMAGES: Final = "Send exactly two images: the field files twice, or the parts reference and candidate."
_MAX_CONFIG_BYTES: Final = 256 * 1024  # 20 elements, 12 aspects and 64 regions take under 20 KB
# Counted before they are parsed: each costs 60 to 90 times what it takes in the body.
_MAX_JSON_VALUES: Final = 20_000
# Up to here JSON is parsed at once, in about a millisecond; above it waits on disk for its turn in a thread.
_SMALL_BYTES: Final = 1024 * 1024
# Of a body on its way to disk.
_PIECE: Final = 256 * 1024
_MAX_SCHEME: Final = 64  # of a URL, with spaces before it
_WEB: Final = re.compile(r"\s{0,64}https?:", re.IGNORECASE)
_ROLES: Final[tuple[ImageRole, ImageRole]] = ("reference", "candidate")
# Of a form, as RFC 2046 has them (which asks for at most 70).
_BOUNDARY: Final = re.compile(rb"[A-Za-z0-9'()+_,./:=? -]{1,200}")

NO_PROFILES: Final[Mapping[str, Profile]] = MappingProxyType({})

# What jobs take beside a comparison.
WEBHOOK: Final = "webhook_url"

_FILE: Final = {"type": "string", "format": "binary"}
_URL: Final = {
    "type": "string",
    "pattern": "^data:[^,]{0,180};base64,"
    "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$",
    "description": "data: URL (base64)",
}
_ELSEWHERE: Final = {
    "type": "string",
    "pattern": "^https://",
    "maxLength": MOST_CHARACTERS,
    "description": "or an https: URL of a host that the operator allows",
}
_CONFIG: Final = ImageComparisonConfig.model_json_schema()
_WEBHOOK: Final = {
    "pattern": "^https://",
    "maxLength": 2000,
    "description": "Told of the job's end by a message that Standard Webhooks signs",
}


def described(*, takes_webhook: bool = False, takes_urls: bool = False) -> dict[str, Any]:
    """A body as OpenAPI has it, in both its forms."""
    form_fields = {WEBHOOK: {"type": "string", **_WEBHOOK}} if takes_webhook else {}
    members = {WEBHOOK: {"type": ["string", "null"], **_WEBHOOK}} if takes_webhook else {}
    picture = {"anyOf": [_URL, _ELSEWHERE]} if takes_urls else _URL
    images = {
        "reference": _FILE,
        "candidate": _FILE,
        "files": {
            "type": "array",
            "items": _FILE,
            "minItems": 2,
            "maxItems": 2,
            "description": "or both images here, reference first",
        },
    }
    config = {"type": "string", "description": "ImageComparisonConfig as a JSON object"}
    form = {
        "type": "object",
        "anyOf": [{"required": ["files"]}, {"required": ["reference", "candidate"]}],
        "additionalProperties": False,
        "properties": {**images, "config": config, **form_fields},
    }
    document = {
        "type": "object",
        "required": ["reference", "candidate"],
        "additionalProperties": False,
        "properties": {"reference": picture, "candidate": picture, "config": _CONFIG, **members},
    }
    return {
        "required": True,
        "content": {"multipart/form-data": {"schema": form}, "application/json": {"schema": document}},
    }


@dataclass(frozen=True, slots=True)
class Asked:
    """One comparison as asked for."""

    reference: Upload
    candidate: Upload
    config: ImageComparisonConfig
    webhook_url: str | None = None  # as it came


Source = Upload | Named


@dataclass(frozen=True, slots=True)
class _Given:
    """The same as it came: pictures may lie elsewhere yet."""

    reference: Source
    candidate: Source
    config: ImageComparisonConfig
    webhook_url: str | None


class JsonBodies:
    """Reads bodies that are JSON: large ones wait on disk for their turn, one at a time, in a thread."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(1)

    async def read(self, request: Request, made: Callable[[Callable[[], bytes]], T]) -> T:
        """What `made` makes of the whole body. Raises what it raises, `BodyTooLarge`, and `MalformedRequest` where the
        body is of very many values."""
        with SpooledTemporaryFile(max_size=_SMALL_BYTES) as file:
            spool = UploadFile(cast(BinaryIO, file), size=0)
            async with aclosing(_of_few_values(request.stream())) as counted, aclosing(_gathered(counted)) as pieces:
                async for piece in pieces:
                    await spool.write(piece)
            await spool.seek(0)
            if (spool.size or 0) <= _SMALL_BYTES:
                return made(file.read)
            async with self._turn:
                return await asyncio.to_thread(made, file.read)


class Bodies:
    """Reads the bodies of some routes: those that are large as JSON one at a time, in a thread.

    `profiles`: what a config may name. `urls`: fetches pictures that are named by a URL; None: none is.
    `takes_webhook`: whether `webhook_url` may stand beside the config.

    A form is parsed piece by piece, its files wait on disk. JSON takes its own size twice and holds Python's lock
    meanwhile: sixteen bodies of 60 MB at once took 2.1 GiB.
    """

    def __init__(
        self,
        profiles: Mapping[str, Profile] = NO_PROFILES,
        urls: ImageUrls | None = None,
        *,
        takes_webhook: bool = False,
    ) -> None:
        self._profiles = profiles
        self._urls = urls
        self._takes_webhook = takes_webhook
        self._documents = JsonBodies()

    async def read(self, request: Request) -> Asked:
        """Read and check the body, and fetch what it names by URL. Raises `MalformedRequest` and its kinds,
        `InvalidConfig`, `BodyTooLarge`, and what `ImageUrls.fetched` does."""
        content_type, options = parse_options_header(request.headers.get("content-type"))
        if content_type == b"multipart/form-data":
            given = await self._read_form(request, options.get(b"boundary", b""))
        elif content_type == b"application/json":
            given = await self._documents.read(request, lambda read: self._of_json(request, read))
        else:
            raise MalformedRequest("Send multipart/form-data or application/json.")
        config = profiles.applied(given.config, self._profiles)
        return Asked(*await self._both(request, given), config, given.webhook_url)

    async def _both(self, request: Request, given: _Given) -> tuple[Upload, Upload]:
        pair = given.reference, given.candidate
        named = [each for each in pair if isinstance(each, Named)]
        if not named:
            return cast(tuple[Upload, Upload], pair)
        assert self._urls is not None  # else nothing is taken for a URL
        arrived = arrival(request)
        until = arrived.time + given.config.processing_timeout
        came = iter(await self._urls.fetched(named, until, arrived.fetching))
        arrived.record.body_ms = arrived.age_ms  # what it names has come, too
        reference, candidate = (next(came) if isinstance(each, Named) else each for each in pair)
        return reference, candidate

    @property
    def _fields(self) -> frozenset[str]:
        """Of text, beside the images."""
        return frozenset({"config", WEBHOOK} if self._takes_webhook else {"config"})

    async def _read_form(self, request: Request, boundary: bytes) -> _Given:
        # A generous count: the cap on the body bounds it, and a third image gets its own sentence below.
        form = await read_form(request, boundary, max_files=100)
        try:
            config_text = await text_of(form, "config")
            config_text = "{}" if config_text is None else config_text
            arrival(request).language = language_of(config_text)
            files = _files(form, self._fields)
            reference, candidate = [await self._source(file, role) for file, role in zip(files, _ROLES, strict=True)]
            return _Given(reference, candidate, parse_config(config_text), _webhook_url(await text_of(form, WEBHOOK)))
        finally:
            await form.close()

    async def _source(self, file: UploadFile, role: ImageRole) -> Source:
        """A file; or a URL, where that is the text of a part without a file's name."""
        if self._urls is not None and not file.filename and (file.size or 0) <= MOST_CHARACTERS:
            text = (await file.read()).decode("latin-1")
            await file.seek(0)
            if _WEB.match(text):
                return Named(text, f"/{role}", role)
        return Upload(await file.read())

    def _of_json(self, request: Request, read: Callable[[], bytes]) -> _Given:
        asked = json_object(read())
        config = asked.get("config", {})
        arrival(request).language = _language(config)
        known = ("reference", "candidate", *sorted(self._fields))
        if not asked.keys() <= set(known):
            raise MalformedRequest(f"The body has a field that is none of {', '.join(known)}.")
        if "reference" not in asked or "candidate" not in asked:
            raise TwoImagesRequired("Send exactly two images: reference and candidate.")
        # Each out of `asked` as it is decoded: at most one is there twice.
        reference = self._image(asked.pop("reference"), "reference")
        candidate = self._image(asked.pop("candidate"), "candidate")
        config_text = pydantic_core.to_json(config)
        if len(config_text) > _MAX_CONFIG_BYTES:
            raise MalformedRequest("The config is too long.", field="/config")
        return _Given(reference, candidate, parse_config(config_text), _webhook_url(asked.get(WEBHOOK)))

    def _image(self, source: object, role: ImageRole) -> Source:
        """The bytes of a `data:` URL; another URL as it is, where these are fetched."""
        field = f"/{role}"
        if isinstance(source, str) and self._urls is not None and is_one(source):
            return Named(source, field, role)
        if isinstance(source, str) and source[:_MAX_SCHEME].lstrip()[:6].lower() == "https:":
            raise MalformedRequest("URL input is not turned on here; send a data: URL.", image=role, field=field)
        if not isinstance(source, str) or not data_url.is_one(source):
            kinds = "a data: URL" if self._urls is None else "a data: URL or an https: URL"
            raise MalformedRequest(f"An image is given as {kinds}.", image=role, field=field)
        try:
            return Upload(data_url.decoded(source))
        except ValueError:  # with binascii.Error
            raise MalformedRequest("The data: URL is not valid base64.", image=role, field=field) from None


def language_of(text: str | bytes) -> Language:
    """The language a config asks for, even where the rest of it is wrong."""
    try:
        return _language(pydantic_core.from_json(text))
    except ValueError:
        return "en"


def _language(config: object) -> Language:
    return "zh" if isinstance(config, dict) and config.get("language") == "zh" else "en"


async def read_form(request: Request, boundary: bytes, *, max_files: int) -> FormData:
    """A form whose files wait on disk; close it. Raises `MalformedRequest`."""
    if not _BOUNDARY.fullmatch(boundary):
        raise MalformedRequest("The multipart form has no boundary, or none that a form may have.")
    # Names and fields are UTF-8 (RFC 7578), whatever charset a caller names: some of Python's codecs raise what no
    # parser of forms expects.
    headers = Headers({"content-type": f'multipart/form-data; boundary="{boundary.decode()}"'})
    try:
        async with aclosing(request.stream()) as stream, aclosing(_gathered(stream)) as pieces:
            whole = without_preamble(pieces, boundary)
            parser = FormParser(headers, whole, max_files=max_files, max_fields=100, max_part_size=_MAX_CONFIG_BYTES)
            return await parser.parse()
    except MultiPartException:
        raise MalformedRequest("The multipart form can't be read.") from None


async def text_of(form: FormData, name: str) -> str | bytes | None:
    """The one part of this name, as text; None where there is none. Raises `MalformedRequest`."""
    parts = form.getlist(name)
    if not parts:
        return None
    if len(parts) > 1:
        raise MalformedRequest(f"Send one {name} part.", field=f"/{name}")
    part = parts[0]
    if isinstance(part, str):
        return part
    if (part.size or 0) > _MAX_CONFIG_BYTES:
        raise MalformedRequest(f"The {name} part is too long.", field=f"/{name}")
    return await part.read()


def _webhook_url(given: object) -> str | None:
    """Whether it may be called is not asked here."""
    if given is None or isinstance(given, str):
        return given
    raise MalformedRequest("A webhook_url is a text.", field=f"/{WEBHOOK}")


def _files(form: FormData, fields: frozenset[str]) -> list[UploadFile]:
    """Both of them. Raises `MalformedRequest` and `TwoImagesRequired`."""
    known = ("files", "reference", "candidate", *sorted(fields))
    if not set(known) >= set(form):
        raise MalformedRequest(f"The form has a part that is none of {', '.join(known)}.")
    pair = form.getlist("files") or [*form.getlist("reference"), *form.getlist("candidate")]
    mixed = "files" in form and ("reference" in form or "candidate" in form)
    one_side = len(form.getlist("reference")) > 1 or len(form.getlist("candidate")) > 1
    files = [part for part in pair if isinstance(part, UploadFile)]
    if len(pair) != 2 or len(files) != 2 or mixed or one_side:
        raise TwoImagesRequired(TWO_IMAGES)
    return files


async def _gathered(stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same bytes in larger pieces: each that goes to disk costs a hop to a thread, and who writes more slowly than
    the caller sends has the rest of the body in memory."""
    pieces: list[bytes] = []
    async for piece in stream:
        pieces.append(piece)
        if sum(map(len, pieces)) >= _PIECE:
            yield b"".join(pieces)
            pieces.clear()
    if pieces:
        yield b"".join(pieces)


async def _of_few_values(stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same pieces of JSON. Raises `MalformedRequest` where it is of very many values."""
    num_values = 0
    async for piece in stream:
        num_values += sum(piece.count(mark) for mark in (b",", b"[", b"{"))
        if num_values > _MAX_JSON_VALUES:
            raise MalformedRequest(f"The JSON body has more than {_MAX_JSON_VALUES} values.")
        yield piece


def json_object(text: bytes) -> dict[str, Any]:
    """Raises `MalformedRequest`."""
    try:
        found = pydantic_core.from_json(text, allow_inf_nan=False)
    except ValueError:
        raise MalformedRequest("The body is not JSON.") from None
    if not isinstance(found, dict):
        raise MalformedRequest("The body is not a JSON object.")
    return found
