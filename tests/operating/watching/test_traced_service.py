"""`pairlens serve` with tracing on, and a collector of our own: one trace through all its processes, the caller's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import yaml

from tests.cluster.waiting import eventually
from tests.operating.test_launch import ROOT, serving, short_folder
from tests.rigs.collector import Collector, collecting
from tests.rigs.nodes import free_port
from tests.serving.chat.service import asked
from tests.worlds.samples import card, encoded

__all__ = ["short_folder"]  # a fixture

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
NAMED = "my-shop-17.4"
KEY = "not-for-anyones-eyes"
EXPORTER = "serve_app.serving.deployments.tracing:to_collector"


@dataclass(frozen=True, slots=True)
class Traced:
    port: int
    collector: Collector

    def post(self, path: str, trace: str, *, sampled: bool = True, **request: object) -> httpx2.Response:
        headers = {"traceparent": f"00-{trace}-{CALLER}-0{int(sampled)}", "x-request-id": NAMED}
        headers |= {"authorization": f"Bearer {KEY}", "cache-control": "no-store"}
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx2.post(url, headers=headers, timeout=60, **request)  # type: ignore[arg-type]

    def compare(self, trace: str, *, sampled: bool = True) -> httpx2.Response:
        pair = [("files", ("a", encoded(card()))), ("files", ("b", encoded(card("red"))))]
        config = {"config": json.dumps({"focus_elements": ["the red square of my cat"]})}
        return self.post("/v1/compare?q=my-cat", trace, sampled=sampled, files=pair, data=config)

    def names(self, trace: str) -> list[str]:
        return [span.name for span in self.collector.of(trace)]


@pytest.fixture
def traced(short_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    """None of its own accord is traced: what the collector gets, a caller has asked for."""
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text(encoding="utf-8"))
    config["tracing_config"] = {"enabled": True, "exporter_import_path": EXPORTER, "sampling_ratio": 0.0}
    args = config["applications"][0]["args"]
    args["model"] = {"engine": "scripted", "scripted": {"delay_s": 0.05, "says": "my cat it is"}}
    args["jobs"]["folder"] = str(tmp_path / "kept")
    file = tmp_path / "serve_config.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")  # ms
        port = free_port()
        with serving(short_folder, port, "--config", str(file)) as run:
            run.read_until("Stop")
            yield Traced(port, collector)


@pytest.mark.cluster
def test_one_trace_from_the_callers_span_to_the_models_answer(traced: Traced) -> None:
    assert traced.compare("1" * 32, sampled=False).status_code == 200
    assert traced.compare(TRACE).status_code == 200
    wanted = {"proxy_http_request", "queue examine", "prepare", "measure", "read", "prompt", "model", "parse", "report"}
    eventually(lambda: wanted <= set(traced.names(TRACE)), within_s=30)
    chat = "2" * 32
    assert traced.post("/v1/chat/completions", chat, json=asked()).status_code == 200
    eventually(lambda: {"proxy_http_request", "model"} <= set(traced.names(chat)), within_s=30)

    spans = traced.collector.of(TRACE)
    known = {span.id: span for span in spans}
    (root,) = (span for span in spans if span.parent == CALLER)
    assert root.name == "proxy_http_request"
    assert all(span.parent in known for span in spans if span is not root)
    by_name = {span.name: span for span in spans}
    for part, call in {
        "prepare": "Preprocessor examine",
        "model": "VLModel assess",
        "report": "Ingress __call__",
    }.items():
        above = [by_name[part]]
        while above[-1].parent in known:
            above.append(known[above[-1].parent])
        assert f"replica_handle_request {call}" in [span.name for span in above], (part, [span.name for span in above])
        assert above[-1] is root
    replicas = {span.attributes["replica_id"] for span in spans if "replica_id" in span.attributes}
    assert len(replicas) == 3, "three processes, beside the proxy"
    assert {span.attributes["request_id"] for span in spans if "request_id" in span.attributes} == {NAMED}
    assert {span.service for span in spans} == {"pairlens"}
    assert traced.collector.of("1" * 32) == []
    assert {span.trace for span in traced.collector.spans} == {TRACE, chat}
    for body in traced.collector.raw:
        for word in (b"my-cat", b"my cat", b"/v1/compare", KEY.encode(), b"127.0.0.1", b"Traceback"):
            assert word not in body, word
