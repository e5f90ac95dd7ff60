"""What decides on a request before its body is read, and who is told when it has ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.types import Scope

from serve_app.serving import telemetry
from serve_app.serving.admission import Admission, KeyFile, Quota
from serve_app.serving.api.callers import Callers, route_of
from serve_app.settings import Settings

JOBS: Final = "/v1/jobs"
BATCHES: Final = "/v1/batches"


@dataclass(frozen=True, slots=True)
class Door:
    """What decides on a request before its body is read, and who is told when it has ended."""

    callers: Callers
    admission: Admission
    quota: Quota | None
    recorder: telemetry.Recorder

    def is_unhurried(self, scope: Scope) -> bool:
        """Whether the request only leaves work here, or asks for its state: no comparison is promised to it."""
        return route_of(scope).startswith((JOBS, BATCHES))


def open_door(settings: Settings, *, recorder: telemetry.Recorder = telemetry.UNRECORDED) -> Door:
    """Admission, keys and quota as the operator has set them. Raises `KeysUnreadable`."""
    limits, keys_file = settings.limits, settings.access.api_keys_file
    keys = KeyFile(Path(keys_file)) if keys_file is not None else None
    quota = Quota(limits.requests_per_minute, limits.burst) if limits.requests_per_minute is not None else None
    admission = Admission(limits, ("examine", "assess") if settings.model.is_asked else ("examine",))
    return Door(Callers(keys, settings.access.trusted_proxies), admission, quota, recorder)
