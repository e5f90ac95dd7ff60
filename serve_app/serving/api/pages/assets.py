"""The files that a browser loads: each by its own name, from this package, under a strict policy.
Knows no comparison; nothing here comes from another host."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response

from serve_app import views
from serve_app.errors import NotFound
from serve_app.views.bundled import bundled, ordered

VIEWS: Final = Path(views.__file__).parent
ASSETS: Final = "/assets"


def policy(*inline_styles: str) -> str:
    """What may be loaded: this service's own files, and `inline_styles` by their hashes."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            " ".join(("style-src 'self'", *inline_styles)),
            "img-src 'self' blob: data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


PAGE_POLICY: Final = f"{policy()}; require-trusted-types-for 'script'"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_FOLDERS: Final = ("page", "viewer", "vendored")
# The one style of the page. It and the one script are put together here of their parts, because every file is a way
# through Serve's proxy and back: benchmarks/results/page.md.
_STYLES: Final = ("viewer.css", "page.css")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent, and as gzip; `tag` names its content."""

    content: bytes
    packed: bytes
    media_type: str
    tag: str


@cache
def _files() -> dict[str, Path]:
    files = (file for folder in _FOLDERS for file in sorted((VIEWS / folder).iterdir()))
    return {file.name: file for file in files if file.suffix in _TYPES}


def _source(module: str) -> str:
    return _files()[f"{module}.js"].read_text("utf-8")


@cache
def shelf() -> frozenset[str]:
    """Every name that is sent, and none leads anywhere else: not those that are sent as part of another."""
    parts = {f"{module}.js" for module in ordered("page", _source)} | set(_STYLES)
    return frozenset(_files()) - parts | {"page.js", "page.css"}


@cache
def asset(name: str) -> Asset:
    """Kept once read: 4 MB are all of them, packed too. Raises `NotFound`."""
    if name not in shelf():
        raise NotFound("There is no such file.")
    content = _content(name)
    # mtime: the same content is the same bytes on every replica.
    packed = gzip.compress(content, mtime=0)
    return Asset(content, packed, _TYPES[Path(name).suffix], hashlib.sha256(content).hexdigest()[:32])


def _content(name: str) -> bytes:
    if name == "page.js":
        return bundled("page", _source).encode()
    names = _STYLES if name == "page.css" else (name,)
    return b"".join(_files()[each].read_bytes() for each in names)


def sent(request: Request, name: str, policy: str = PAGE_POLICY) -> Response:
    """The file, or 304 where the browser has it. Raises `NotFound`."""
    found = asset(name)
    is_packed = "gzip" in request.headers.get("accept-encoding", "")
    tag = f'"{found.tag}{"-gzip" if is_packed else ""}"'
    headers = {
        "ETag": tag,
        "Cache-Control": "no-cache",  # kept, and asked for again: after an update no old script meets a new page
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Encoding",
    }
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if is_packed:
        return Response(found.packed, media_type=found.media_type, headers=headers | {"Content-Encoding": "gzip"})
    return Response(found.content, media_type=found.media_type, headers=headers)


def add_assets(app: FastAPI) -> None:
    @app.get(ASSETS + "/{name}", include_in_schema=False)
    async def file(request: Request) -> Response:
        return sent(request, request.path_params["name"])
