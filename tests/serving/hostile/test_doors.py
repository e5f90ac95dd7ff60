"""Odd bodies meet the status that is foreseen, in the usual envelope, and repeat nothing; none costs much memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import httpx2
import pytest

from serve_app.schema import Envelope
from tests.serving.hostile import doors, service
from tests.serving.hostile.bodies import MARK, SMALL, small_values
from tests.serving.hostile.doors import FINE, Door


async def sent(client: httpx2.AsyncClient, door: Door, route: str = "/v1/compare") -> httpx2.Response:
    headers = [(b"content-type", door.content_type.encode("latin-1"))]
    headers += [(name.encode(), value.encode()) for name, value in door.headers.items()]
    return await client.post(route, content=door.body, headers=headers)


def as_jobs(answers: frozenset[int]) -> frozenset[int]:
    """What may be answered where nothing is compared yet: what no picture is, is taken, and fails later."""
    if answers == FINE:
        return frozenset({202})
    return (answers - {200, 415, 504}) | {202}


def problem(response: httpx2.Response, answers: frozenset[int]) -> str | None:
    """What is wrong with this answer."""
    if response.status_code not in answers:
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
        found = {door.name: problem(await sent(opened.client, door), door.answers) for door in doors.KINDS[kind]()}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert opened.log.errors == []
    assert MARK not in "".join(opened.log.lines)


@pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")
@pytest.mark.parametrize("kind", doors.KINDS)
async def test_odd_bodies_of_jobs_are_answered_as_foreseen(kind: str, tmp_path: Path) -> None:
    found = {}
    async with service.opened(jobs=tmp_path) as opened:
        for door in doors.KINDS[kind]():
            found[door.name] = problem(await sent(opened.client, door, "/v1/jobs"), as_jobs(door.answers))
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert opened.log.errors == []
    assert MARK not in "".join(opened.log.lines)


@pytest.mark.parametrize("url", doors.PLACES_TO_TELL)
async def test_odd_places_to_tell_are_refused_in_both_kinds_of_body(url: Any, tmp_path: Path) -> None:
    async with service.opened(jobs=tmp_path) as opened:
        answers = [await sent(opened.client, door, "/v1/jobs") for door in doors.telling(url)]
    assert [problem(answer, frozenset({400})) for answer in answers] == [None] * len(answers)
    assert opened.log.errors == []


@pytest.mark.parametrize(("method", "path", "headers", "answers"), doors.JOB_ROUTES)
async def test_odd_questions_about_jobs_are_answered_as_foreseen(
    method: str, path: str, headers: dict[str, bytes], answers: frozenset[int], tmp_path: Path
) -> None:
    async with service.opened(jobs=tmp_path) as opened:
        raw = [(name.encode(), value) for name, value in headers.items()]
        response = await opened.client.request(method, path, headers=raw)
    assert problem(response, answers) is None
    assert opened.log.errors == []


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
