"""A request body in, two uploads and a config out: multipart in the seed's form or named parts, or JSON.
Decodes no image, and never repeats what a caller sent back at them."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any, Final

import pydantic_core
from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from serve_app.api.reception import arrival
from serve_app.core import Upload
from serve_app.errors import ImageRole, InvalidConfig, MalformedRequest, TwoImagesRequired
from serve_app.schema import ImageComparisonConfig, Language
from serve_app.settings import Limits

TWO_IMAGES: Final = "Send exactly two images: the field files twice, or the parts reference and candidate."
# A field name that may be repeated in a pointer: what a person would have typed, nothing else.
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_CONFIG_BYTES: Final = 256 * 1024  # 20 elements, 12 aspects and 64 regions take under 20 KB

_FILE: Final = {"type": "string", "format": "binary"}
_CONFIG: Final = ImageComparisonConfig.model_json_schema()
OPENAPI: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "reference": _FILE,
                    "candidate": _FILE,
                    "files": {"type": "array", "items": _FILE, "description": "or both images here, reference first"},
                    "config": {"type": "string", "description": "ImageComparisonConfig as a JSON object"},
                },
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["reference", "candidate"],
                "properties": {
                    "reference": {"type": "string", "description": "data: URL (base64)"},
                    "candidate": {"type": "string", "description": "data: URL (base64)"},
                    "config": _CONFIG,
                },
            }
        },
    },
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One comparison as asked for."""

    reference: Upload
    candidate: Upload
    config: ImageComparisonConfig


async def read(request: Request, limits: Limits) -> Asked:
    """Read and check the body. Raises `MalformedRequest` and its kinds, `InvalidConfig`, `BodyTooLarge`."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "multipart/form-data":
        return await _read_form(request)
    if content_type == "application/json":
        return await _read_json(request)
    raise MalformedRequest("Send multipart/form-data or application/json.")


def parse_config(text: str | bytes) -> ImageComparisonConfig:
    """A config from JSON. Raises `MalformedRequest` or `InvalidConfig` with a pointer to the field."""
    try:
        return ImageComparisonConfig.model_validate_json(text)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        raise MalformedRequest("The config is not a JSON object.", field="/config")
    field = _pointer(first["loc"])
    if first["type"] == "extra_forbidden":
        raise InvalidConfig("The config has a field of an unknown name.", field=field)
    raise InvalidConfig(f"{field}: {first['msg']}.", field=field)


def _pointer(loc: tuple[int | str, ...]) -> str:
    pointer = "/config"
    for step in loc:
        if not _PLAIN_NAME.fullmatch(str(step)):
            break
        pointer += f"/{step}"
    return pointer


def language_of(text: str | bytes) -> Language:
    """The language a config asks for, even where the rest of it is wrong."""
    try:
        asked = pydantic_core.from_json(text)
    except ValueError:
        return "en"
    return "zh" if isinstance(asked, dict) and asked.get("language") == "zh" else "en"


async def _read_form(request: Request) -> Asked:
    try:
        # Generous counts: the cap on the body bounds them, and a third image gets its own sentence below.
        form = await request.form(max_files=100, max_fields=100, max_part_size=_MAX_CONFIG_BYTES)
    except HTTPException:  # how starlette tells that a form can't be parsed
        raise MalformedRequest("The multipart form can't be read.") from None
    try:
        config_text = await _config_text(form)
        arrival(request).language = language_of(config_text)
        images = await _images(form)
        return Asked(*images, parse_config(config_text))
    finally:
        await form.close()


async def _config_text(form: FormData) -> str | bytes:
    parts = form.getlist("config")
    if not parts:
        return "{}"
    if len(parts) > 1:
        raise MalformedRequest("Send one config part.", field="/config")
    part = parts[0]
    if isinstance(part, str):
        return part
    if (part.size or 0) > _MAX_CONFIG_BYTES:
        raise MalformedRequest("The config part is too long.", field="/config")
    return await part.read()


async def _images(form: FormData) -> tuple[Upload, Upload]:
    for name in form:
        if name not in ("files", "reference", "candidate", "config"):
            raise MalformedRequest("The form has a part that is none of files, reference, candidate, config.")
    pair = form.getlist("files") or [*form.getlist("reference"), *form.getlist("candidate")]
    mixed = "files" in form and ("reference" in form or "candidate" in form)
    one_side = len(form.getlist("reference")) > 1 or len(form.getlist("candidate")) > 1
    files = [part for part in pair if isinstance(part, UploadFile)]
    if len(pair) != 2 or len(files) != 2 or mixed or one_side:
        raise TwoImagesRequired(TWO_IMAGES)
    return Upload(await files[0].read()), Upload(await files[1].read())


async def _read_json(request: Request) -> Asked:
    try:
        asked = pydantic_core.from_json(await request.body(), allow_inf_nan=False)
    except ValueError:
        raise MalformedRequest("The body is not JSON.") from None
    if not isinstance(asked, dict):
        raise MalformedRequest("The body is not a JSON object.")
    config_text = pydantic_core.to_json(asked.get("config", {}))
    arrival(request).language = language_of(config_text)
    if not asked.keys() <= {"reference", "candidate", "config"}:
        raise MalformedRequest("The body has a field that is none of reference, candidate, config.")
    if "reference" not in asked or "candidate" not in asked:
        raise TwoImagesRequired("Send exactly two images: reference and candidate.")
    reference = _image(asked["reference"], "reference")
    candidate = _image(asked["candidate"], "candidate")
    return Asked(reference, candidate, parse_config(config_text))


def _image(source: object, role: ImageRole) -> Upload:
    """The bytes of a `data:` URL (RFC 2397), base64 only."""
    field = f"/{role}"
    if not isinstance(source, str):
        raise MalformedRequest("An image is given as a data: URL.", image=role, field=field)
    if source[:6].lower() == "https:":
        raise MalformedRequest("URL input is not turned on here; send a data: URL.", image=role, field=field)
    head, comma, data = source.partition(",")
    if not comma or head[:5].lower() != "data:" or not head.lower().endswith(";base64"):
        raise MalformedRequest("An image is given as a data: URL in base64.", image=role, field=field)
    try:
        return Upload(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        raise MalformedRequest("The data: URL is not valid base64.", image=role, field=field) from None
