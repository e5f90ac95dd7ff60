"""Each alert fires in its trouble, alone, and none in an hour of ordinary load: Prometheus's own tests of rules."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from serve_app.serving import telemetry
from serve_app.settings import CanarySettings

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deployment/prometheus"
RULES = {
    rule["alert"]: rule
    for group in yaml.safe_load((FOLDER / "rules.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
}
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here: apt install prometheus")
LASTS = "x150"  # minutes


def series_of(name: str, labels: Mapping[str, str]) -> str:
    told = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{told}}}"


def of(name: str, **labels: str) -> str:
    return series_of(f"ray_{name}", {"application": "pairlens", "replica": "a", **labels})


def requests(outcome: str, error: str) -> str:
    return of(telemetry.REQUESTS, path="/v1/compare", outcome=outcome, error=error)


def histogram(name: str, *rates: int, **labels: str) -> dict[str, str]:
    """So many a minute of up to 0.5, 10, 60 and 21600."""
    upto = list(itertools.accumulate((*rates, *[0] * (4 - len(rates)))))
    told = dict(zip(("0.5", "10", "60", "21600", "+Inf"), (*upto, upto[-1]), strict=True))
    return {of(f"{name}_bucket", le=le, **labels): f"0+{rate}{LASTS}" for le, rate in told.items()}


def ordinary() -> dict[str, str]:
    """By series, what it is from minute to minute: a request a second, now and then a caller's mistake or haste."""
    stage = {
        series: values
        for each in ("queue", "prepare", "measure", "read", "assess")
        for series, values in histogram(telemetry.STAGE_SECONDS, 50, 1, stage=each).items()
    }
    return {
        'up{job="ray",instance="n"}': f"1+0{LASTS}",
        'ray_node_mem_used{instance="n"}': f"60+0{LASTS}",
        'ray_node_mem_total{instance="n"}': f"100+0{LASTS}",
        'ray_node_disk_usage{instance="n"}': f"70+0{LASTS}",
        'ray_node_disk_free{instance="n"}': f"30+0{LASTS}",
        requests("answered", "none"): f"0+58{LASTS}",
        requests("refused", "image_unreadable"): f"0+2{LASTS}",
        requests("failed", "internal"): f"0+0.1{LASTS}",
        requests("failed", "not_ready"): f"0+0.2{LASTS}",
        requests("failed", "overloaded"): f"0+1{LASTS}",
        of(telemetry.PENDING_REQUESTS): f"2+0{LASTS}",
        of(telemetry.ADMITTED): f"0+50{LASTS}",
        of(telemetry.DEADLINE_MISSES): f"0+0.1{LASTS}",
        of(telemetry.REFUSALS, error="overloaded"): f"0+1{LASTS}",
        of(telemetry.RETRIES, stage="assess"): f"0+0.05{LASTS}",
        **stage,
        of(telemetry.MODEL_ANSWERS, work="comparison", status="answered"): f"0+48{LASTS}",
        of(telemetry.MODEL_ANSWERS, work="comparison", status="internal"): f"0+0.2{LASTS}",
        of(telemetry.MODEL_ANSWERS, work="comparison", status="deadline_exceeded"): f"0+2{LASTS}",
        of(telemetry.OUT_OF_MEMORY): f"0+0.02{LASTS}",
        of(telemetry.ABANDONED_SECONDS): f"0+1{LASTS}",
        of(f"{telemetry.ORDER_GAP}_sum"): f"0+2{LASTS}",
        of(f"{telemetry.ORDER_GAP}_count"): f"0+48{LASTS}",
        of(telemetry.JOBS, status="queued"): f"3+0{LASTS}",
        of(telemetry.JOBS_ENDED, status="succeeded"): f"0+5{LASTS}",
        **histogram(telemetry.JOB_WAIT_SECONDS, 5),
        of(telemetry.JOB_STORED_BYTES): f"50+0{LASTS}",
        of(telemetry.JOB_STORE_LIMIT_BYTES): f"100+0{LASTS}",
        of(telemetry.WEBHOOK_TRIES, outcome="delivered"): f"0+5{LASTS}",
        of(telemetry.WEBHOOK_TRIES, outcome="pending"): f"0+1{LASTS}",
        of(telemetry.WEBHOOK_TRIES, outcome="failed"): f"0+0.1{LASTS}",
        of(telemetry.CANARY_DRIFT): f"0.015+0{LASTS}",
        of(telemetry.CANARY_AGE): f"3600+0{LASTS}",
    }


ONE = {"application": "pairlens"}
# By alert: what is otherwise in its trouble, and the labels that it then carries beside its severity.
TROUBLES: dict[str, tuple[Mapping[str, str], Mapping[str, str]]] = {
    "PairLensGone": ({of(telemetry.PENDING_REQUESTS): f"2+0x10 stale _{LASTS}"}, {}),
    "PairLensNotReady": ({requests("failed", "not_ready"): f"0+5{LASTS}"}, ONE),
    "PairLensErrors": ({requests("failed", "internal"): f"0+2{LASTS}"}, ONE),
    "PairLensMissesDeadlines": ({of(telemetry.DEADLINE_MISSES): f"0+2{LASTS}"}, ONE),
    "PairLensRefuses": ({of(telemetry.REFUSALS, error="overloaded"): f"0+10{LASTS}"}, ONE),
    "PairLensQueues": (histogram(telemetry.STAGE_SECONDS, 40, 0, 10, stage="queue"), ONE),
    "PairLensSlow": (
        histogram(telemetry.STAGE_SECONDS, 45, 0, 5, stage="assess"),
        {**ONE, "stage": "assess"},
    ),
    "PairLensModelFails": (
        {of(telemetry.MODEL_ANSWERS, work="comparison", status="internal"): f"0+5{LASTS}"},
        ONE,
    ),
    "PairLensOutOfMemory": ({of(telemetry.OUT_OF_MEMORY): f"0+0.2{LASTS}"}, ONE),
    "PairLensWorksForNobody": ({of(telemetry.ABANDONED_SECONDS): f"0+20{LASTS}"}, ONE),
    "PairLensLosesReplicas": ({of(telemetry.RETRIES, stage="assess"): f"0+0.5{LASTS}"}, ONE),
    "PairLensAnswersTheOrder": ({of(f"{telemetry.ORDER_GAP}_sum"): f"0+20{LASTS}"}, ONE),
    "PairLensJobsStand": ({of(telemetry.JOBS_ENDED, status="succeeded"): f"5+0{LASTS}"}, ONE),
    "PairLensJobsLate": (histogram(telemetry.JOB_WAIT_SECONDS, 3, 0, 0, 2), ONE),
    "PairLensJobStoreFull": ({of(telemetry.JOB_STORED_BYTES): f"95+0{LASTS}"}, ONE),
    "PairLensWebhooksFail": ({of(telemetry.WEBHOOK_TRIES, outcome="failed"): f"0+2{LASTS}"}, ONE),
    "PairLensDrifts": ({of(telemetry.CANARY_DRIFT): f"0.05+0{LASTS}"}, ONE),
    "PairLensCanarySilent": ({of(telemetry.CANARY_AGE): f"10860+60{LASTS}"}, ONE),
    "PairLensNodeSilent": ({'up{job="ray",instance="n"}': f"0+0{LASTS}"}, {"instance": "n", "job": "ray"}),
    "PairLensMemoryShort": ({'ray_node_mem_used{instance="n"}': f"94+0{LASTS}"}, {"instance": "n"}),
    "PairLensDiskShort": (
        {'ray_node_disk_usage{instance="n"}': f"95+0{LASTS}", 'ray_node_disk_free{instance="n"}': f"5+0{LASTS}"},
        {"instance": "n"},
    ),
}


def fires(series: Mapping[str, str], at: str, alerts: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """A test that these alerts fire then, and no others."""
    expected = [
        {"labels": series_of("ALERTS", {"alertname": name, "alertstate": "firing", **labels}), "value": 1}
        for name, labels in alerts.items()
    ]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": 'ALERTS{alertstate="firing"}', "eval_time": at, "exp_samples": expected}],
    }


def run(folder: Path, *tests: dict[str, Any]) -> str:
    """What `promtool test rules` has against these tests; nothing where they hold."""
    file = folder / "test.yaml"
    whole = {"rule_files": [str(FOLDER / "rules.yaml")], "evaluation_interval": "1m", "tests": list(tests)}
    file.write_text(yaml.safe_dump(whole), encoding="utf-8")
    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("command", [("check", "rules", "rules.yaml"), ("check", "config", "prometheus.yml")])
def test_prometheus_takes_the_files(command: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_nothing_fires_in_two_hours_of_ordinary_load(tmp_path: Path) -> None:
    series = ordinary()
    assert run(tmp_path, *(fires(series, f"{minute}m", {}) for minute in range(0, 121, 5))) == ""


@needs_promtool
@pytest.mark.parametrize("alert", RULES)
def test_an_alert_fires_in_its_trouble_and_alone(alert: str, tmp_path: Path) -> None:
    changed, labels = TROUBLES[alert]
    expected = {alert: {**labels, "severity": RULES[alert]["labels"]["severity"]}}
    assert run(tmp_path, fires({**ordinary(), **changed}, "120m", expected)) == ""


@needs_promtool
def test_a_service_without_jobs_model_or_canary_is_no_trouble(tmp_path: Path) -> None:
    gone = ("_job", "_jobs", "_canary", "_webhook", "_model", "_order_gap", "_out_of_memory", "_abandoned")
    series = {
        name: values
        for name, values in ordinary().items()
        if not name.startswith(tuple(f"ray_pairlens{e}" for e in gone))
    }
    assert run(tmp_path, fires(series, "120m", {})) == ""


@needs_promtool
def test_a_night_without_a_request_is_no_trouble(tmp_path: Path) -> None:
    series = {name: re.sub(r"^(\d+)\+[\d.]+x", r"\1+0x", values) for name, values in ordinary().items()}
    series[of(telemetry.JOBS, status="queued")] = f"0+0{LASTS}"
    assert run(tmp_path, fires(series, "120m", {})) == ""


def test_each_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on() -> None:
    page = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (\w+)$", page, re.MULTILINE)
    assert sorted(headings) == sorted(RULES)
    for name, rule in RULES.items():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"


def test_the_canarys_alerts_hold_to_its_defaults() -> None:
    assert float(RULES["PairLensDrifts"]["expr"].rpartition(">")[2]) == CanarySettings().max_drift
    assert RULES["PairLensCanarySilent"]["expr"].endswith(f"> 3 * {CanarySettings().interval_s:.0f}")
