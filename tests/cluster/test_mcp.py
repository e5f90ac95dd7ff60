"""The tool for agents inside Serve's replicas: built there, and any of them answers any request."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2

from serve_app.settings import ModelSettings, ScriptedSettings, Settings
from tests.cluster.conftest import Deploy
from tests.cluster.test_service import kill_replica_of, serve_logs
from tests.rigs.agent import MODES, call, client, data_url, images, posted, text
from tests.worlds.samples import card, encoded

A, B = data_url(encoded(card())), data_url(encoded(card("red")))


def test_an_agent_is_answered_by_replicas_in_turn(deploy: Deploy) -> None:
    async def asked(url: str, mode: str) -> list[Any]:
        async with client(url, mode) as agent:
            assert [tool.name for tool in (await agent.list_tools()).tools] == ["compare_images"]
            calls = [{"reference": A, "candidate": B}, {"reference": A, "candidate": A}, {"reference": A}]
            return [await agent.call_tool("compare_images", arguments) for arguments in calls for _ in range(3)]

    with deploy(Settings(), ingress_replicas=2) as url:
        for mode in MODES:
            told = asyncio.run(asked(url, mode))
            assert [result.is_error for result in told] == [False] * 6 + [True] * 3
            assert told[0].structured_content["differences"][0]["candidate_box"] == [120, 60, 30, 30]
            assert [len(images(result)) for result in told] == [1] * 3 + [0] * 6
            assert text(told[-1]).startswith("two_images_required: ")
        refused = posted(url, call(reference=A, candidate=A), host="evil.example")
        assert (refused.status_code, refused.json()["error"]["type"]) == (403, "not_allowed")
        assert httpx2.get(f"{url}/mcp").status_code == 405
        none = posted(url, b"{")
        assert (none.status_code, none.json()["error"]["code"]) == (400, -32600)
    logged = "\n".join(log.read_text(errors="replace") for log in serve_logs().glob("replica_*.log"))
    assert '"path": "/mcp"' in logged
    assert A[-40:] not in logged


def test_a_killed_replica_costs_an_agent_no_answer(deploy: Deploy) -> None:
    scripted = ModelSettings(engine="scripted", scripted=ScriptedSettings(delay_s=1.0))

    async def asked(url: str) -> Any:
        async with client(url, "auto") as agent:
            asking = asyncio.create_task(agent.call_tool("compare_images", {"reference": A, "candidate": B}))
            await asyncio.sleep(0.5)  # the ingress has it, nobody has an answer
            await asyncio.to_thread(kill_replica_of, "Ingress", url.rsplit("/", 1)[1])
            return await asking

    with deploy(Settings(model=scripted)) as url:
        assert asyncio.run(asked(url)).is_error is False
