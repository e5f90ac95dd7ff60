"""The dashboard shows all that is counted and asks for nothing else; rules, dashboard and docs name what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.operating.watching.kept import every_metric
from tests.operating.watching.queries import BOARD, DEPLOYMENT, Query, of_dashboard, of_rules

ROOT = Path(__file__).parents[3]
QUERIES = (*of_dashboard(), *of_rules())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every name under which Prometheus gets something of ours."""
    return set(_exported(monkeypatch))


def _exported(patch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, made in every_metric(patch).items():
        if made.kind == "histogram":
            yield from (f"ray_{name}_{end}" for end in ("bucket", "sum", "count"))
        else:
            yield f"ray_{name}"


def rays_own() -> set[str]:
    """What Ray's nodes say of themselves."""
    from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

    return {f"ray_{name}" for name in METRICS_GAUGES}


def test_every_name_that_is_asked_for_is_exported(exported: set[str]) -> None:
    known = exported | rays_own() | {"up", "ALERTS"}
    for query in QUERIES:
        assert query.names, query
        assert query.names <= known, (query.where, query.names - known)


@pytest.mark.parametrize("page", ["metrics.md", "runbook.md", "calibration.md", "deployment.md", "tracing.md"])
def test_the_docs_name_only_what_is_exported(page: str, exported: set[str]) -> None:
    if not (ROOT / "docs" / page).exists():
        pytest.skip("no such page")
    named = set(re.findall(r"ray_pairlens_\w+", (ROOT / "docs" / page).read_text(encoding="utf-8"))) - {"ray_pairlens_"}
    assert named <= exported, named - exported


def test_labels_that_are_asked_for_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    made = every_metric(monkeypatch)
    always = {"application", "deployment", "replica", "instance", "le", "job"}
    for query in of_dashboard():
        labels = {label for name in query.names for label in _labels(made, name)}
        if query.names == {"ALERTS"}:
            continue
        assert query.labels <= labels | always, (query.where, query.labels)


def _labels(made: dict[str, Any], name: str) -> tuple[str, ...]:
    ours = name.removeprefix("ray_")
    found = made.get(ours) or made.get(re.sub("_(bucket|sum|count)$", "", ours))
    return found.labels if found is not None else ()


def test_all_that_is_counted_is_shown(exported: set[str]) -> None:
    shown = {re.sub("_(bucket|sum|count)$", "", name) for query in of_dashboard() for name in query.names}
    counted = {re.sub("_(bucket|sum|count)$", "", name) for name in exported}
    assert counted - shown == set()


def test_panels_explain_themselves_and_stand_side_by_side() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_rays_panels_are_linked_and_not_copied() -> None:
    from ray.dashboard.modules.metrics import grafana_dashboard_factory as rays

    base = Path(rays.__file__).parent / "dashboards"
    uids = {json.loads(file.read_text())["uid"] for file in base.glob("*_base.json")}
    linked = {link["url"].removeprefix("/d/") for link in BOARD["links"]}
    assert linked <= uids
    assert not any(name.startswith(("ray_serve", "ray_node")) for query in of_dashboard() for name in query.names)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here: apt install prometheus")
def test_every_query_of_the_dashboard_parses(tmp_path: Path) -> None:
    rules = [{"record": f"q{number}", "expr": query.text} for number, query in enumerate(of_dashboard())]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "q", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOYMENT / name).read_text(encoding="utf-8"))


def test_grafana_finds_the_dashboard_where_it_looks() -> None:
    (source,) = yaml.safe_load((DEPLOYMENT / "grafana/provisioning/datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    scraped = yaml.safe_load((DEPLOYMENT / "prometheus/prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped
    providers = yaml.safe_load((DEPLOYMENT / "grafana/provisioning/dashboards/pairlens.yaml").read_text())["providers"]
    assert len({provider["options"]["path"] for provider in providers}) == len(providers)


def test_a_query_knows_its_names_and_labels() -> None:
    asked = Query("here", 'sum by (stage, le) (rate(ray_a_bucket{stage!="x"}[5m])) / on () up', "{{stage}} {{kind}}")
    assert asked.names == {"ray_a_bucket", "up"}
    assert asked.labels == {"stage", "le", "kind"}
