"""Who a request is from, by its connection and headers alone."""

from __future__ import annotations

import pytest
from starlette.types import Scope

from serve_app.serving.api.callers import Callers


def request(client: tuple[str, int] | None, forwarded: str | None = None) -> Scope:
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
    return {"type": "http", "path": "/v1/compare", "headers": headers, "client": client}


@pytest.mark.parametrize(
    ("trusted_proxies", "client", "forwarded", "address"),
    [
        (0, ("10.0.0.1", 4711), None, "10.0.0.1"),
        (0, ("10.0.0.1", 4711), "10.9.9.9", "10.0.0.1"),
        (0, ("10.9.9.9", 0), "10.9.9.9", "127.0.0.1"),
        (0, None, None, "unknown"),
        (1, ("10.0.0.1", 4711), "10.9.9.9", "10.9.9.9"),
        (1, ("10.0.0.1", 4711), "invented, 10.9.9.9", "10.9.9.9"),
        (2, ("10.0.0.1", 4711), "invented, 10.9.9.9, 10.0.0.2", "10.9.9.9"),
        (2, ("10.0.0.1", 4711), "10.9.9.9", "10.0.0.1"),
    ],
)
async def test_an_address_is_believed_from_trusted_proxies_only(
    trusted_proxies: int, client: tuple[str, int] | None, forwarded: str | None, address: str
) -> None:
    assert await Callers(None, trusted_proxies).identify(request(client, forwarded)) == f"address:{address}"
