"""A service over HTTP, for programs that wait."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import httpx2

from serve_app.client import wire
from serve_app.client.wire import Picture
from serve_app.schema import ComparisonReport, ImageComparisonConfig


class Client:
    """One service, at a base URL such as `http://127.0.0.1:8000`; its connections are kept until it is closed."""

    def __init__(
        self, server: str, *, api_key: str | None = None, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self.server = server
        self._api_key = api_key
        self._http = httpx2.Client(transport=transport)

    def compare(
        self, reference: Picture, candidate: Picture, config: ImageComparisonConfig | None = None
    ) -> ComparisonReport:
        """Send both images, bytes or paths, and wait for the report.

        Raises `ComparisonError` and its kinds as the service refuses, `ServerFailed`, and OSError for a path.
        """
        sent = wire.request(self.server, reference, candidate, config or ImageComparisonConfig(), self._api_key)
        with wire.failing(self.server):
            answer = self._http.post(
                sent.url, files=sent.files, data=sent.data, headers=sent.headers, timeout=sent.timeout_s
            )
        return wire.report_of(answer, self.server)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
