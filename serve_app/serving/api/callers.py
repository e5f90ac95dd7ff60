"""Whose request it is: the name of an API key where the operator has set keys, else an address.
Knows no quota; a key itself is never kept or logged."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import Scope

from serve_app.serving.admission import KeyFile

PROTECTED = "/v1/"
MCP = "/mcp"  # as protected
KEY = "key:"


class Callers:
    """`keys`: None lets everyone in. `trusted_proxies`: how many in front add an address to X-Forwarded-For."""

    def __init__(self, keys: KeyFile | None, trusted_proxies: int) -> None:
        self._keys = keys
        self._trusted_proxies = trusted_proxies

    async def identify(self, scope: Scope) -> str:
        """The caller's name, by the keys that there are now. Raises `ApiKeyRequired` and `NotAllowed` on /mcp and on
        routes under /v1."""
        headers = Headers(scope=scope)
        if self._keys is not None and _is_protected(route_of(scope)):
            ring = await self._keys.ring()
            return f"{KEY}{ring.name_of(_key(headers))}"
        return f"address:{self._address(scope, headers)}"

    def _address(self, scope: Scope, headers: Headers) -> str:
        """The peer's, or what the outermost trusted proxy saw: any address left of it is the caller's own word."""
        if self._trusted_proxies:
            seen = [part.strip() for line in headers.getlist("x-forwarded-for") for part in line.split(",")]
            if len(seen) >= self._trusted_proxies:
                return seen[-self._trusted_proxies]
        host, port = scope.get("client") or ("unknown", None)
        # Port 0: uvicorn, which is Ray's HTTP proxy, put the header's word there, as it does for peers on 127.0.0.1.
        return "127.0.0.1" if port == 0 else str(host)


def _is_protected(route: str) -> bool:
    return route == MCP or route.startswith(PROTECTED)


def route_of(scope: Scope) -> str:
    """The path below what the service is mounted at."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def owner_of(caller: str) -> str:
    """Whose reports a caller may be told from the cache: a key's own, or everybody's where there are no keys."""
    return caller.removeprefix(KEY) if caller.startswith(KEY) else ""


def _key(headers: Headers) -> str:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return headers.get("x-api-key", "").strip()
