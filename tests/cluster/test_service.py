"""What only a real Ray can show: HTTP through the proxy, clocks across processes, lost callers, lost workers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import ray
from PIL import Image
from ray import serve

from serve_app.settings import MIB, Limits, ModelSettings, ScriptedSettings, Settings
from tests.cluster.conftest import Deploy
from tests.cluster.waiting import eventually
from tests.ocr.drawn import changed, picture
from tests.worlds import checkpoints
from tests.worlds.samples import card, encoded

A, B = encoded(card()), encoded(card("red"))
JOB_S = 2.5  # long against what a busy machine adds to a hop, so that a wait for a lost job stands out


def serve_logs() -> Path:
    return Path(ray._private.worker.global_worker.node.get_session_dir_path()) / "logs" / "serve"


def compare(
    url: str, *, patience_s: float = 60, first: bytes = A, second: bytes = B, kept: bool = False, **config: Any
) -> httpx2.Response:
    """`kept`: whether a report that is there will do; else it is computed."""
    return httpx2.post(
        f"{url}/v1/compare",
        files=[("files", ("a", first)), ("files", ("b", second))],
        data={"config": json.dumps(config)},
        headers={} if kept else {"cache-control": "no-store"},
        timeout=patience_s,
    )


def scripted(**behaviour: Any) -> Settings:
    return Settings(model=ModelSettings(engine="scripted", scripted=ScriptedSettings(**behaviour)))


@pytest.fixture(scope="module")
def measured_url(deploy: Deploy) -> Iterator[str]:
    with deploy(Settings(limits=Limits(max_body_bytes=1_000_000))) as url:
        yield url


@pytest.fixture(scope="module")
def slow_url(deploy: Deploy) -> Iterator[str]:
    with deploy(scripted(delay_s=JOB_S, label=1)) as url:
        yield url


def test_a_pair_gets_a_report_without_a_model(measured_url: str) -> None:
    response = compare(measured_url, focus_elements=["the square"])
    answer = response.json()
    assert (response.status_code, answer["code"], answer["msg"]) == (200, 200, "ok")
    report = answer["data"]
    assert report["model"]["status"] == "disabled"
    assert report["verdict"] == ("match" if report["similarity"] >= 0.8 else "mismatch")
    assert 0.5 < report["similarity"] < 1.0
    (found,) = report["differences"]
    assert found["evidence"] == "measured_only"
    assert found["candidate_box"] == [120, 60, 30, 30]
    assert report["focus_elements"][0]["status"] == "unassessed"


def test_an_equal_request_gets_the_same_report_again(measured_url: str) -> None:
    asked: dict[str, Any] = {"focus_elements": ["what nobody asked before"], "visuals": ["overlay"]}
    first, again = (compare(measured_url, kept=True, **asked).json()["data"] for _ in range(2))
    assert (first.pop("cached"), again.pop("cached")) == (False, True)
    assert (first.pop("timings_ms")["measure"] > 0, again.pop("timings_ms")["measure"]) == (True, 0)
    assert first == again


def test_a_caller_who_leaves_does_not_take_along_those_who_ask_the_same(slow_url: str) -> None:
    """Serve cancels all calls that were made in the name of a request whose caller has gone."""
    asked: dict[str, Any] = {"kept": True, "focus_elements": ["what two ask at once"]}
    with ThreadPoolExecutor() as threads:
        leaving = threads.submit(compare, slow_url, patience_s=JOB_S / 2, **asked)
        ingress = serve.get_app_handle(slow_url.rsplit("/", 1)[1])
        eventually(lambda: ingress.broadcast("pending").results(timeout_s=10) == [1], within_s=10)
        staying = threads.submit(compare, slow_url, **asked)
        assert isinstance(leaving.exception(), httpx2.ReadTimeout)
        answer = staying.result()
    assert answer.status_code == 200
    assert answer.json()["data"]["cached"] is True, "it was not begun again"


def test_a_file_against_itself_matches(measured_url: str) -> None:
    report = compare(measured_url, second=A).json()["data"]
    assert (report["verdict"], report["similarity"], report["differences"]) == ("match", 1.0, [])
    assert report["measurement"]["identical"] is True


@pytest.mark.parametrize(
    ("second", "status", "kind"),
    [(b"%!PS-Adobe-3.0 EPSF-3.0", 415, "unsupported_image_type"), (B[:200], 422, "image_unreadable")],
)
def test_a_refusal_of_the_preprocessor_hides_the_replica(
    measured_url: str, second: bytes, status: int, kind: str
) -> None:
    response = compare(measured_url, second=second)
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["image"]) == (status, kind, "candidate")
    for secret in ("Traceback", "pid=", "ip=", "ray", "Preprocessor", "/"):
        assert secret not in error["detail"]


def test_a_body_over_the_limit_is_refused(measured_url: str) -> None:
    response = compare(measured_url, second=bytes(2_000_000))
    assert (response.status_code, response.json()["error"]["type"]) == (413, "body_too_large")


def test_the_request_id_is_one_and_the_same_everywhere(measured_url: str) -> None:
    given = httpx2.get(f"{measured_url}/livez", headers={"x-request-id": "given-by-the-caller"})
    assert given.json()["request_id"] == "given-by-the-caller"
    assert given.headers.get_list("x-request-id") == ["given-by-the-caller"]
    made = httpx2.get(f"{measured_url}/livez")
    assert made.headers.get_list("x-request-id") == [made.json()["request_id"]]


def test_a_request_leaves_one_json_line_in_the_log(measured_url: str) -> None:
    compare(measured_url, focus_elements=["a secret word"])
    marked = str(time.time())
    httpx2.get(f"{measured_url}/livez", headers={"x-request-id": marked})
    lines: list[str] = []

    def logged() -> bool:
        logs = serve_logs().glob("replica_*Ingress*")
        lines[:] = [line for log in logs for line in log.read_text().splitlines() if '"message": "request"' in line]
        return any(json.loads(line).get("id") == marked for line in lines)

    eventually(logged, within_s=10)
    assert any(json.loads(line).get("verdict") for line in lines)
    assert "a secret word" not in "".join(lines)


def test_a_changed_word_is_read_in_the_replica_and_stays_out_of_its_logs(measured_url: str) -> None:
    one, two = (encoded(Image.fromarray(picture(changed("A9914", word)))) for word in ("A9914", "K7705"))
    report = compare(measured_url, first=one, second=two).json()["data"]
    assert report["measurement"]["text"]["status"] == "read"
    (found,) = report["differences"]
    assert (found["text"]["reference"], found["text"]["candidate"]) == ("LOT A9914", "LOT K7705")
    assert report["summary"].startswith('Text changed from "A9914" to "K7705".')
    assert report["timings_ms"]["read"] > 0
    logs = "".join(log.read_text() for log in serve_logs().glob("replica_*"))
    assert "K7705" not in logs
    assert "A9914" not in logs


def test_the_scripted_model_names_what_was_measured(slow_url: str) -> None:
    report = compare(slow_url, comparison_aspects=["color", "content"], focus_elements=["the square"]).json()["data"]
    assert report["model"]["status"] == "answered"
    assert report["differences"][0]["evidence"] == "confirmed"
    assert all(aspect["score"] is not None for aspect in report["aspects"])
    assert report["focus_elements"][0]["status"] != "unassessed"


def test_a_pair_larger_than_a_call_of_grpc_may_be_by_default_gets_a_report(slow_url: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    first, second = (encoded(Image.fromarray(picture), compress_level=0) for picture in (noise, 255 - noise))
    assert len(first) + len(second) > 4 * MIB
    assert compare(slow_url, first=first, second=second).status_code == 200


def test_a_deadline_stops_the_model_and_delays_nobody(slow_url: str) -> None:
    late = compare(slow_url, processing_timeout=0.7)
    assert (late.status_code, late.json()["error"]["type"]) == (504, "deadline_exceeded")
    assert late.json()["msg"] == "Processing timed out"
    after = compare(slow_url).json()["data"]["timings_ms"]
    assert after["queue"] < (JOB_S - 0.7) * 1000 / 2, "the next request waited for a job that had been given up"


def test_our_deadline_does_not_depend_on_a_header_of_the_server(slow_url: str) -> None:
    files = [("files", ("a", A)), ("files", ("b", B))]
    response = httpx2.post(
        f"{slow_url}/v1/compare",
        files=files,
        data={"config": json.dumps({"processing_timeout": 0.7, "language": "zh"})},
        headers={"x-request-timeout-seconds": "0", "cache-control": "no-store"},
        timeout=30,
    )
    assert (response.status_code, response.json()["msg"]) == (504, "处理超时")


def test_a_wait_that_would_outlast_the_deadline_is_refused_at_once(slow_url: str) -> None:
    first = threading.Thread(target=compare, args=(slow_url,))
    first.start()
    ingress = serve.get_app_handle(slow_url.rsplit("/", 1)[1])
    eventually(lambda: ingress.broadcast("pending").results(timeout_s=10) == [1], within_s=10)
    response = compare(slow_url, processing_timeout=JOB_S * 0.9)
    assert (response.status_code, response.json()["error"]["type"]) == (503, "overloaded")
    assert int(response.headers["retry-after"]) >= 1
    assert response.elapsed.total_seconds() < JOB_S / 2
    first.join()


def test_a_client_that_leaves_frees_the_model(slow_url: str) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        compare(slow_url, patience_s=0.7)
    after = compare(slow_url).json()["data"]["timings_ms"]
    assert after["queue"] < (JOB_S - 0.7) * 1000 / 2


def test_a_lost_model_is_a_503_or_a_retried_200_and_comes_back(slow_url: str) -> None:
    answers: list[httpx2.Response] = []
    asking = [threading.Thread(target=lambda: answers.append(compare(slow_url))) for _ in range(3)]
    for thread in asking:
        thread.start()
    kill_replica_of("VLModel", slow_url.rsplit("/", 1)[1])
    eventually(lambda: httpx2.get(f"{slow_url}/readyz").status_code == 503, within_s=5)
    for thread in asking:
        thread.join()
    assert {answer.status_code for answer in answers} <= {200, 503}
    for answer in answers:
        assert answer.status_code == 200 or answer.headers["retry-after"]
    eventually(lambda: httpx2.get(f"{slow_url}/readyz").status_code == 200, within_s=60)
    assert compare(slow_url).status_code == 200


def kill_replica_of(deployment: str, app: str) -> None:
    """SIGKILL for the process of a replica."""
    named = ray.util.list_named_actors(all_namespaces=True)
    name, *_ = (actor for actor in named if actor["name"].startswith(f"SERVE_REPLICA::{app}#{deployment}#"))
    ray.kill(ray.get_actor(name["name"], namespace=name["namespace"]), no_restart=True)


def test_a_broken_model_tells_nothing_of_itself(deploy: Deploy) -> None:
    with deploy(scripted(fails=True), ready=False) as url:
        response = compare(url)
        assert (response.status_code, response.json()["error"]["type"]) == (500, "internal")
        for secret in ("scripted", "/secret", "1234", "Traceback", "pid"):
            assert secret not in response.text
        alone = compare(url, on_model_failure="measurement").json()["data"]
        assert alone["model"]["status"] == "failed"
        ready = httpx2.get(f"{url}/readyz")
        assert (ready.status_code, ready.json()["error"]["type"]) == (503, "not_ready")
        logs = "".join(log.read_text() for log in serve_logs().glob("replica_*VLModel*"))
        assert "model failed: RuntimeError" in logs
        assert "/secret" not in logs


def test_a_model_that_hangs_is_replaced(deploy: Deploy) -> None:
    hanging = scripted(delay_s=60, ignores_stop=True)
    model = hanging.model.model_copy(update={"stop_grace_s": 0.5})
    settings = Settings(model=model, limits=Limits(max_processing_timeout_s=2))  # the warm-up's time, too
    with deploy(settings, ready=False) as url:
        # 503 until the ingress has heard that the model runs.
        eventually(lambda: compare(url, processing_timeout=0.5).status_code == 504, within_s=20)
        before = replica_ids(url)
        eventually(lambda: bool(replica_ids(url)) and not before & replica_ids(url), within_s=60)


def replica_ids(url: str, deployment: str = "VLModel") -> set[str]:
    app = url.rsplit("/", 1)[1]
    named = ray.util.list_named_actors(all_namespaces=True)
    return {actor["name"] for actor in named if actor["name"].startswith(f"SERVE_REPLICA::{app}#{deployment}#")}


def test_a_real_checkpoint_answers_through_http(deploy: Deploy, tmp_path: Path) -> None:
    checkpoint = checkpoints.tiny_qwen3_vl(tmp_path / "tiny")
    settings = Settings(model=ModelSettings(engine="transformers", name=str(checkpoint), max_explanation_tokens=16))
    with deploy(settings) as url:
        response = compare(url, comparison_aspects=["color", "layout"], focus_elements=["the square"])
        report = response.json()["data"]
        assert (response.status_code, report["model"]["status"]) == (200, "answered")
        assert report["model"]["tokens"]["prompt"] > 0
        assert all(0 <= aspect["score"] <= 1 for aspect in report["aspects"])
        assert str(tmp_path) not in json.dumps(report["aspects"])


def test_the_measurement_is_streamed_while_the_model_works(slow_url: str) -> None:
    files = [("files", ("a", A)), ("files", ("b", B))]
    came: dict[str, float] = {}
    headers = {"cache-control": "no-store"}
    with httpx2.stream("POST", f"{slow_url}/v1/compare/stream", files=files, headers=headers, timeout=60) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            if line.startswith("event: "):
                came.setdefault(line.removeprefix("event: "), time.monotonic())
    assert [event for event in came if event != "text"] == ["progress", "measurement", "report"]
    assert came["report"] - came["measurement"] > JOB_S / 2
