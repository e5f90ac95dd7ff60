"""Debian's Chromium, driven by playwright; tests that need one are skipped where there is none."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")


def executable() -> str | None:
    return next((path for path in map(shutil.which, NAMES) if path), None)


@contextmanager
def launched() -> Iterator[Browser]:
    """Skips the test where there is no Chromium."""
    path = executable()
    if path is None:
        pytest.skip("no Chromium here: apt install chromium")
    with sync_playwright() as playwright:
        # --no-sandbox: the sandbox can't be made inside a container, and all pages are our own.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
    asyncio.set_event_loop(None)  # playwright leaves its own, closed: who wants a loop next makes one


class Complaints:
    """What the browser has to say against a page: errors, and anything that its policy stopped."""

    def __init__(self, page: Page) -> None:
        self.told: list[str] = []
        self.requested: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.told.append(str(error)))
        page.on("request", lambda request: self.requested.append(request.url))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.told.append(message.text)
