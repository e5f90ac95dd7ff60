"""Which stores of reports the settings name, opened."""

from __future__ import annotations

import os
from pathlib import Path

from serve_app.settings import CacheSettings
from serve_app.storage.reports import CacheUnavailable, InMemory, Layered, Reports


def open_reports(settings: CacheSettings, *, shared: Reports | None = None) -> Reports | None:
    """The stores that `settings` name, nearest first; None where no report is to be kept.

    `shared`: one for all replicas that is there anyway, used where the settings name no Redis.
    Raises `CacheUnavailable`.
    """
    if not settings.report_cache_bytes:
        return None
    near = InMemory(settings.report_cache_bytes)
    url = redis_url(settings)
    if url is not None:
        from serve_app.storage.redis_reports import RedisReports  # an extra: only where it is named

        shared = RedisReports(url)
    return near if shared is None else Layered(near, shared)


def redis_url(settings: CacheSettings) -> str | None:
    """The URL that `settings` point at, None where they name none. Raises `CacheUnavailable`."""
    if settings.redis_env:
        url, where = os.environ.get(settings.redis_env, "").strip(), f"the environment variable {settings.redis_env}"
    elif settings.redis_file:
        where = settings.redis_file
        try:
            url = Path(where).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise CacheUnavailable(f"The Redis URL in {where} can't be read: {type(exc).__name__}.") from None
    else:
        return None
    if not url:
        raise CacheUnavailable(f"There is no Redis URL in {where}.")
    return url
