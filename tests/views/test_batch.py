"""What a batch looks like as CSV, HTML and JUnit XML."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from xml.etree import ElementTree

import pytest

import pairlens
from serve_app.schema import ComparisonReport, ErrorReport, ImageComparisonConfig, PairReport
from serve_app.views.batch_table import batch_csv, batch_html
from serve_app.views.junit_xml import junit_xml
from tests.worlds.samples import card, encoded


@pytest.fixture(scope="module")
def report() -> ComparisonReport:
    strict = ImageComparisonConfig(similarity_threshold=1.0)
    return pairlens.compare(encoded(card()), encoded(card("red")), strict)


@pytest.fixture(scope="module")
def rows(report: ComparisonReport) -> list[PairReport]:
    error = ErrorReport(type="image_unreadable", detail="The <candidate> can\x00't be read.")
    return [
        PairReport(name="b", outcome="match", reference="/x/r/b", candidate="/x/c/b", report=report),
        PairReport(name="=1+1", outcome="mismatch", reference="/x/r/a", candidate="/x/c/a", report=report),
        PairReport(name="<i>", outcome="failed", reference="/x/r/<i>", candidate="/x/c/<i>", error=error),
        PairReport(name="new", outcome="added", reference=None, candidate="/x/c/new"),
    ]


def test_csv_has_a_line_a_pair_and_no_formulas(rows: list[PairReport], report: ComparisonReport) -> None:
    table = list(csv.DictReader(io.StringIO(batch_csv(rows))))
    assert [line["name"] for line in table] == ["b", "'=1+1", "<i>", "new"]
    assert table[1]["similarity"] == f"{report.similarity:.4f}"
    assert table[1]["differences"] == str(len(report.differences))
    assert (table[3]["reference"], table[3]["candidate"]) == ("", "/x/c/new")


def test_html_puts_the_worst_first_and_escapes_what_others_wrote(rows: list[PairReport]) -> None:
    page = batch_html(rows, Path("/x/out"))
    assert page.index("&lt;i&gt;") < page.index("=1+1") < page.index("<td>new") < page.index("<td>b<")
    assert "The &lt;candidate&gt;" in page
    assert "<i>" not in page
    assert 'href="../r/b"' in page
    assert "4 pairs" in page
    assert "1 failed, 1 mismatch, 1 added, 1 match" in page
    assert "http" not in page.replace("http-equiv", "")


def test_html_of_pages_lists_what_changed_and_counts_the_rest() -> None:
    pages = [
        PairReport(name="page 1", outcome="match", reference="/x/a.pdf#page=1", candidate="/x/b.pdf#page=1"),
        PairReport(name="page 2", outcome="mismatch", reference="/x/a.pdf#page=2", candidate="/x/b #.PDF#page=3"),
        PairReport(name="page 4", outcome="added", reference=None, candidate="/x/c#page=4"),
    ]
    page = batch_html(pages, Path("/x/out"), only_changed=True)
    assert "page 1" not in page
    assert "1 mismatch, 1 added, 1 match; 1 that match are not listed" in page
    assert 'href="../a.pdf#page=2"' in page
    assert 'href="../b%20%23.PDF#page=3"' in page
    assert 'href="../c%23page%3D4"' in page  # a file of this very name
    assert "page 1" in batch_html(pages, Path("/x/out"))


def test_junit_tells_failures_from_errors(rows: list[PairReport]) -> None:
    suite = ElementTree.fromstring(junit_xml(rows))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "2", "1")
    cases = {case.get("name"): case for case in suite}
    assert not list(cases["b"])
    assert cases["=1+1"][0].get("type") == "mismatch"
    assert cases["<i>"][0].tag == "error"
    assert "can\ufffd't" in (cases["<i>"][0].get("message") or "")
    assert "no reference" in (cases["new"][0].get("message") or "")
