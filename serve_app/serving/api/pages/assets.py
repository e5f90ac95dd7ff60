"""The files that a browser loads: each by its own name, from this package, under a strict policy.
Knows no comparison; nothing here comes from another host."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response

from serve_app import views
from serve_app.errors import NotFound

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


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent; `tag` names its content."""

    content: bytes
    media_type: str
    tag: str


@cache
def shelf() -> dict[str, Path]:
    """Every file that is sent, by its name: no name leads anywhere else."""
    files = (file for folder in _FOLDERS for file in sorted((VIEWS / folder).iterdir()))
    return {file.name: file for file in files if file.suffix in _TYPES}


@cache
def asset(name: str) -> Asset:
    """Kept once read: 3 MB are all of them. Raises `NotFound`."""
    file = shelf().get(name)
    if file is None:
        raise NotFound("There is no such file.")
    content = file.read_bytes()
    return Asset(content, _TYPES[file.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def sent(request: Request, name: str, policy: str = PAGE_POLICY) -> Response:
    """The file, or 304 where the browser has it. Raises `NotFound`."""
    found = asset(name)
    headers = {
        "ETag": found.tag,
        "Cache-Control": "no-cache",  # kept, and asked for again: after an update no old script meets a new page
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    if found.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)


def add_assets(app: FastAPI) -> None:
    @app.get(ASSETS + "/{name}", include_in_schema=False)
    async def file(request: Request) -> Response:
        return sent(request, request.path_params["name"])
