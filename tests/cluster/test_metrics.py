"""What operators see: our metrics beside Serve's own on the metrics port, and the three deployments by name."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2
import pytest
import ray
from ray import serve

from serve_app.serving import telemetry
from serve_app.settings import ModelSettings, ScriptedSettings, Settings
from tests.cluster.conftest import Deploy
from tests.cluster.test_service import A, compare
from tests.cluster.waiting import eventually


@pytest.fixture(scope="module")
def url(deploy: Deploy) -> Iterator[str]:
    with deploy(Settings(model=ModelSettings(engine="scripted", scripted=ScriptedSettings(delay_s=0.5)))) as url:
        yield url


def scraped() -> str:
    """Everything on the metrics port of the one node."""
    (node,) = ray.nodes()
    return httpx2.get(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics", timeout=20).text


def value(metrics: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels; 0 where there is none."""
    total = 0.0
    for line in metrics.splitlines():
        match = re.fullmatch(rf"ray_{name}{{(.*)}} (\S+)", line)
        if match and all(f'{label}="{text}"' in match[1] for label, text in labels.items()):
            total += float(match[2])
    return total


def test_each_request_is_counted_beside_serves_own_metrics(url: str) -> None:
    app = url.rsplit("/", 1)[1]
    assert compare(url).status_code == 200
    assert compare(url, processing_timeout=0.2).status_code == 504
    assert compare(url, second=A[:100]).status_code == 422
    metrics = ""

    def counted() -> bool:
        nonlocal metrics
        metrics = scraped()
        return value(metrics, telemetry.DEADLINE_MISSES, application=app) == 1

    eventually(counted, within_s=40)  # replicas hand their counts over every few seconds
    assert value(metrics, telemetry.ADMITTED, application=app) == 3
    assert value(metrics, telemetry.REQUESTS, application=app, path="/v1/compare", error="none") == 1
    assert value(metrics, telemetry.REQUESTS, application=app, error="image_unreadable", outcome="refused") == 1
    for stage in ("queue", "prepare", "measure", "read", "assess", "total"):
        assert value(metrics, f"{telemetry.STAGE_SECONDS}_count", application=app, stage=stage) == 1
    assert value(metrics, f"{telemetry.STAGE_SECONDS}_sum", application=app, stage="assess") >= 0.5
    assert f"ray_{telemetry.EXPECTED_WAIT_SECONDS}{{" in metrics
    assert f"ray_{telemetry.PENDING_REQUESTS}{{" in metrics
    assert "ray_serve_deployment_request_counter" in metrics


def test_serve_lists_the_three_deployments_by_name(url: str) -> None:
    """The dashboard's Serve page shows this list; that the page's own API does is seen by `pairlens serve`'s test."""
    application = serve.status().applications[url.rsplit("/", 1)[1]]
    assert application.deployments.keys() == {"Ingress", "Preprocessor", "VLModel"}
