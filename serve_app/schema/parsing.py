"""A config out of JSON, refused by the name of the field that is wrong.
Never repeats what a caller sent back at them."""

from __future__ import annotations

import re
from typing import Final

from pydantic import ValidationError

from serve_app.errors import InvalidConfig, MalformedRequest
from serve_app.schema.config import ImageComparisonConfig

# A field name that may be repeated in a pointer: what a person would have typed, nothing else.
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


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
