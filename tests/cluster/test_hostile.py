"""What Serve's own proxy does with hostile requests, which no app in a test process can show."""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx2
import pytest

from serve_app.settings import Settings
from tests.cluster.conftest import Deploy
from tests.cluster.test_service import compare, serve_logs
from tests.cluster.waiting import eventually
from tests.serving.hostile import wire
from tests.serving.hostile.bodies import MARK

ODD_VALUES = [value for value in wire.VALUES if len(value) < 400]
LEAVERS = 60
TIMEOUT_S = 0.3


@pytest.fixture(scope="module")
def url(deploy: Deploy) -> Iterator[str]:
    with deploy(Settings()) as url:
        yield url


def place(url: str) -> tuple[tuple[str, int], str]:
    """The proxy's address, and the path of the application at it."""
    found = httpx2.URL(url)
    return (found.host, found.port or 80), found.path


def logs() -> str:
    """Serve's and the workers'."""
    folder = serve_logs().parent
    files = [*folder.glob("serve/*.log"), *folder.glob("worker-*.err"), *folder.glob("worker-*.out")]
    return "\n".join(file.read_text(errors="replace") for file in files)


@pytest.mark.parametrize("name", wire.BELIEVED)
def test_a_field_that_serve_reads_changes_nothing(url: str, name: str) -> None:
    address, app = place(url)
    found = {}
    for value in ODD_VALUES:
        line = name.encode() + b": " + value
        requests = {target: wire.request(app + target, line) for target in ("/livez", "/v1/limits")}
        requests["/v1/compare"] = wire.comparison(line, target=f"{app}/v1/compare")
        for target, sent in requests.items():
            answers, _ = wire.ask(address, sent)
            found[f"{target} {value!r}"] = [answer.status for answer in answers]
    assert {case: statuses for case, statuses in found.items() if statuses != [200]} == {}


@pytest.mark.parametrize("given", wire.BAD_IDS, ids=lambda given: ascii(given[:30]))
def test_a_wrong_id_is_replaced_in_header_body_and_log(url: str, given: bytes) -> None:
    address, app = place(url)
    line = b"X-Request-ID: " + given
    for target in ("/livez", "/no-such-route"):
        answers, _ = wire.ask(address, wire.request(app + target, line))
        assert wire.wrong_id(answers, None) is None
    answers, _ = wire.ask(address, wire.comparison(line, target=f"{app}/v1/compare"))
    assert wire.wrong_id(answers, None) is None
    threading.Event().wait(0.1)
    assert MARK not in logs()


@pytest.mark.parametrize("given", wire.GOOD_IDS, ids=lambda given: given[:10].decode())
def test_a_right_id_comes_back(url: str, given: bytes) -> None:
    address, app = place(url)
    answers, _ = wire.ask(address, wire.request(f"{app}/v1/limits", b"X-Request-ID: " + given))
    assert wire.wrong_id(answers, given) is None


def test_what_is_no_request_is_refused_and_never_redirected(url: str) -> None:
    address, app = place(url)
    found = {
        name: wire.wrong_answer(wire.ask(address, sent, patience_s=0.5)[0])
        for target in ("/livez", "/v1/compare", "/no-such-route")
        for name, sent in wire.malformed(app + target)
        if b" " + app.encode() in sent  # else it is no request to this application
    }
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert httpx2.get(f"{url}/livez").status_code == 200


def test_a_hidden_request_is_not_answered(url: str) -> None:
    address, app = place(url)
    hidden = wire.HIDDEN.replace(b"/version", app.encode() + b"/version")
    seen, _ = wire.ask(address, hidden.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert wire.wrong_to_hidden(seen) == "what was hidden is answered", "it would be known by its answer"
    found = {
        name: wire.wrong_to_hidden(wire.ask(address, sent.replace(wire.HIDDEN, hidden), patience_s=0.5)[0])
        for name, sent in wire.smuggled(f"{app}/v1/compare")
    }
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_who_leaves_early_is_no_fault_of_ours(url: str) -> None:
    address, app = place(url)
    whole, dice = wire.comparison(target=f"{app}/v1/compare"), random.Random(1)
    head = whole.index(b"\r\n\r\n")
    before = len(logs())
    for number in range(LEAVERS):
        sent = (head // 2, head + 4, dice.randrange(head + 5, len(whole)), len(whole) - 1)[number % 4]
        with suppress(OSError), socket.create_connection(address, timeout=10) as caller:
            if number % 2:  # a reset instead of an end
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            caller.sendall(whole[:sent])
            time.sleep(dice.choice((0.0, 0.005, 0.01, 0.02)))
    assert compare(url).status_code == 200
    outcomes: list[str] = []

    def logged() -> bool:
        files = serve_logs().glob(f"replica_{app.strip('/')}_Ingress*")
        lines = [line for log in files for line in log.read_text().splitlines()]
        requests = [json.loads(line) for line in lines if '"message": "request"' in line]
        outcomes[:] = [each["outcome"] for each in requests if each["path"] == "/v1/compare"]
        return outcomes.count("client_left") > LEAVERS / 4

    eventually(logged, within_s=10)
    assert "failed" not in outcomes
    assert "bug: " not in logs()[before:]
