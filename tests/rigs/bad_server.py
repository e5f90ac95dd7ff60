"""Servers that do not answer as they should, behind a real port: bytes as a test says, a connection at a time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Answering = Callable[[socket.socket], None]


@dataclass(slots=True)
class BadServer:
    url: str
    heads: list[bytes] = field(default_factory=list)  # of the requests that came, each up to its body

    @property
    def num_asked(self) -> int:
        return len(self.heads)

    def header(self, name: str) -> list[str]:
        """What each request had there."""
        wanted = name.lower().encode() + b": "
        lines = [line for head in self.heads for line in head.split(b"\r\n") if line.lower().startswith(wanted)]
        return [line.split(b": ", 1)[1].decode() for line in lines]


@contextmanager
def answering(*answers: Answering) -> Iterator[BadServer]:
    """Each connection is answered by the next, the last one for ever, and then closed."""
    waiting = list(answers)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = BadServer(f"http://127.0.0.1:{listening.getsockname()[1]}")

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    server.heads.append(_request(connection))
                    (waiting.pop(0) if len(waiting) > 1 else waiting[0])(connection)

        thread = threading.Thread(target=serve, name="bad server", daemon=True)
        thread.start()
        try:
            yield server
        finally:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()
            thread.join(10)


def free_url() -> str:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def said(status: str, body: bytes = b"", *, declared: int | None = None, **headers: str) -> Answering:
    """A whole answer; with `declared`, one that says to be so long."""
    told = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in told.items())]
    lines += [f"Content-Length: {len(body) if declared is None else declared}", "Connection: close"]
    whole = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    return lambda connection: connection.sendall(whole)


def events(*told: bytes, is_whole: bool) -> Answering:
    """A stream in chunks, ended as it should be, or cut off."""

    def answer(connection: socket.socket) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in told))
        if is_whole:
            connection.sendall(b"0\r\n\r\n")

    return answer


def silent(ended: threading.Event) -> Answering:
    """Takes the request and says nothing until `ended`."""

    def answer(connection: socket.socket) -> None:
        ended.wait(30)

    return answer


def dripping(ended: threading.Event, head: bytes) -> Answering:
    """Says `head`, then a space ever so often, and never comes to an end."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        while not ended.wait(0.02):
            connection.sendall(b" ")

    return answer


def _request(connection: socket.socket) -> bytes:
    """The head of a request, its body read as well: who closes before that resets the connection."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return received
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    left = int(lengths[0].split(b":")[1]) - len(body) if lengths else 0
    while left > 0:
        piece = connection.recv(65536)
        if not piece:
            break
        left -= len(piece)
    return head
