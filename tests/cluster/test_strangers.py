"""What strangers send through Serve's real proxy: headers that it believes, bodies that are too large or too many."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import httpx2
import pytest

from serve_app.settings import MIB, Limits, Settings
from tests.cluster.conftest import Deploy
from tests.cluster.replicas import held_bytes
from tests.cluster.test_service import compare, serve_logs
from tests.cluster.waiting import eventually

FORM: Final = b'--b\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\n'
CHUNK: Final = b"10000\r\n" + b"a" * 65536 + b"\r\n"


@pytest.fixture(scope="module")
def url(deploy: Deploy) -> Iterator[str]:
    with deploy(Settings(limits=Limits(max_pending_requests=200)), ingress_replicas=2) as served:
        yield served


BELIEVED: Final = (
    "x-request-id",
    "x-request-timeout-seconds",
    "x-request-disconnect-disabled",
    "serve-multiplexed-model-id",
    "serve_multiplexed_model_id",
    "x-session-id",
)


@pytest.mark.parametrize("name", BELIEVED)
@pytest.mark.parametrize("value", [b"\xff\xfe", b'evil"<script>', b"x" * 4000, b""])
def test_no_header_breaks_an_answer(url: str, name: str, value: bytes) -> None:
    answer = httpx2.get(f"{url}/livez", headers=[(name.encode(), value)])
    assert answer.status_code == 200
    (named,) = answer.headers.get_list("x-request-id")
    assert re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", named)
    assert named == answer.json()["request_id"]


def test_an_id_that_is_not_plain_stands_in_no_log(url: str) -> None:
    given = 'mark-of-a-stranger"<script>'
    httpx2.get(f"{url}/livez", headers={"x-request-id": given})
    last = httpx2.get(f"{url}/livez").json()["request_id"]
    logs: list[str] = []

    def written() -> bool:
        logs[:] = [log.read_text(errors="replace") for log in serve_logs().glob("*.log")]
        return any(f'"id": "{last}"' in log for log in logs)

    eventually(written, within_s=10)
    assert "mark-of-a-stranger" not in "".join(logs)


def test_a_target_that_is_no_path_is_not_found(url: str) -> None:
    address = httpx2.URL(url)
    with socket.create_connection((address.host, address.port or 80), timeout=30) as stranger:
        stranger.sendall(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: stranger.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == b"404"
    assert json.loads(body)["error"]["type"] == "not_found"


def in_chunks(url: str, kind: str, start: bytes, num_bytes: int) -> int:
    """Sends a body of no told length, and says what status came."""
    address = httpx2.URL(url)
    with socket.create_connection((address.host, address.port or 80), timeout=60) as stranger:
        head = (
            f"POST {address.path}/v1/compare HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: {kind}"
        )
        stranger.sendall(head.encode() + b"\r\n\r\n" + b"%x\r\n%b\r\n" % (len(start), start))
        for _ in range(num_bytes // 65536):
            stranger.sendall(CHUNK)
        return int(stranger.recv(65536).split()[1])


def growth(url: str, work: Callable[[], object]) -> int:
    """By how many bytes proxy and ingress replicas together grew at most while `work` went on."""
    before = most = sum(held_bytes(url, "Ingress", and_proxy=True).values())
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.05):
            most = max(most, sum(held_bytes(url, "Ingress", and_proxy=True).values()))

    with ThreadPoolExecutor(1) as watching:
        watched = watching.submit(watch)
        try:
            work()
        finally:
            done.set()
        watched.result()
    return most - before


@pytest.mark.parametrize(
    ("kind", "start"), [("multipart/form-data; boundary=b", FORM), ("application/json", b'{"reference":"')]
)
def test_ten_bodies_over_the_limit_cost_no_more_than_one_may(url: str, kind: str, start: bytes) -> None:
    def ten_at_once() -> None:
        with ThreadPoolExecutor(10) as threads:
            codes.extend(threads.map(lambda _: in_chunks(url, kind, start, 100 * MIB), range(10)))

    codes: list[int] = []
    for _ in range(4):  # both replicas have written a large one
        compare(url, first=bytes(4 * MIB))
    grown = growth(url, ten_at_once)
    assert set(codes) == {413, 503}
    assert grown <= 64 * MIB


def test_sixteen_large_json_bodies_cost_what_a_few_may(url: str) -> None:
    body = b'{"reference":"data:image/png;base64,' + b"A" * 60_000_000 + b'","candidate":"x"}'

    def sixteen_at_once() -> None:
        def send(_: int) -> int:
            headers = {"content-type": "application/json"}
            return httpx2.post(f"{url}/v1/compare", content=body, headers=headers, timeout=120).status_code

        with ThreadPoolExecutor(16) as threads:
            codes.extend(threads.map(send, range(16)))

    codes: list[int] = []
    grown = growth(url, sixteen_at_once)
    assert set(codes) == {400, 503}
    assert 1 <= codes.count(400) <= Limits().max_bytes_under_way // len(body)
    assert grown <= 300 * MIB
