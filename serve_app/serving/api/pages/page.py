"""`/`: the page for people. Sends files; what it asks, it asks of the API as anybody does."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from serve_app.serving.api.pages import assets


def add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return assets.sent(request, "index.html")
