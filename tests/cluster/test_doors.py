"""What stands between a caller and the stages may die: HTTP doors, killed while they hold requests."""

from __future__ import annotations

import threading

import httpx

from serve_app.settings import ModelSettings, ScriptedSettings, Settings
from tests.cluster.conftest import Deploy
from tests.cluster.test_service import compare, kill_replica_of

JOB_S = 1.0


def test_a_killed_ingress_replica_costs_nobody_an_answer(deploy: Deploy) -> None:
    with deploy(Settings(model=ModelSettings(engine="scripted", scripted=ScriptedSettings(delay_s=JOB_S)))) as url:
        answers: list[httpx.Response] = []
        asking = [threading.Thread(target=lambda: answers.append(compare(url))) for _ in range(3)]
        for thread in asking:
            thread.start()
        threading.Event().wait(JOB_S / 2)  # the ingress has them, nobody has an answer
        kill_replica_of("Ingress", url.rsplit("/", 1)[1])
        for thread in asking:
            thread.join()

    assert [answer.status_code for answer in answers] == [200, 200, 200]


def test_what_is_not_there_is_told_in_the_usual_envelope(ray_url: str) -> None:
    answer = httpx.get(f"{ray_url}/no-such-application/v1/compare")
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "not_ready")
    assert answer.headers["retry-after"]
