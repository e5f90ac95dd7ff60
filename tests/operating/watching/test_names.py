"""What the docs say of metrics is what the code exports: names, types, labels, meanings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serve_app.serving import telemetry
from tests.operating.watching.kept import Made, every_metric

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, Made]:
    return every_metric(monkeypatch)


def row(one: Made) -> str:
    labels = ", ".join(f"`{label}`" for label in one.labels)
    return f"| `{one.name}` | {one.kind} | {labels} | {one.description} |"


def test_every_name_is_one_that_is_counted_under(made: dict[str, Made]) -> None:
    named = {value for value in vars(telemetry).values() if isinstance(value, str) and value.startswith("pairlens_")}
    assert named == made.keys()


def test_the_docs_list_every_metric_as_it_is_made(made: dict[str, Made]) -> None:
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    told = [line for line in page.splitlines() if line.startswith("| `pairlens_")]
    assert sorted(told) == sorted(row(one) for one in made.values())


def test_names_say_what_they_are(made: dict[str, Made]) -> None:
    for one in made.values():
        assert re.fullmatch(r"pairlens_[a-z_]+", one.name)
        assert one.name.endswith("_total") == (one.kind == "counter"), one.name
        assert one.description.endswith(".")
        assert list(one.boundaries) == sorted(set(one.boundaries))
        assert all(boundary > 0 for boundary in one.boundaries), "Ray refuses 0"
