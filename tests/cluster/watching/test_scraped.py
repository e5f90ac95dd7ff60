"""A real Prometheus over a service under load: each query of the dashboard and the rules has what it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import httpx2
import pytest
import ray

from serve_app.settings import CanarySettings, JobSettings, ModelSettings, ScriptedSettings, Settings
from tests.cluster.conftest import Deploy
from tests.cluster.test_jobs import ended, posted
from tests.cluster.test_service import A, compare
from tests.cluster.waiting import eventually
from tests.evaluation.labelled import write
from tests.operating.watching.queries import of_dashboard, of_rules
from tests.rigs import prometheus
from tests.rigs.prometheus import Prometheus
from tests.serving.chat.service import asked
from tests.worlds.samples import card, encoded

pytestmark = prometheus.needed

# What a service that is well, with engine `scripted` and without webhooks, has no figures of.
QUIET = {
    "Calls sent once more",
    "Deleted and taken over",
    "Out of memory",
    "Pictures known already",
    "Tokens of pictures",
    "Webhooks",
    "Work for nobody",
}


LAST_TOLD = "ray_pairlens_job_run_seconds_count > 1"  # replicas hand their counts over every few seconds


@dataclass(frozen=True, slots=True)
class Watched:
    app: str
    prometheus: Prometheus


@pytest.fixture(scope="module")
def watched(deploy: Deploy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A service that was loaded with all that an ordinary day brings, and who watched it meanwhile."""
    folder = tmp_path_factory.mktemp("watched")
    settings = Settings(
        model=ModelSettings(engine="scripted", scripted=ScriptedSettings(delay_s=0.05, says="so it is")),
        jobs=JobSettings(enabled=True, folder=str(folder / "jobs")),
        canary=CanarySettings(pairs=str(write(folder / "canary", 10)), interval_s=2.0),
    )
    with deploy(settings) as url:
        (node,) = ray.nodes()
        with prometheus.running([f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}"]) as watching:
            watched = Watched(url.rsplit("/", 1)[1], watching)
            load(url)
            eventually(lambda: watched.prometheus.value(LAST_TOLD) is not None, within_s=150)
            yield watched


def load(url: str) -> None:
    """Twice, with time between: a rate is of two samples."""
    for _ in range(2):
        for colour in ("red", "blue", "green"):
            assert compare(url, second=encoded(card(colour)), kept=True).status_code == 200
        assert compare(url).status_code == 200
        assert compare(url, processing_timeout=0.01).status_code in (503, 504)
        assert compare(url, second=A[:100]).status_code == 422
        talk(url)
        ended(url, posted(url))


def talk(url: str) -> None:
    told = httpx2.post(f"{url}/v1/chat/completions", json=asked(), timeout=30)
    assert told.status_code == 200, told.text


def without_data(watched: Watched) -> set[str]:
    """Panels that have nothing to show, of those that should."""
    found = {query.where for query in of_dashboard() if not watched.prometheus.query(query.text)}
    return found - QUIET


def test_every_panel_that_ordinary_load_feeds_has_data(watched: Watched) -> None:
    missing: set[str] = set()

    def is_whole() -> bool:
        nonlocal missing
        missing = without_data(watched)
        return not missing

    with suppress(AssertionError):
        eventually(is_whole, within_s=40)
    assert missing == set()


def test_a_panel_that_is_told_to_be_quiet_is_one(watched: Watched) -> None:
    assert {query.where for query in of_dashboard()} >= QUIET


def test_every_rule_is_evaluated_and_none_fires(watched: Watched) -> None:
    rules = watched.prometheus.rules()
    assert {rule["name"] for rule in rules} == {query.where for query in of_rules()}
    eventually(lambda: all(rule["health"] == "ok" for rule in watched.prometheus.rules()), within_s=30)
    assert [rule["name"] for rule in watched.prometheus.rules() if rule["state"] == "firing"] == []


def test_each_metric_in_a_rule_that_ordinary_load_feeds_has_data(watched: Watched) -> None:
    seldom = {"retries", "abandoned", "out_of_memory", "webhook", "deadline_misses", "refusals"}
    for query in of_rules():
        for name in query.names:
            if not any(word in name for word in seldom):
                assert watched.prometheus.query(name), (query.where, name)


def test_the_figures_are_those_of_the_load(watched: Watched) -> None:
    def now(text: str) -> float | None:
        return watched.prometheus.value(text.replace("APP", f'application="{watched.app}"'))

    # Two rounds of three that may be kept and one that may not.
    assert now("sum(ray_pairlens_verdicts_total{APP})") == 8
    assert now('sum(ray_pairlens_report_cache_total{APP,outcome="hit"})') >= 3  # type: ignore[operator]
    assert now('sum(ray_pairlens_requests_total{APP,error="image_unreadable"})') == 2
    assert now('sum(ray_pairlens_jobs_ended_total{APP,status="succeeded"})') == 2
    assert now('sum(ray_pairlens_model_answers_total{APP,work="conversation",status="answered"})') == 2
    gaps = now("sum(ray_pairlens_order_gap_count{APP})")
    # Not of the pair by which a replica proves itself: that is asked in one order.
    assert 8 <= gaps < now('sum(ray_pairlens_model_answers_total{APP,work="comparison",status="answered"})')  # type: ignore[operator]
    assert now('sum(ray_pairlens_stage_seconds_count{APP,stage="body"})') == 8
    assert now("max(ray_pairlens_job_store_limit_bytes{APP})") == JobSettings().max_stored_bytes
