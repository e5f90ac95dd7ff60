"""HTTP to places that strangers name: public addresses only, answers bounded in bytes and in time, no proxy.
Knows no job and no picture. A host is resolved once, and what is connected to is what was checked: a name that leads
elsewhere a moment later gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import httpcore2
import httpx2

from serve_app.client.addresses import Network, may_be_called

# Told how many bytes of an answer have come, as they come; what it raises ends the request.
Taken = Callable[[int], None]
# Whether a place may be asked, beyond what every place must be. Raises `PlaceRefused`.
Place = httpx2.URL
Judge = Callable[[Place], None]
Connect = httpcore2.AsyncNetworkBackend
# Host and port to the addresses, as text, that it may be connected to. Raises OSError.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_LAST_PORT: Final = 65535
# For one address of several: those behind it are to be tried as well.
_CONNECT_S: Final = 5.0
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_WITH_METHOD: Final = frozenset({307, 308})  # the others ask for a GET, and a message is not to become one


class NoAnswer(Exception):
    """There is no answer: one sentence for who named the place, with no address that a name led to.

    NoAnswer
    ├── PlaceRefused     it must not be called
    ├── AnswerTooLarge   it says more than is read
    └── Unreached        nobody answers there, or not in time, or not in HTTP
    """


class PlaceRefused(NoAnswer):
    pass


class AnswerTooLarge(NoAnswer):
    pass


class Unreached(NoAnswer):
    pass


@dataclass(frozen=True, slots=True)
class Answer:
    """What came, from the last place that it was redirected to. Names of headers in small letters."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


async def resolved(host: str, port: int) -> Sequence[str]:
    """What this machine's resolver says."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def place(schemes: Collection[str], url: str, base: httpx2.URL | None = None) -> httpx2.URL:
    """A place that may be asked for, as far as its URL tells; `base`: the place that redirects to it.

    Raises `PlaceRefused`.
    """
    try:
        found = httpx2.URL(url) if base is None else base.join(url)
    except (httpx2.InvalidURL, ValueError):
        raise PlaceRefused("This is no URL.") from None
    if found.scheme not in schemes or not found.host or (found.port or 0) > _LAST_PORT:
        raise PlaceRefused(f"Only URLs with {' or '.join(sorted(schemes))} are called.")
    if base is not None and (base.scheme, found.scheme) == ("https", "http"):
        raise PlaceRefused("It redirects from https to http.")
    if found.userinfo:
        raise PlaceRefused("A URL with a user's name or password is not called.")
    return found


class Guarded:
    """Sends requests, any number at once, each on a connection of its own.

    `timeout_s`: for the whole of a request, redirects included. `allowed`: networks of the operator's own that may be
    called, too. `schemes`: of the first place and of all redirects. `judge`: asked of each of them before its name is.
    """

    def __init__(
        self,
        *,
        max_answer_bytes: int,
        timeout_s: float,
        max_redirects: int = 3,
        allowed: Iterable[Network] = (),
        schemes: Iterable[str] = ("https",),
        judge: Judge = lambda _: None,
        resolve: Resolve = resolved,
        connect: httpcore2.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._max_answer_bytes = max_answer_bytes
        self._timeout_s = timeout_s
        self._max_redirects = max_redirects
        self._schemes = frozenset(schemes)
        self._judge = judge
        self._backend = _Checked(resolve, tuple(allowed), connect or httpcore2.AnyIOBackend())
        self._ssl_context = ssl_context or ssl.create_default_context()

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        content: bytes = b"",
        taken: Taken = lambda _: None,
    ) -> Answer:
        """The answer of `url`, whatever its status. Raises `NoAnswer` and its kinds, and what `taken` raises."""
        try:
            async with asyncio.timeout(self._timeout_s):
                at = self._allowed_place(url)
                for _ in range(self._max_redirects + 1):
                    answer = await self._once(method, at, headers, content, taken)
                    onward = dict(answer.headers).get("location")
                    if onward is None or not _is_followed(answer.status, method):
                        return answer
                    at = self._allowed_place(onward, at)
        except TimeoutError:
            raise Unreached(f"There was no whole answer within {self._timeout_s:g} s.") from None
        raise Unreached(f"It redirects more than {self._max_redirects} times.")

    def _allowed_place(self, url: str, base: httpx2.URL | None = None) -> httpx2.URL:
        found = place(self._schemes, url, base)
        self._judge(found)
        return found

    async def _once(
        self, method: str, at: httpx2.URL, headers: Sequence[tuple[str, str]], content: bytes, taken: Taken
    ) -> Answer:
        url = httpcore2.URL(scheme=at.raw_scheme, host=at.raw_host, port=at.port, target=at.raw_path)
        sent = [*headers, ("accept-encoding", "identity")]  # packed, a small answer could become a large one
        pool = httpcore2.AsyncConnectionPool(ssl_context=self._ssl_context, network_backend=self._backend)
        patience = {"timeout": {"connect": _CONNECT_S}}
        try:
            async with (
                pool,
                pool.stream(method, url, headers=sent, content=content, extensions=patience) as response,
            ):
                body = await self._read(response, taken)
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, OSError) as exc:
            raise Unreached(f"It can't be reached, or does not answer in HTTP ({type(exc).__name__}).") from None
        named = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers)
        return Answer(response.status, named, body)

    async def _read(self, response: httpcore2.Response, taken: Taken) -> bytes:
        body = bytearray()
        async for piece in response.aiter_stream():
            if len(body) + len(piece) > self._max_answer_bytes:
                raise AnswerTooLarge(f"Its answer is over {self._max_answer_bytes} bytes.")
            taken(len(piece))
            body += piece
        return bytes(body)


class _Checked(httpcore2.AsyncNetworkBackend):
    """Connects to what a host's name leads to, where all of it may be called. TLS still asks for the name."""

    def __init__(self, resolve: Resolve, allowed: tuple[Network, ...], connect: httpcore2.AsyncNetworkBackend) -> None:
        self._resolve = resolve
        self._allowed = allowed
        self._connect = connect

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - as httpcore2 has it
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            addresses = await self._resolve(host.strip("[]"), port)
        except (OSError, UnicodeError):
            raise Unreached("Its name leads nowhere.") from None
        if not all(may_be_called(address, self._allowed) for address in addresses):
            raise PlaceRefused("It is not at a public address.")
        failure: httpcore2.NetworkError | httpcore2.TimeoutException | None = None
        for address in addresses:
            try:
                return await self._connect.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.NetworkError, httpcore2.TimeoutException) as exc:
                failure = exc
        raise failure or Unreached("Its name leads nowhere.")


def _is_followed(status: int, method: str) -> bool:
    return status in _WITH_METHOD or (status in _REDIRECTS and method in ("GET", "HEAD"))
