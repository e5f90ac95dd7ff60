"""`/docs` and `/redoc`: the API to try and to read, from files of this package.
Knows no route of the API: both read `openapi.json`."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI, Request, Response

from serve_app.serving.api.pages import assets

# Both set innerHTML with strings (React and DOMPurify, without Trusted Types), and show nothing where that is refused.
SWAGGER_POLICY: Final = assets.policy()
# Redoc's styled-components put an empty style element into the page and fill it by script, and its scroll bar puts one
# sheet of its own: these two, by their hashes, and no other inline style.
_EMPTY_STYLE: Final = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
_SCROLL_BAR_STYLE: Final = "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='"
REDOC_POLICY: Final = assets.policy(_EMPTY_STYLE, _SCROLL_BAR_STYLE)


def add_docs(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return assets.sent(request, "docs.html", SWAGGER_POLICY)

    @app.get("/redoc", include_in_schema=False)
    async def redoc(request: Request) -> Response:
        return assets.sent(request, "redoc.html", REDOC_POLICY)
