"""What the rules and the dashboard ask of Prometheus, taken apart."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

DEPLOYMENT: Final = Path(__file__).parents[3] / "deployment"
BOARD: Final[dict[str, Any]] = json.loads((DEPLOYMENT / "grafana/dashboard.json").read_text(encoding="utf-8"))
_METRIC: Final = re.compile(r"\b(ray_\w+|up|ALERTS)\b")


@dataclass(frozen=True, slots=True)
class Query:
    """One expression. `where`: the panel or the alert. `legend`: of a panel, with labels in braces."""

    where: str
    text: str
    legend: str = ""

    @property
    def names(self) -> set[str]:
        """Metrics that it asks for."""
        return set(_METRIC.findall(re.sub(r'"[^"]*"', '""', self.text)))

    @property
    def labels(self) -> set[str]:
        """Labels by which it chooses, sums and names."""
        chosen = re.findall(r'(\w+)\s*(?:=|!=|=~|!~)\s*"', self.text)
        summed = re.findall(r"\b(?:by|on|without)\s*\(([^)]*)\)", self.text)
        told = re.findall(r"{{(\w+)}}", self.legend)
        return {*chosen, *told, *(name.strip() for each in summed for name in each.split(",") if name.strip())}


def of_dashboard() -> Iterator[Query]:
    """Each panel's, with Grafana's variables filled in as for all applications."""
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"].replace("$__rate_interval", "1m").replace("$application", ".+")
            yield Query(panel["title"], text, target["legendFormat"])


def of_rules() -> Iterator[Query]:
    for group in yaml.safe_load((DEPLOYMENT / "prometheus/rules.yaml").read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            yield Query(rule["alert"], rule["expr"])
