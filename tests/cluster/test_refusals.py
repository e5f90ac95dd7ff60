"""What a refused request leaves behind on a real Ray: no memory of its pictures, no ERROR in a log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import httpx2
import pytest

from serve_app.settings import MIB, Limits, ModelSettings, ScriptedSettings, Settings
from tests.cluster.conftest import Deploy
from tests.cluster.replicas import held_bytes
from tests.cluster.test_service import A, compare, serve_logs
from tests.cluster.waiting import eventually
from tests.serving.hostile.bombs import cut_png
from tests.worlds.samples import card, encoded

TIMES: Final = 50
# Nothing grows by itself; what the allocator does with the odd buffer is a few MiB.
GROWTH_BYTES: Final = 50 * MIB


REFUSALS: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    "cut off": (422, {"second": cut_png((3000, 2000))}),
    "cut off, both": (422, {"first": cut_png((3000, 2000)), "second": cut_png((3000, 2000))}),
    "cut off JPEG": (422, {"second": encoded(card(size=(3000, 2000)), "JPEG")[:-9000]}),
    "too many pixels": (422, {"second": cut_png((19_000, 19_000))}),
    "another kind": (415, {"second": b"%!PS-Adobe-3.0 EPSF-3.0" + bytes(300_000)}),
    "config": (422, {"similarity_threshold": 2}),
    "no time": (504, {"processing_timeout": 0.1}),
}


@pytest.fixture(scope="module")
def url(deploy: Deploy) -> Iterator[str]:
    """With a model that never ends in the time that a caller gives it here."""
    model = ModelSettings(engine="scripted", scripted=ScriptedSettings(delay_s=2, label=1))
    with deploy(Settings(model=model, limits=Limits(max_pending_requests=200))) as served:
        yield served


def errors() -> list[str]:
    logged = "\n".join(log.read_text(errors="replace") for log in serve_logs().glob("replica_*.log"))
    return [line for line in logged.splitlines() if '"levelname": "ERROR"' in line or "Traceback" in line]


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_leaves_neither_memory_nor_an_error(url: str, kind: str) -> None:
    status, request = REFUSALS[kind]
    compare(url, second=A)  # every module is imported
    for _ in range(3):
        assert compare(url, **request).status_code == status
    before, errors_before = held_bytes(url), errors()
    assert len(before) == 3
    for _ in range(TIMES):
        response = compare(url, **request)
        assert response.status_code == status, response.text

    def settled() -> bool:
        return all(held - before[process] < GROWTH_BYTES for process, held in held_bytes(url).items())

    eventually(settled, within_s=10)
    assert held_bytes(url).keys() == before.keys()
    assert errors()[len(errors_before) :] == []


def test_what_the_log_says_of_a_refusal_is_one_line_a_request(url: str) -> None:
    compare(url, second=b"no picture", focus_elements=["a word of a caller"])
    named = httpx2.get(f"{url}/livez").json()["request_id"]
    lines: list[str] = []

    def logged() -> bool:
        lines[:] = [line for log in serve_logs().glob("replica_*Ingress*") for line in log.read_text().splitlines()]
        return any(json.loads(line).get("id") == named for line in lines)

    eventually(logged, within_s=10)
    (refused,) = [json.loads(line) for line in lines if '"unsupported_image_type"' in line][-1:]
    assert (refused["levelname"], refused["outcome"], refused["status"]) == ("INFO", "refused", 415)
