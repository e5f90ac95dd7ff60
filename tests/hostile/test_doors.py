"""Odd bodies meet the status that is foreseen, in the usual envelope, and repeat nothing; none costs much memory."""

from __future__ import annotations

import tracemalloc

import httpx2
import pytest

from serve_app.schema import Envelope
from tests.hostile import doors, service
from tests.hostile.bodies import MARK, SMALL, small_values
from tests.hostile.doors import Door


async def sent(client: httpx2.AsyncClient, door: Door) -> httpx2.Response:
    headers = [(b"content-type", door.content_type.encode("latin-1"))]
    headers += [(name.encode(), value.encode()) for name, value in door.headers.items()]
    return await client.post("/v1/compare", content=door.body, headers=headers)


def problem(response: httpx2.Response, door: Door) -> str | None:
    """What is wrong with this answer."""
    if response.status_code not in door.answers:
        return f"{response.status_code} {response.text[:100]}"
    if MARK in response.text or MARK in str(response.headers):
        return "repeats what was sent"
    answer = Envelope[object].model_validate_json(response.content)
    if answer.code != response.status_code or response.headers.get_list("x-request-id") != [answer.request_id]:
        return "no envelope of ours"
    return None


# Starlette leaves a file that a form without an end had begun to the collector, which closes it at once.
@pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")
@pytest.mark.parametrize("kind", doors.KINDS)
async def test_odd_bodies_are_answered_as_foreseen(kind: str) -> None:
    async with service.opened() as opened:
        found = {door.name: problem(await sent(opened.client, door), door) for door in doors.KINDS[kind]()}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert opened.log.errors == []
    assert MARK not in "".join(opened.log.lines)


@pytest.mark.parametrize("value", SMALL)
async def test_many_small_values_cost_little_more_than_their_bytes(value: str) -> None:
    body = small_values(4_000_000, value)
    async with service.opened() as opened:
        await sent(opened.client, Door("small", "application/json", small_values(100, value)))
        tracemalloc.start()
        try:
            response = await sent(opened.client, Door("many", "application/json", body))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert response.status_code in (400, 422)
    assert peak < 4 * len(body), f"{peak / len(body):.0f} bytes a byte"
