"""Places that strangers name: what is connected to, what is not, and how much of an answer is read."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpcore2
import pytest

from serve_app.client.addresses import networks
from serve_app.client.guarded import AnswerTooLarge, Guarded, NoAnswer, PlaceRefused, Unreached

LOOPBACK = networks(["127.0.0.0/8"])
UNENDED = b"..."
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Who: me\r\n\r\nok"


def to(place: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Elsewhere\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()


class Server:
    """Answers each connection with the next of `answers`, the last one for ever, and keeps what it was sent."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.heard: list[bytes] = []
        self.open: list[asyncio.StreamWriter] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        self.heard.append(head + await reader.readexactly(int(lengths[0]) if lengths else 0))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        writer.write(answer)
        if not answer.endswith(UNENDED):
            writer.close()


@asynccontextmanager
async def listening(server: Server, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context) as opened:
        server.port = opened.sockets[0].getsockname()[1]
        try:
            yield server
        finally:
            for writer in server.open:
                writer.close()
            await asyncio.gather(*(writer.wait_closed() for writer in server.open), return_exceptions=True)


class Names:
    """A resolver: the answers for each name in turn, the last one for ever. Remembers who was asked for."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(each) for name, each in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self.answers:
            raise OSError("no such name")
        known = self.answers[host]
        return known.pop(0) if len(known) > 1 else known[0]


class Connects(httpcore2.AsyncNetworkBackend):
    """Connects to a given port whatever it is asked for; remembers what that was, and fails for some."""

    def __init__(self, port: int, fails: Iterable[str] = ()) -> None:
        self.port = port
        self.fails = set(fails)
        self.asked: list[str] = []

    async def connect_tcp(self, host: str, port: int, *rest: Any) -> httpcore2.AsyncNetworkStream:
        self.asked.append(host)
        if host in self.fails:
            raise httpcore2.ConnectError("refused")
        return await httpcore2.AnyIOBackend().connect_tcp("127.0.0.1", self.port, *rest)


def guarded(**options: Any) -> Guarded:
    return Guarded(**{"max_answer_bytes": 1000, "timeout_s": 20, "schemes": ("http", "https"), **options})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_this_machine_is_not_called(host: str) -> None:
    async with listening(Server(OK)) as server:
        with pytest.raises(PlaceRefused, match="not at a public address"):
            await guarded().send("GET", f"http://{host}:{server.port}/")
        assert server.heard == []


async def test_this_machine_is_called_where_the_operator_allows_it() -> None:
    async with listening(Server(OK)) as server:
        answer = await guarded(allowed=LOOPBACK).send(
            "POST", f"http://127.0.0.1:{server.port}/hook?a=1", headers=[("x-a", "b")], content=b"hello"
        )
    assert (answer.status, answer.body, dict(answer.headers)["x-who"]) == (200, b"ok", "me")
    (heard,) = server.heard
    assert heard.startswith(b"POST /hook?a=1 HTTP/1.1\r\n")
    assert heard.endswith(b"\r\n\r\nhello")
    for line in (f"host: 127.0.0.1:{server.port}", "x-a: b", "accept-encoding: identity"):
        assert line.encode() in heard.lower()


async def test_a_name_is_resolved_once_and_what_was_checked_is_connected_to() -> None:
    async with listening(Server(OK)) as server:
        names, connects = Names(shop_example=[["8.8.8.8"], ["127.0.0.1"]]), Connects(server.port)
        await guarded(resolve=names, connect=connects).send("GET", "http://shop.example/")
    assert names.asked == ["shop.example"]
    assert connects.asked == ["8.8.8.8"]
    assert b"host: shop.example\r\n" in server.heard[0].lower()


async def test_a_name_with_one_address_that_is_not_public_is_not_called_at_all() -> None:
    connects = Connects(1)
    with pytest.raises(PlaceRefused):
        await guarded(resolve=Names(a_example=[["8.8.8.8", "10.0.0.1"]]), connect=connects).send(
            "GET", "http://a.example/"
        )
    assert connects.asked == []


async def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    async with listening(Server(OK)) as server:
        connects = Connects(server.port, fails=["2001:4860:4860::8888"])
        names = Names(a_example=[["2001:4860:4860::8888", "8.8.8.8"]])
        assert (await guarded(resolve=names, connect=connects).send("GET", "http://a.example/")).status == 200
    assert connects.asked == ["2001:4860:4860::8888", "8.8.8.8"]
    with pytest.raises(Unreached, match="ConnectError"):
        await guarded(resolve=Names(a_example=[["8.8.8.8"]]), connect=Connects(1, fails=["8.8.8.8"])).send(
            "GET", "http://a.example/"
        )


async def test_a_redirect_is_checked_anew() -> None:
    async with listening(Server(to("http://inside.example/secret"))) as server:
        names = Names(a_example=[["8.8.8.8"]], inside_example=[["169.254.169.254"]])
        connects = Connects(server.port)
        with pytest.raises(PlaceRefused, match="not at a public address"):
            await guarded(resolve=names, connect=connects).send("GET", "http://a.example/")
    assert names.asked == ["a.example", "inside.example"]
    assert connects.asked == ["8.8.8.8"]


async def test_redirects_are_followed_a_few_times() -> None:
    names = Names(a_example=[["8.8.8.8"]], b_example=[["1.1.1.1"]])
    async with listening(Server(to("//b.example/x", 301), to("y?z=1", 303), OK)) as server:
        asking = guarded(resolve=names, connect=Connects(server.port))
        assert (await asking.send("GET", "http://a.example/")).body == b"ok"
        assert [line.split()[1] for line in server.heard] == [b"/", b"/x", b"/y?z=1"]
        server.answers = [to("/again")]
        with pytest.raises(Unreached, match="more than 3 times"):
            await asking.send("GET", "http://a.example/")
        assert len(server.heard) == 3 + 4


async def test_a_message_stays_one_when_it_is_redirected() -> None:
    names = Names(a_example=[["8.8.8.8"]])
    async with listening(Server(to("/other", 302), to("/there", 307), OK)) as server:
        asking = guarded(resolve=names, connect=Connects(server.port))
        assert (await asking.send("POST", "http://a.example/", content=b"hello")).status == 302
        assert (await asking.send("POST", "http://a.example/", content=b"hello")).status == 200
    assert server.heard[-1].startswith(b"POST /there ")
    assert server.heard[-1].endswith(b"hello")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/",
        "file:///etc/passwd",
        "http:///x",
        "http://me:secret@a.example/",
        "//a.example/",
        "http://a.example:99999/",
        "http://a.example\n/",
        "http://[::1/",
        "http://ⓛocalhost/",
        "",
    ],
)
async def test_what_is_no_url_for_us_is_refused_before_any_name_is_asked_for(url: str) -> None:
    names = Names(a_example=[["8.8.8.8"]])
    with pytest.raises(PlaceRefused) as refusal:
        await guarded(resolve=names).send("GET", url)
    assert names.asked == []
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("onward", ["http://a.example/", "ftp://a.example/", "https://me@a.example/"])
async def test_a_redirect_to_what_would_be_refused_is(onward: str, certificate: Certified) -> None:
    async with listening(Server(to(onward)), certificate.server) as server:
        asking = guarded(
            resolve=Names(shop_example=[["8.8.8.8"]]), connect=Connects(server.port), ssl_context=certificate.client
        )
        with pytest.raises(PlaceRefused):
            await asking.send("GET", "https://shop.example/")


async def test_without_a_word_only_https_is_called() -> None:
    with pytest.raises(PlaceRefused, match="Only URLs with https are called"):
        await Guarded(max_answer_bytes=1, timeout_s=1).send("GET", "http://a.example/")


async def test_a_name_that_leads_nowhere() -> None:
    for names in (Names(), Names(a_example=[[]])):
        with pytest.raises(Unreached, match="leads nowhere"):
            await guarded(resolve=names).send("GET", "http://a.example/")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + bytes(1001),
        b"HTTP/1.1 200 OK\r\n\r\n" + bytes(5000),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + bytes(1024) + b"\r\n" + UNENDED,
    ],
)
async def test_no_more_is_read_than_was_agreed(answer: bytes) -> None:
    async with listening(Server(answer)) as server:
        with pytest.raises(AnswerTooLarge, match="over 1000 bytes"):
            await guarded(allowed=LOOPBACK).send("GET", f"http://127.0.0.1:{server.port}/")


async def test_an_answer_of_just_the_size_is_read() -> None:
    async with listening(Server(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(1000))) as server:
        answer = await guarded(allowed=LOOPBACK).send("GET", f"http://127.0.0.1:{server.port}/")
    assert len(answer.body) == 1000


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"])
async def test_who_does_not_end_is_given_up(begun: bytes) -> None:
    async with listening(Server(begun + UNENDED)) as server:
        with pytest.raises(Unreached, match=r"within 0\.3 s"):
            async with asyncio.timeout(10):
                await guarded(allowed=LOOPBACK, timeout_s=0.3).send("GET", f"http://127.0.0.1:{server.port}/")


async def test_what_is_no_http_is_no_answer() -> None:
    async with listening(Server(b"SSH-2.0-OpenSSH_9.2\r\n")) as server:
        with pytest.raises(Unreached, match="RemoteProtocolError"):
            await guarded(allowed=LOOPBACK).send("GET", f"http://127.0.0.1:{server.port}/")


class Certified:
    """A certificate for shop.example: what a server shows, and a client that believes it."""

    def __init__(self, folder: Path) -> None:
        x509 = pytest.importorskip("cryptography.x509")
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop.example")])
        began = datetime.now(UTC) - timedelta(hours=1)
        made = (
            x509.CertificateBuilder(name, name, key.public_key(), 1, began, began + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("shop.example")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path = folder / "shop.pem"
        path.write_bytes(plain + made.public_bytes(pem))
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.server.load_cert_chain(path)
        self.client = ssl.create_default_context(cafile=str(path))


@pytest.fixture
def certificate(tmp_path: Path) -> Certified:
    return Certified(tmp_path)


async def test_the_certificate_is_that_of_the_name_and_not_of_the_address(certificate: Certified) -> None:
    async with listening(Server(OK), certificate.server) as server:
        names = Names(shop_example=[["8.8.8.8"]], other_example=[["8.8.8.8"]])
        asking = guarded(resolve=names, connect=Connects(server.port), ssl_context=certificate.client)
        assert (await asking.send("GET", "https://shop.example/")).body == b"ok"
        with pytest.raises(Unreached):
            await asking.send("GET", "https://other.example/")
        with pytest.raises(Unreached):
            await guarded(resolve=names, connect=Connects(server.port)).send("GET", "https://shop.example/")


async def test_every_failure_is_one_of_the_tree_and_tells_no_address() -> None:
    cases: list[Callable[[], Guarded]] = [
        lambda: guarded(resolve=Names(a_example=[["10.1.2.3"]])),
        lambda: guarded(resolve=Names(a_example=[["8.8.4.4"]]), connect=Connects(1, fails=["8.8.4.4"])),
    ]
    for case in cases:
        with pytest.raises(NoAnswer) as failure:
            await case().send("GET", "http://a.example/")
        assert "10.1.2.3" not in str(failure.value)
        assert "8.8.4.4" not in str(failure.value)
