"""`/`: the page for people. Sends files; what it asks, it asks of the API as anybody does."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from serve_app.serving.api.pages import assets


def add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        found = assets.sent(request, "index.html")
        # The words are asked for with the script, not after it has run. Who has chosen another language than the
        # browser's loads 6 kB in vain.
        code = "zh" if request.headers.get("accept-language", "").lower().startswith("zh") else "en"
        found.headers["Link"] = f'<assets/words_{code}.js>; rel="modulepreload"; fetchpriority="low"'
        found.headers["Vary"] = "Accept-Encoding, Accept-Language"
        return found
