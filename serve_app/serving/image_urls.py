"""Fetches a picture from a URL that a caller names: https, port 443, a host on the operator's list, a public address.
Decodes nothing: what comes is judged as an upload is, whatever its server says that it is. Logs nothing of it."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from serve_app.client.addresses import networks
from serve_app.client.guarded import Connect, Guarded, NoAnswer, Place, PlaceRefused, Resolve, resolved
from serve_app.core.pictures import Upload
from serve_app.errors import ComparisonError, DeadlineExceeded, ImageRole, ImageUrlFailed, ImageUrlRefused
from serve_app.settings import ImageUrlSettings, Settings

MOST_CHARACTERS: Final = 2000
MOST_REDIRECTS: Final = 3
_PORT: Final = 443
_FOUND: Final = 200
# What browsers and libraries read in different ways is not read at all: spaces, control characters, backslashes,
# letters that some of them make others of.
_PLAIN: Final = re.compile(r"[!-\[\]-~]+")
_HOST: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")
_ANY_SCHEME: Final = re.compile(r"\s{0,64}(?!data:)[a-z][a-z0-9+.-]{1,31}:", re.IGNORECASE)
_HEADERS: Final = (("user-agent", "PairLens"), ("accept", "image/*"))


def is_one(text: str) -> bool:
    """Whether it is meant as a URL of a picture elsewhere; which of them may be fetched is not asked here."""
    return _ANY_SCHEME.match(text) is not None


@dataclass(frozen=True, slots=True)
class Named:
    """A picture that is named by a URL, as it came, and the field that names it."""

    url: str
    field: str
    image: ImageRole | None = None


class ImageUrls:
    """`max_bytes`: of one picture. `resolve`, `connect`, `ssl_context`: as of `Guarded`."""

    def __init__(
        self,
        settings: ImageUrlSettings,
        max_bytes: int,
        *,
        resolve: Resolve = resolved,
        connect: Connect | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._hosts = frozenset(host for host in settings.allowed_hosts if not host.startswith("*"))
        self._above = tuple(host[1:] for host in settings.allowed_hosts if host.startswith("*"))
        self._guarded = Guarded(
            max_answer_bytes=max_bytes,
            timeout_s=settings.timeout_s,
            max_redirects=MOST_REDIRECTS,
            allowed=networks(settings.allowed_networks),
            judge=self._judge,
            resolve=resolve,
            connect=connect,
            ssl_context=ssl_context,
        )

    async def fetched(self, named: Sequence[Named], until: float, taken: Callable[[int], None]) -> list[Upload]:
        """All of them, side by side; the first that fails ends the others. Raises as `one` does."""
        work = [asyncio.create_task(self.one(each, until, taken)) for each in named]
        try:
            return list(await asyncio.gather(*work))
        finally:
            for task in work:
                task.cancel()
            if work:
                await asyncio.wait(work)

    async def one(self, named: Named, until: float, taken: Callable[[int], None]) -> Upload:
        """What is there. `until`: when the request's time is over, as `time.time()` says; `taken`: told of the bytes as
        they come, and may raise.

        Raises `ImageUrlRefused` where a rule forbids it, `ImageUrlFailed` where there is no picture to be had, and
        `DeadlineExceeded`. None of them tells an address.
        """
        url, what = named.url, f"The {named.image} image" if named.image is not None else "A picture"
        try:
            _check_plain(url)
            async with asyncio.timeout(until - time.time()):
                answer = await self._guarded.send("GET", url, headers=_HEADERS, taken=taken)
        except PlaceRefused as exc:
            raise _about(named, ImageUrlRefused(f"{what} is not fetched from its URL. {exc}")) from None
        except NoAnswer as exc:
            told = str(exc).partition(" (")[0].rstrip(".")  # which class of a library's said so is nobody's
            raise _about(named, ImageUrlFailed(f"{what} can't be fetched from its URL. {told}.")) from None
        except TimeoutError:
            raise DeadlineExceeded("The time was over before the pictures were fetched from their URLs.") from None
        if answer.status != _FOUND:
            told = f"{what} can't be fetched from its URL. Its server answers {answer.status}."
            raise _about(named, ImageUrlFailed(told))
        return Upload(answer.body)

    def _judge(self, at: Place) -> None:
        """Raises `PlaceRefused`."""
        host = at.raw_host.decode("ascii").lower().removesuffix(".")
        if not _HOST.fullmatch(host) or (host not in self._hosts and not host.endswith(self._above)):
            raise PlaceRefused("Its host is not one that the operator allows (args.image_urls.allowed_hosts).")
        if at.port not in (None, _PORT):
            raise PlaceRefused(f"Only port {_PORT} is called.")


def open_image_urls(settings: Settings) -> ImageUrls | None:
    """None where the operator has them off."""
    if not settings.image_urls.enabled:
        return None
    return ImageUrls(settings.image_urls, settings.limits.max_image_bytes)


def _check_plain(url: str) -> None:
    """Raises `PlaceRefused`."""
    if len(url) > MOST_CHARACTERS or not _PLAIN.fullmatch(url):
        raise PlaceRefused(f"A URL is up to {MOST_CHARACTERS} characters of ASCII without spaces.")


def _about(named: Named, error: ComparisonError) -> ComparisonError:
    error.image, error.field = named.image, named.field
    return error
