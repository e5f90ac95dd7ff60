"""Right requests of every door, after a few changes: an answer or a refusal as foreseen, and nothing repeated."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.serving.hostile import altered, service
from tests.serving.hostile.altered import Altered, Kind

SENT = 120
PDFS = 15


async def problems(sent: list[Altered], folder: Path) -> dict[str, str]:
    found = {}
    async with service.with_all_doors(folder) as opened:
        for number, request in enumerate(sent):
            headers = {"content-type": request.content_type, **request.headers}
            answer = await opened.client.post(request.route, content=request.body, headers=headers)
            if wrong := altered.problem(request, answer.status_code, answer.text):
                found[f"{number}: {request}"] = wrong
    assert opened.log.errors == []
    return found


# Starlette leaves a file that a form without an end had begun to the collector, which closes it at once.
@pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")
@pytest.mark.parametrize("kind", altered.kinds(), ids=lambda kind: kind.route)
async def test_altered_requests_are_answered_as_foreseen(kind: Kind, tmp_path: Path) -> None:
    dice = random.Random(kind.route)
    assert await problems([altered.altered(kind, dice) for _ in range(SENT)], tmp_path) == {}


@pytest.mark.parametrize("kind", altered.kinds(), ids=lambda kind: kind.route)
async def test_unaltered_they_are_answered(kind: Kind, tmp_path: Path) -> None:
    body = kind.written(kind.right())
    async with service.with_all_doors(tmp_path) as opened:
        headers = {"content-type": kind.content_type, **kind.headers}
        answer = await opened.client.post(kind.route, content=body, headers=headers)
    assert answer.status_code in (200, 202), answer.text
    assert '"isError":true' not in answer.text


async def test_altered_documents_of_pages_are_answered_as_foreseen(tmp_path: Path) -> None:
    dice = random.Random(3)
    assert await problems([altered.pdf_batch(dice) for _ in range(PDFS)], tmp_path) == {}
