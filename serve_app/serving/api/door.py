"""What decides on a request before its body is read, and who is told when it has ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from serve_app.serving import telemetry
from serve_app.serving.admission import Admission, KeyRing, Quota
from serve_app.serving.api.callers import Callers
from serve_app.settings import Settings


@dataclass(frozen=True, slots=True)
class Door:
    """What decides on a request before its body is read, and who is told when it has ended."""

    callers: Callers
    admission: Admission
    quota: Quota | None
    recorder: telemetry.Recorder


def open_door(settings: Settings, *, recorder: telemetry.Recorder = telemetry.UNRECORDED) -> Door:
    """Admission, keys and quota as the operator has set them. Raises `KeysUnreadable`."""
    limits, keys_file = settings.limits, settings.access.api_keys_file
    keys = KeyRing.load(Path(keys_file)) if keys_file is not None else None
    quota = Quota(limits.requests_per_minute, limits.burst) if limits.requests_per_minute is not None else None
    admission = Admission(limits, ("examine", "assess") if settings.model.is_asked else ("examine",))
    return Door(Callers(keys, settings.access.trusted_proxies), admission, quota, recorder)
