"""Pictures that callers name by URLs: which are fetched, and that nothing else is ever called."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from pydantic import ValidationError
from starlette.requests import Request

from serve_app.core.pictures import Upload
from serve_app.errors import ImageUrlRefused, MalformedRequest, Overloaded
from serve_app.serving.api.app import create_app
from serve_app.serving.api.arrival import Arrival
from serve_app.serving.api.chat.reading import ChatBodies
from serve_app.serving.api.jobs import JobDesk
from serve_app.serving.image_urls import ImageUrls
from serve_app.serving.readiness import AlwaysReady
from serve_app.serving.telemetry import RequestRecord
from serve_app.settings import ImageUrlSettings, Limits, Settings
from tests.client.test_guarded import OK, UNENDED, Certified, Connects, Names, Server, listening, to
from tests.serving.hostile.service import desk_in
from tests.serving.page.conftest import pipeline
from tests.serving.test_api import Entries
from tests.worlds.samples import card, encoded

A, B = encoded(card()), encoded(card("red"))
PUBLIC: Final = "8.8.8.8"
SHOP: Final = "https://shop.example/a.png"
ALLOWED: Final = ("shop.example", "*.shop.example")


def answer(body: bytes, status: int = 200, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class World:
    """A service that fetches from `shop.example`, whose server this is; all connections come to it, whatever address
    they ask for."""

    def __init__(
        self, server: Server, certificate: Certified, names: Names, jobs: JobDesk | None = None, **settings: Any
    ) -> None:
        limits = settings.pop("limits", Limits())
        self.server, self.names, self.connects = server, names, Connects(server.port)
        self.settings = Settings(
            limits=limits, image_urls=ImageUrlSettings(**{"enabled": True, "allowed_hosts": ALLOWED, **settings})
        )
        self.urls = ImageUrls(
            self.settings.image_urls,
            limits.max_image_bytes,
            resolve=names,
            connect=self.connects,
            ssl_context=certificate.client,
        )
        self.log = Entries()
        logger = logging.Logger("fetching")
        logger.addHandler(self.log)
        app = create_app(
            pipeline(self.settings),
            self.settings,
            readiness=AlwaysReady(),
            logger=logger,
            jobs=jobs,
            image_urls=self.urls,
        )
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test")

    async def compare(self, reference: str = SHOP, candidate: str | None = None, **config: Any) -> httpx2.Response:
        document = {"reference": reference, "candidate": candidate or reference, "config": config}
        return await self.client.post("/v1/compare", json=document)

    @property
    def is_untouched(self) -> bool:
        return self.connects.asked == [] and self.server.heard == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return Certified(tmp_path_factory.mktemp("certificate"))


@asynccontextmanager
async def opened(
    certificate: Certified, *answers: bytes, names: Names | None = None, **settings: Any
) -> AsyncIterator[World]:
    async with listening(Server(*answers), certificate.server) as server:
        world = World(server, certificate, names or Names(shop_example=[[PUBLIC]]), **settings)
        try:
            yield world
        finally:
            await world.client.aclose()


def refusal(told: httpx2.Response) -> tuple[int, str, str]:
    error = told.json()["error"]
    return told.status_code, error["type"], error["detail"]


# --- what is fetched


async def test_both_pictures_are_fetched_side_by_side_and_compared(certificate: Certified) -> None:
    async with opened(certificate, answer(A)) as world:
        told = await world.compare(SHOP, "https://shop.example:443/b?size=1#top")
        report = told.json()["data"]
        assert report["measurement"]["identical"] is True
        assert report["images"]["reference"]["bytes"] == len(A)
        assert sorted(head.split(b" HTTP")[0] for head in world.server.heard) == [b"GET /a.png", b"GET /b?size=1"]
        assert world.connects.asked == [PUBLIC, PUBLIC]
        assert "shop" not in told.text
        assert "shop" not in str([vars(record) for record in world.log.records])


async def test_the_time_of_fetching_is_not_told_as_waiting_in_the_service(
    certificate: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = ImageUrls.fetched

    async def late(self: ImageUrls, *args: Any) -> list[Upload]:
        await asyncio.sleep(1)
        return await fetched(self, *args)

    monkeypatch.setattr(ImageUrls, "fetched", late)
    async with opened(certificate, answer(A)) as world:
        assert (await world.compare()).status_code == 200
        (entry,) = [vars(record) for record in world.log.records]
        assert entry["body_ms"] >= 1000
        assert entry["queue_ms"] + entry["body_ms"] <= entry["total_ms"]


@pytest.mark.parametrize("is_on", [True, False])
async def test_a_caller_can_ask_whether_they_are_fetched(certificate: Certified, is_on: bool) -> None:
    async with opened(certificate, enabled=is_on) as world:
        told = await world.client.get("/v1/limits")
        assert told.json()["data"]["image_urls"] is is_on
        assert "shop" not in told.text


async def test_neither_waits_for_the_other(certificate: Certified) -> None:
    met = asyncio.Barrier(2)

    class Meeting(Server):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await met.wait()
            await super().serve(reader, writer)

    async with listening(Meeting(answer(A)), certificate.server) as server:
        world = World(server, certificate, Names(shop_example=[[PUBLIC]]))
        assert (await world.compare()).status_code == 200
        await world.client.aclose()


async def test_a_report_is_kept_by_the_bytes_and_not_by_the_url(certificate: Certified) -> None:
    async with opened(certificate, answer(A), answer(A), answer(A), answer(A), answer(B)) as world:
        first, again, changed = [(await world.compare()).json()["data"] for _ in range(3)]
    assert (first["cached"], again["cached"], changed["cached"]) == (False, True, False)
    assert changed["images"]["reference"]["sha256"] != first["images"]["reference"]["sha256"]


@pytest.mark.parametrize("kind", ["data", "file"])
async def test_a_url_may_stand_beside_a_picture(certificate: Certified, kind: str) -> None:
    async with opened(certificate, answer(A)) as world:
        if kind == "data":
            told = await world.compare(SHOP, "data:image/png;base64," + base64.b64encode(B).decode())
        else:
            parts = [("reference", ("", SHOP.encode())), ("candidate", ("b.png", B))]
            told = await world.client.post("/v1/compare", files=parts)
        assert told.json()["data"]["measurement"]["identical"] is False


@pytest.mark.parametrize("path", ["/v1/compare/stream"])
async def test_other_routes_fetch_as_well(certificate: Certified, path: str) -> None:
    async with opened(certificate, answer(A)) as world:
        told = await world.client.post(path, json={"reference": SHOP, "candidate": SHOP})
        assert '"verdict":"match"' in told.text


async def test_what_a_server_says_of_its_picture_counts_for_nothing(certificate: Certified) -> None:
    async with opened(certificate, answer(A, 200, "Content-Type: text/html", "Content-Encoding: gzip")) as world:
        assert (await world.compare()).status_code == 200
    async with opened(certificate, answer(b"<html>", 200, "Content-Type: image/png")) as world:
        status, kind, _ = refusal(await world.compare())
        assert (status, kind) == (415, "unsupported_image_type")


async def test_a_redirect_to_an_allowed_host_is_followed_three_times_and_no_more(certificate: Certified) -> None:
    onward = [to(f"https://shop.example/{number}") for number in range(3)]
    async with opened(certificate, *onward, answer(A)) as world:
        fetched = await world.urls._guarded.send("GET", SHOP)
        assert (fetched.body, len(world.server.heard)) == (A, 4)
    async with opened(certificate, to("https://shop.example/")) as world:
        status, kind, told = refusal(await world.compare())
        assert (status, kind) == (422, "image_url_failed")
        assert "redirects more than 3 times" in told


# --- what is not

# An address that is somewhere: a name that the operator allows leads to it.
ADDRESSES: Final[Sequence[str]] = (
    *("127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254"),
    *("169.254.170.2", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1"),
    *("240.0.0.1", "255.255.255.255", "192.88.99.1", "100.100.100.200"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2001:0:4136:e378:8000:63bf:80ff:fffe"),
    *("2001:0:7f00:1::", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "100::1"),
    *("2001:db8::1", "3fff::1", "2001:10::1", "5f00::1"),
)
# What a caller may write: refused before its name is asked for.
URLS: Final[Sequence[str]] = (
    *(f"https://{host}/" for host in ("127.0.0.1", "localhost", "localhost.", "LOCALHOST", "ip6-localhost", "[::1]")),
    *(f"https://{host}/" for host in ("127.1", "2130706433", "0x7f.1", "0x7f000001", "017700000001", "0177.0.0.1")),
    *(f"https://{host}/" for host in ("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[fe80::1%25eth0]", "[2002:7f00:1::]")),
    *(f"https://{host}/" for host in ("[64:ff9b::7f00:1]", "100.64.0.1", "169.254.169.254", "0", "0.0.0.0", "[::]")),
    "https://metadata.google.internal/computeMetadata/v1/",
    "https://metadata/",
    "https://instance-data/",
    "https://127.0.0.1.nip.io/",
    "https://shop.example.evil.example/",
    "https://evilshop.example/",
    "https://shop.example@127.0.0.1/",
    "https://127.0.0.1@shop.example/",
    "https://user:password@shop.example/",
    "https://:@shop.example/",
    "https://127.0.0.1#@shop.example/",
    "https://127.0.0.1?@shop.example/",
    "https://127.0.0.1\\@shop.example/",
    "https://shop.example\\@127.0.0.1/",
    "https://127.0.0.1%2f@shop.example/",
    "https://shop.example%2f@127.0.0.1/",
    "https://shop.example:80/",
    "https://shop.example:8443/",
    "https://shop.example:22/",
    "https://shop.example:0/",
    "https://shop.example:65536/",
    "https://shop.example:99999999/",
    "https://shop.example:a/",
    "http://shop.example/",
    "http://127.0.0.1/",
    "HTTP://shop.example/",
    "ftp://shop.example/",
    "file:///etc/passwd",
    "gopher://shop.example/_a",
    "dict://shop.example:11211/",
    "ldap://shop.example/",
    "jar:https://shop.example/!/a",
    "blob:https://shop.example/a",
    "view-source:https://shop.example/",
    "wss://shop.example/",
    "unix:/run/docker.sock",
    "https:shop.example/a.png",
    "https:///a.png",
    "https:/shop.example/",
    "https://",
    "https://shop.example /",
    " https://shop.example/",
    "\thttps://shop.example/",
    "https://shop.example/\r\nHost: evil.example",
    "https://shop.example/\0",
    "https://shop\t.example/",
    "https://shop.example/ä",
    "https://ｓhop.example/",
    "https://①②⑦.⓪.⓪.①/",
    "https://xn--lcalhost-54a.example/",
    "https://shop.example。/",
    "https://" + "a" * 300 + ".example/",
    "https://shop.example/" + "a" * 2000,
    "https://*.shop.example/",
    "https://shop.example,127.0.0.1/",
    "https://[shop.example]/",
    "https://[::1/",
)


async def test_no_hostile_url_leads_to_a_connection(certificate: Certified) -> None:
    assert len(URLS) > 60
    async with opened(certificate, answer(A)) as world:
        for url in URLS:
            status, kind, told = refusal(await world.compare(url))
            assert (status, kind) in {(422, "image_url_refused"), (400, "malformed_request")}, url
            assert "127.0.0.1" not in told, url
            assert "shop" not in told, url
            assert world.is_untouched, url
            assert world.names.asked == [], url


@pytest.mark.parametrize("address", ADDRESSES)
async def test_an_allowed_name_that_leads_to_such_an_address_is_not_called(
    certificate: Certified, address: str
) -> None:
    for found in ([address], [PUBLIC, address], [address, PUBLIC]):
        async with opened(certificate, answer(A), names=Names(shop_example=[found])) as world:
            status, kind, told = refusal(await world.compare())
            assert (status, kind) == (422, "image_url_refused")
            assert "not at a public address" in told
            assert address not in told
            assert world.is_untouched


async def test_a_name_that_leads_elsewhere_a_moment_later_gains_nothing(certificate: Certified) -> None:
    names = Names(shop_example=[[PUBLIC], [PUBLIC], ["127.0.0.1"]])
    async with opened(certificate, answer(A), names=names) as world:
        assert (await world.compare()).status_code == 200
        assert world.connects.asked == [PUBLIC, PUBLIC]
        assert refusal(await world.compare())[1] == "image_url_refused"
        assert world.connects.asked == [PUBLIC, PUBLIC]


@pytest.mark.parametrize(
    "onward",
    [
        *("https://127.0.0.1/", "//127.0.0.1/", "https://evil.example/", "http://shop.example/", "file:///etc/passwd"),
        *("https://shop.example:8443/", "https://user@shop.example/", "https://inside.shop.example/", "https://[::1]/"),
    ],
)
async def test_a_redirect_is_judged_as_a_url_is(certificate: Certified, onward: str) -> None:
    names = Names(shop_example=[[PUBLIC]], inside_shop_example=[["10.0.0.1"]])
    async with opened(certificate, to(onward), names=names) as world:
        status, kind, _ = refusal(await world.compare())
        assert (status, kind) == (422, "image_url_refused")
        assert set(world.connects.asked) == {PUBLIC}
        assert len(world.server.heard) <= 2  # the first place, for either picture


@pytest.mark.parametrize("host", ["a.shop.example", "A.B.shop.example", "shop.example.", "SHOP.example"])
async def test_the_list_takes_names_below_a_star_and_names_in_any_case(certificate: Certified, host: str) -> None:
    names = Names(**{name.replace(".", "_"): [["10.0.0.1"]] for name in (host, host.lower(), host.lower().rstrip("."))})
    async with opened(certificate, answer(A), names=names) as world:
        told = refusal(await world.compare(f"https://{host}/"))[2]
        assert "public address" in told or "leads nowhere" in told  # let past the list, and no further


# --- what fails


@pytest.mark.parametrize("status", [204, 206, 304, 400, 404, 500])
async def test_an_answer_that_is_no_200_is_told_by_its_status(certificate: Certified, status: int) -> None:
    async with opened(certificate, answer(b"" if status in (204, 304) else b"no", status)) as world:
        told = await world.compare()
        assert refusal(told)[:2] == (422, "image_url_failed")
        assert f"answers {status}." in refusal(told)[2]
        assert told.json()["error"]["field"] in ("/reference", "/candidate")


async def test_a_name_that_leads_nowhere_and_a_server_that_is_none_are_told(certificate: Certified) -> None:
    async with opened(certificate, b"SSH-2.0-OpenSSH\r\n", names=Names()) as world:
        assert "leads nowhere" in refusal(await world.compare())[2]
    async with opened(certificate, b"SSH-2.0-OpenSSH\r\n") as world:
        status, kind, told = refusal(await world.compare())
        assert (status, kind) == (422, "image_url_failed")
        assert told.endswith("It can't be reached, or does not answer in HTTP.")


async def test_a_slow_one_is_given_up_by_its_own_clock_or_the_requests(certificate: Certified) -> None:
    slow = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na" + UNENDED
    async with opened(certificate, slow, timeout_s=0.2) as world:
        assert "no whole answer within 0.2 s" in refusal(await world.compare())[2]
        assert refusal(await world.compare(processing_timeout=0.05))[:2] == (504, "deadline_exceeded")


async def test_a_large_one_is_cut_off(certificate: Certified) -> None:
    limits = Limits(max_image_bytes=len(A) - 1)
    async with opened(certificate, answer(A), limits=limits) as world:
        status, kind, told = refusal(await world.compare())
        assert (status, kind) == (422, "image_url_failed")
        assert f"over {len(A) - 1} bytes" in told


async def test_its_bytes_are_bytes_under_way_until_the_request_has_ended(certificate: Certified) -> None:
    limits = Limits(max_body_bytes=1000, max_bytes_under_way=1000)
    async with opened(certificate, answer(b"\x89PNG\r\n\x1a\n" + bytes(700)), limits=limits) as world:
        status, kind, _ = refusal(await world.compare())
        assert (status, kind) == (503, Overloaded.type)
        small = await world.client.post("/v1/compare", files=[("reference", ("a", b"a")), ("candidate", ("b", b"b"))])
        assert refusal(small)[1] == "unsupported_image_type"  # all was given back


# --- what an operator decides


async def test_it_is_off_as_shipped() -> None:
    settings = Settings()
    app = create_app(pipeline(settings), settings, readiness=AlwaysReady(), logger=logging.Logger("off"))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        told = refusal(await client.post("/v1/compare", json={"reference": SHOP, "candidate": SHOP}))
        page = (await client.get("/openapi.json")).json()
    assert told == (400, "malformed_request", "URL input is not turned on here; send a data: URL.")
    assert "^https://" not in json.dumps(page["paths"]["/v1/compare"])


async def test_the_openapi_page_says_that_urls_are_taken(certificate: Certified) -> None:
    async with opened(certificate, OK) as world:
        page = (await world.client.get("/openapi.json")).json()
    document = page["paths"]["/v1/compare"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert document["properties"]["reference"]["anyOf"][1]["pattern"] == "^https://"


@pytest.mark.parametrize(
    "wrong",
    [
        {"enabled": True},
        {"allowed_hosts": ["*"]},
        {"allowed_hosts": ["https://shop.example"]},
        {"allowed_hosts": ["shop.example:8443"]},
        {"allowed_hosts": ["SHOP.example"]},
        {"allowed_hosts": ["a.*.example"]},
        {"allowed_networks": ["10.0.0.1/8"]},
        {"timeout_s": 0},
        {"timeout_s": 31},
    ],
)
def test_what_an_operator_can_not_mean_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImageUrlSettings.model_validate(wrong)


async def test_networks_of_ones_own_are_called_where_the_operator_says_so(certificate: Certified) -> None:
    names = Names(shop_example=[["10.1.2.3"]])
    async with opened(certificate, answer(A), names=names, allowed_networks=("10.1.0.0/16",)) as world:
        assert (await world.compare()).status_code == 200


async def test_a_job_fetches_its_pictures_before_it_is_taken(certificate: Certified, tmp_path: Path) -> None:
    async with listening(Server(answer(A)), certificate.server) as server:
        world = World(server, certificate, Names(shop_example=[[PUBLIC]]), jobs=desk_in(tmp_path))
        document = {"reference": SHOP, "candidate": SHOP}
        key = {"Idempotency-Key": "one"}
        first, again = [await world.client.post("/v1/jobs", json=document, headers=key) for _ in range(2)]
        assert first.status_code == 202
        assert first.json()["data"]["id"] == again.json()["data"]["id"]
        refused = await world.client.post("/v1/jobs", json={**document, "candidate": "https://127.0.0.1/"})
        assert refusal(refused)[:2] == (422, "image_url_refused")
        await world.client.aclose()


async def test_a_conversation_fetches_its_pictures_in_their_order(certificate: Certified) -> None:
    limits = Limits()
    settings = ImageUrlSettings(enabled=True, allowed_hosts=ALLOWED)
    async with listening(Server(answer(A), answer(B)), certificate.server) as server:
        urls = ImageUrls(
            settings,
            limits.max_image_bytes,
            resolve=Names(shop_example=[[PUBLIC]]),
            connect=Connects(server.port),
            ssl_context=certificate.client,
        )
        asked = await talked(ChatBodies(limits, urls), data_url(B), SHOP, data_url(A))
        assert [len(each.upload.data) for each in asked.sent] == [len(B), len(A), len(A)]
        with pytest.raises(ImageUrlRefused) as refused:
            await talked(ChatBodies(limits, urls), "http://shop.example/")
        assert refused.value.field == "/messages/0/content/0/image_url/url"
        with pytest.raises(MalformedRequest, match="not fetched from URLs here"):
            await talked(ChatBodies(limits), SHOP)


def data_url(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode()


async def talked(bodies: ChatBodies, *urls: str) -> Any:
    """What is read of a conversation about these pictures."""
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    text = json.dumps({"model": "m", "messages": [{"role": "user", "content": parts}]}).encode()

    async def receive() -> Any:
        return {"type": "http.request", "body": text, "more_body": False}

    arrived = Arrival("id", time.time(), RequestRecord(request_id="id", method="POST", path="/"))
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "headers": headers, "pairlens.arrival": arrived}
    return await bodies.read(Request(scope, receive))
