"""Thresholds by name: a config that names a profile in, the same with the profile's thresholds out.
Knows no files: which profiles there are is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from serve_app.errors import InvalidConfig
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import Profile

MOST_TOLD: Final = 20  # names in a refusal; /v1/limits has all


def applied(config: ImageComparisonConfig, profiles: Mapping[str, Profile]) -> ImageComparisonConfig:
    """What `config` asks for: fields that were given win over its profile's. Once applied it is complete, and applied
    again it stays as it is.

    Raises `InvalidConfig`, with the names there are.
    """
    if config.profile is None:
        return config
    profile = profiles.get(config.profile)
    if profile is None:
        raise InvalidConfig(f"There is no profile of this name; {_known(profiles)}.", field="/config/profile")
    laid = {name: value for name, value in thresholds(profile).items() if name not in config.model_fields_set}
    return config.model_copy(update=laid)


def thresholds(profile: Profile) -> dict[str, Any]:
    """The fields of a config that it decides."""
    return profile.model_dump(exclude={"made"}, exclude_none=True)


def _known(profiles: Mapping[str, Profile]) -> str:
    names = sorted(profiles)
    if not names:
        return "this service has none"
    more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
    return f"there are {', '.join(names[:MOST_TOLD])}{more}"
