"""What no client library would send: requests as bytes, and the header fields that servers believe.
Knows sockets and HTTP/1.1, no service: a caller's connection, one request's bytes, all that came back.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from tests.serving.hostile.bodies import MARK, form, part, pictures

# Ray Serve's proxy and our own reception read these.
BELIEVED: Final = (
    "X-Request-ID",
    "x-request-timeout-seconds",
    "x-request-disconnect-disabled",
    "serve-multiplexed-model-id",
    "serve_multiplexed_model_id",
    "x-session-id",
)
NO_ANSWER: Final = 0  # in the place of a status
NOT_HTTP: Final = b"Invalid HTTP request received."  # uvicorn's words, before any request is one
ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
GOOD_IDS: Final = (b"mine", b"a" * 128, b"0", b"A.b_c:d-e", b"0af7651916cd43dd8448eb211c80319c")
BAD_IDS: Final[tuple[bytes, ...]] = (
    b"",
    b"\xff",
    b"\xc3\x28",
    b"a\x80",
    "標識".encode(),
    b"a" * 129,
    b"a" * 8_000,
    MARK.encode() + b'"<script>',
    MARK.encode() + b"'",
    b"{" + MARK.encode() + b"}",
    MARK.encode() + b",b",
    MARK.encode() + b";b",
    MARK.encode() + b" b",
    MARK.encode() + b"\tb",
    MARK.encode() + b"%0d%0aX-Injected: 1",
    b"../" + MARK.encode(),
    b"${jndi:ldap://127.0.0.1:1/" + MARK.encode() + b"}",
    b"\x1b[31m" + MARK.encode(),
    b"\x7f" + MARK.encode(),
)
VALUES: Final[tuple[bytes, ...]] = (
    *(b"\xff", b"\x80abc", b"\xc3\x28", b"", b"0", b"-1", b"1", b"0.001", b"1e400", b"9" * 400, b"nan", b"inf"),
    *(b"true", b"?1", b"?0", b"1;a=b", b"null", b"1, 2", b"a" * 8_000),
    *(b'"' + MARK.encode(), b"<" + MARK.encode() + b">"),
)
# 200 for what is a request after all; a redirect or a 5xx is never right.
MALFORMED_ANSWERS: Final = frozenset({200, 400, 403, 404, 405, 413, 414, 417, 421, 426, 431, 501, NO_ANSWER})


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; `body` as it came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for header, value in self.headers if header == name]


def request(
    target: str | bytes = "/livez",
    *lines: bytes,
    method: bytes = b"GET",
    version: bytes = b"HTTP/1.1",
    body: bytes = b"",
    host: bytes = b"Host: a\r\n",
) -> bytes:
    """Its bytes, with these header lines, and the wish that the connection be closed after it."""
    target = target if isinstance(target, bytes) else target.encode()
    head = b"".join(line + b"\r\n" for line in lines)
    return method + b" " + target + b" " + version + b"\r\n" + host + head + b"Connection: close\r\n\r\n" + body


def comparison(*lines: bytes, config: str = "{}", target: str = "/v1/compare") -> bytes:
    """A right comparison as bytes, with these header lines."""
    images = [part("files", each, "a.png") for each in pictures()]
    body = form([*images, part("config", config.encode())])
    length = f"Content-Length: {len(body)}".encode()
    kind = b"Content-Type: multipart/form-data; boundary=b"
    return request(target, kind, length, *lines, method=b"POST", body=body)


def exchange(address: tuple[str, int], sent: bytes, *, patience_s: float = 5.0) -> bytes:
    """All that came back until the connection was closed, or nothing came for `patience_s`."""
    with socket.create_connection(address, timeout=patience_s) as caller:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before its end: what was said is still there
            caller.sendall(sent)
        return _rest(caller)


def _rest(caller: socket.socket) -> bytes:
    received = b""
    with suppress(TimeoutError, ConnectionResetError):
        while piece := caller.recv(65_536):
            received += piece
    return received


def replies(received: bytes) -> list[Reply]:
    """The answers in what one connection gave; what is no HTTP is one of status 0."""
    found: list[Reply] = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        match = re.fullmatch(rb"HTTP/1\.[01] (\d{3}).*", first)
        if match is None:
            return [*found, Reply(0, (), received)]
        named = (line.partition(b":") for line in lines)
        headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1").strip()) for name, _, value in named)
        length = next((int(value) for name, value in headers if name == "content-length"), None)
        body = rest if length is None else rest[:length]
        if int(match[1]) >= 200:  # not 100 Continue
            found.append(Reply(int(match[1]), headers, body))
            received = rest[len(body) :]
        else:
            received = rest
    return found


def wrong_id(answers: list[Reply], given: bytes | None) -> str | None:
    """What is wrong with the id of an answer to a request that gave this one; None: one that had to be replaced."""
    if len(answers) != 1:
        return f"{len(answers)} answers"
    answer = answers[0]
    if answer.status == 400 and answer.body == NOT_HTTP:
        return None
    told = answer.all("x-request-id")
    try:
        body: Any = json.loads(answer.body)["request_id"]
    except (ValueError, KeyError, TypeError):
        return f"{answer.status} in other words: {answer.body[:40]!r}"
    if told != [body]:
        return f"the header says {told[:2]!r}, the body {body!r}"[:160]
    if not ID.fullmatch(body):
        return f"{body[:40]!r} is none"
    if given is not None and body != given.decode():
        return f"{body[:40]!r} instead"
    return None


def status(answers: list[Reply]) -> int:
    """Of the first."""
    return answers[0].status if answers else NO_ANSWER


def wrong_answer(answers: list[Reply]) -> str | None:
    """What is wrong with what was answered to bytes that are no request, or nearly one."""
    if status(answers) not in MALFORMED_ANSWERS:
        return f"{status(answers)} {answers[0].all('location')} {answers[0].body[:50]!r}"
    if any(b"evil.example" in each.body + repr(each.headers).encode() for each in answers):
        return "another host is repeated"
    if status(answers) == 405 and not answers[0].all("allow"):
        return "405 without Allow"
    return None


def wrong_to_hidden(answers: list[Reply]) -> str | None:
    """What is wrong with what was answered to a request that hides `HIDDEN`."""
    if any(b'"pairlens"' in answer.body for answer in answers):
        return "what was hidden is answered"
    if answers and not 400 <= status(answers) < 500:
        return str(status(answers))
    return None


# --- one request that hides another

HIDDEN: Final = b"GET /version HTTP/1.1\r\nHost: hidden\r\n\r\n"  # its answer is like no other


def smuggled(target: str = "/v1/compare") -> Iterator[tuple[str, bytes]]:
    """Requests whose length two servers may read differently, with another request in what is left over."""
    sizes = {
        "length and chunks": (b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
        "chunks and length": (b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"0\r\n\r\n"),
        "length 0 and chunks": (b"Content-Length: 0\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
        "two lengths": (b"Content-Length: 0\r\nContent-Length: 41", b""),
        "two lengths in one": (b"Content-Length: 0, 41", b""),
        "a length with a sign": (b"Content-Length: +0", b""),
        "a negative length": (b"Content-Length: -1", b""),
        "a length in hex": (b"Content-Length: 0x0", b""),
        "a length with a space": (b"Content-Length: 0 0", b""),
        "a length of letters": (b"Content-Length: a", b""),
        "a length of 30 digits": (b"Content-Length: " + b"9" * 30, b""),
        "a space before the colon": (b"Transfer-Encoding : chunked", b"0\r\n\r\n"),
        "a tab before the colon": (b"Transfer-Encoding\t: chunked", b"0\r\n\r\n"),
        "a folded line": (b"Transfer-Encoding:\r\n chunked", b"0\r\n\r\n"),
        "another coding": (b"Transfer-Encoding: identity", b""),
        "an unknown coding": (b"Transfer-Encoding: xchunked", b"0\r\n\r\n"),
        "chunked, then another": (b"Transfer-Encoding: chunked, identity", b"0\r\n\r\n"),
        "chunked twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
        "a vertical tab": (b"Transfer-Encoding: \x0bchunked", b"0\r\n\r\n"),
        "a chunk of a negative size": (b"Transfer-Encoding: chunked", b"-1\r\n\r\n"),
        "a chunk size of 20 digits": (b"Transfer-Encoding: chunked", b"F" * 20 + b"\r\n\r\n"),
        "a chunk that is too long": (b"Transfer-Encoding: chunked", b"1\r\nabc\r\n0\r\n\r\n"),
        "a chunk size with a space": (b"Transfer-Encoding: chunked", b"0 \r\n\r\n"),
        "line feeds only": (b"Transfer-Encoding: chunked", b"0\n\n"),
    }
    for name, (head, body) in sizes.items():
        yield name, b"POST " + target.encode() + b" HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n" + body + HIDDEN


# --- malformed


def malformed(target: str = "/livez") -> Iterator[tuple[str, bytes]]:
    """One connection's bytes each, about this route."""
    yield from _lines(target)
    yield from _targets(target)
    yield from _headers(target)
    yield from _strangers()


def _lines(target: str) -> Iterator[tuple[str, bytes]]:
    path = target.encode()
    for method in (b"BREW", b"get", b"TRACE", b"OPTIONS", b"HEAD", b"DELETE", b"PUT", b"PATCH", b"G" * 1_000, b"G\0T"):
        yield f"method {method[:10]!r}", request(target, method=method)
    yield "method CONNECT", request(b"a:80", method=b"CONNECT")
    for version in (b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9.9", b"http/1.1", b"HTTP/1.1.1", b"ICY", b""):
        yield f"version {version!r}", request(target, version=version)
    yield "no version", b"GET " + path + b"\r\n\r\n"
    yield "line feeds only", b"GET " + path + b" HTTP/1.1\nHost: a\nConnection: close\n\n"
    yield "carriage returns only", b"GET " + path + b" HTTP/1.1\rHost: a\r\r"
    yield "blank lines before it", b"\r\n" * 5 + request(target)
    yield "two spaces", b"GET  " + path + b"  HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    yield "a tab", b"GET\t" + path + b"\tHTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def _targets(target: str) -> Iterator[tuple[str, bytes]]:
    path = target.encode()
    for odd in (
        *(b"*", b"/", b"//", b"", b"?", b"#", b"evil.example:80", b"/..%5c..%5cetc/passwd", b"\\" + path),
        *(b"/../" + path, b"/%2e%2e" + path, b"//evil.example" + path, b"http://evil.example" + path),
        *(path + odd for odd in (b"/", b"//", b"%00", b"\0", b"%", b"%zz", b"%ff", b"\xff", b";a=b", b"#a", b"?\xff")),
        *(path + b"?" + b"a=b&" * 2_000, path + b"a" * 70_000, b"/" + MARK.encode() + b"<script>"),
    ):
        yield f"target {odd[:24]!r}", request(odd)


def _headers(target: str) -> Iterator[tuple[str, bytes]]:
    lines: dict[str, tuple[bytes, ...]] = {
        "without a colon": (MARK.encode(),),
        "without a name": (b": a",),
        "with a space in its name": (b"X A: b",),
        "with a NUL": (b"X-A: \0",),
        "with a carriage return": (b"X-A: b\rc",),
        "folded": (b"X-A: b\r\n c",),
        "of other letters": (b"X-\xff: b",),
        "of 8 KB": (b"X-A: " + b"a" * 8_000,),
        "of 100 KB": (b"X-A: " + b"a" * 100_000,),
        "1,000 times": (b"X-A: b",) * 1_000,
        "to wait for": (b"Expect: 100-continue",),
        "to expect anything": (b"Expect: " + MARK.encode(),),
        "of ranges": (b"Range: bytes=" + b"0-1," * 1_000,),
        "of cookies": (b"Cookie: " + b"a=b; " * 1_500,),
        "to upgrade to a websocket": (
            *(b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13"),
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ),
        "to upgrade to HTTP/2": (b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__", b"Connection: Upgrade"),
        "of another host": (b"X-Forwarded-Host: evil.example", b"Forwarded: host=evil.example"),
        "of another method": (b"X-HTTP-Method-Override: DELETE",),
    }
    for name, headers in lines.items():
        yield f"header {name}", request(target, *headers)
    for name, host in {"none": b"", "two": b"Host: a\r\nHost: b\r\n", "empty": b"Host:\r\n"}.items():
        yield f"host {name}", request(target, host=host)
    yield "host of markup", request(target, host=b"Host: <" + MARK.encode() + b">\r\n")
    yield "a body of a GET", request(target, b"Content-Length: 3", body=b"abc")


def _strangers() -> Iterator[tuple[str, bytes]]:
    yield "nothing but line ends", b"\r\n\r\n"
    yield "a greeting of TLS", bytes.fromhex("16030100a5010000a10303") + bytes(160)
    yield "a greeting of SSH", b"SSH-2.0-OpenSSH_9.9\r\n"
    yield "a greeting of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)
    yield "a command of Redis", b"*1\r\n$4\r\nPING\r\n"
    yield "any bytes", bytes(range(256)) * 4


# --- slow and unfinished


def head_of_form(num_bytes: int, target: str = "/v1/compare") -> bytes:
    """The head of a comparison whose body is said to have that many bytes."""
    lines = ("Host: a", "Content-Type: multipart/form-data; boundary=b", f"Content-Length: {num_bytes}")
    return f"POST {target} HTTP/1.1\r\n".encode() + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


def ask(address: tuple[str, int], sent: bytes, patience_s: float = 5.0) -> tuple[list[Reply], float]:
    """The answers to these bytes, and the seconds that they took."""
    began = time.monotonic()
    return replies(exchange(address, sent, patience_s=patience_s)), time.monotonic() - began
