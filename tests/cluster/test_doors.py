"""What stands between a caller and the stages may die: HTTP doors, killed while they hold requests."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

import httpx2
import ray
from ray import serve
from ray.exceptions import RayError

from serve_app.settings import ModelSettings, ScriptedSettings, Settings
from tests.cluster.conftest import Deploy
from tests.cluster.test_service import compare, kill_replica_of, replica_ids
from tests.cluster.waiting import eventually

JOB_S = 1.0


def test_a_killed_ingress_replica_costs_nobody_an_answer(deploy: Deploy) -> None:
    with deploy(Settings(model=ModelSettings(engine="scripted", scripted=ScriptedSettings(delay_s=JOB_S)))) as url:
        answers: list[httpx2.Response] = []
        asking = [threading.Thread(target=lambda: answers.append(compare(url))) for _ in range(3)]
        for thread in asking:
            thread.start()
        threading.Event().wait(JOB_S / 2)  # the ingress has them, nobody has an answer
        kill_replica_of("Ingress", url.rsplit("/", 1)[1])
        for thread in asking:
            thread.join()

    assert [answer.status_code for answer in answers] == [200, 200, 200]


def test_readiness_does_not_flicker_while_an_ingress_replica_is_replaced(deploy: Deploy) -> None:
    """A replica that has seen no comparison pass would say so, and it answers every second question."""
    settings = Settings(model=ModelSettings(engine="scripted", scripted=ScriptedSettings(delay_s=JOB_S)))
    with deploy(settings, ingress_replicas=2) as url:
        handle = serve.get_app_handle(url.rsplit("/", 1)[1])
        eventually(lambda: handle.broadcast("is_ready").results(timeout_s=10) == [True, True], within_s=30)
        before = replica_ids(url, "Ingress")
        kill_replica_of("Ingress", url.rsplit("/", 1)[1])
        said: list[int] = []

        def replaced() -> bool:
            said.append(httpx2.get(f"{url}/readyz").status_code)
            with suppress(RayError):
                joined = handle.broadcast("is_ready").results(timeout_s=10)
                return joined == [True, True] and bool(replica_ids(url, "Ingress") - before)
            return False  # the dead one is still on the handle's list

        eventually(replaced, within_s=60)
        said += [httpx2.get(f"{url}/readyz").status_code for _ in range(20)]
    assert set(said) == {200}


def test_readiness_holds_while_the_controller_restarts(deploy: Deploy) -> None:
    with deploy(Settings()) as url:
        controller = ray.get_actor("SERVE_CONTROLLER_ACTOR", namespace="serve")
        before = ray.get(controller.get_pid.remote())
        os.kill(before, signal.SIGKILL)
        said: list[int] = []

        def restarted() -> bool:
            said.append(httpx2.get(f"{url}/readyz").status_code)
            ready, _ = ray.wait([asked], timeout=0)
            return bool(ready)

        asked = controller.get_pid.remote()  # answered by the next one
        eventually(restarted, within_s=60)
        assert ray.get(asked) != before
        said += [httpx2.get(f"{url}/readyz").status_code for _ in range(20)]
    assert set(said) == {200}


def test_what_is_not_there_is_told_in_the_usual_envelope(ray_url: str) -> None:
    answer = httpx2.get(f"{ray_url}/no-such-application/v1/compare")
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "not_ready")
    assert answer.headers["retry-after"]
