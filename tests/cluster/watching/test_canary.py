"""The canary on a real cluster: its pairs are computed by the ordinary stages, its figures are on the metrics port."""

from __future__ import annotations

from pathlib import Path

from serve_app.serving import telemetry
from serve_app.settings import CanarySettings, JobSettings, Settings
from tests.cluster.conftest import Deploy
from tests.cluster.test_metrics import scraped, value
from tests.cluster.waiting import eventually
from tests.evaluation.labelled import write


def test_a_round_is_answered_and_counted(deploy: Deploy, tmp_path: Path) -> None:
    canary = CanarySettings(pairs=str(write(tmp_path / "canary", 10)), interval_s=2.0)
    jobs = JobSettings(enabled=True, folder=str(tmp_path / "jobs"))
    with deploy(Settings(canary=canary, jobs=jobs)) as url:
        app = url.rsplit("/", 1)[1]
        metrics = ""

        def answered() -> bool:
            nonlocal metrics
            metrics = scraped()
            return value(metrics, telemetry.CANARY_PAIRS, application=app, outcome="answered") == 10

        eventually(answered, within_s=90)
        assert value(metrics, telemetry.CANARY_RIGHT, application=app) >= 0.4
        assert f"ray_{telemetry.CANARY_DRIFT}{{" in metrics
        assert value(metrics, telemetry.CANARY_DRIFT, application=app) == 0.0
        assert 0 <= value(metrics, telemetry.CANARY_AGE, application=app) < 60
