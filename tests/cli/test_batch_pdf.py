"""`pairlens batch` on two PDFs: pages found by likeness, boxes by page, and one sentence for what can't be."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from serve_app.imaging.pdf.documents import Documents
from serve_app.local import Here
from tests.cli.test_batch import pairlens, rows
from tests.worlds import pdfs
from tests.worlds.pdfs import Page, pdf


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Of the second one page 2 is new and page 4, once page 3, has a stamp; where results go."""
    (tmp_path / "a.pdf").write_bytes(pdf(1, 2, 3))
    (tmp_path / "b.pdf").write_bytes(pdf(1, 9, 2, Page(3, stamp=True)))
    return tmp_path / "a.pdf", tmp_path / "b.pdf", tmp_path / "out"


def test_pages_are_pairs_and_what_changed_is_shown(files: tuple[Path, Path, Path]) -> None:
    a, b, out = files
    result = pairlens(a, b, "--out", out, "--dpi", 72)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (22, "4 of 4 pairs")
    assert result.stdout.startswith("4 pairs: 1 mismatch, 1 added, 2 match.") or "uncertain" in result.stdout
    found = rows(out)
    assert [row.name for row in found] == ["page 1", "page 2 (added)", "page 2 -> 3", "page 3 -> 4"]
    assert [row.outcome for row in found][:3] == ["match", "added", "match"]
    assert (found[2].reference, found[2].candidate) == (f"{a}#page=2", f"{b}#page=3")
    assert found[3].report is not None
    assert (found[3].report.images.reference.width, found[3].report.images.reference.height) == (300, 420)
    (difference,) = found[3].report.differences
    x, y, width, height = pdfs.STAMP
    assert difference.reference_box is not None
    left, top, wide, high = difference.reference_box
    assert abs(left - x) <= 6
    assert abs(top - y) <= 6
    assert abs(wide - width) <= 12
    assert abs(high - height) <= 12
    page = (out / "index.html").read_text()
    assert "page 3 -&gt; 4" in page
    assert "page 2 -&gt; 3" not in page
    assert "2 that match are not listed" in page


def test_boxes_are_ignored_on_their_page_only(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, b, out = files
    x, y, width, height = pdfs.STAMP
    regions = {"3": [[x - 6, y - 6, width + 12, height + 12]]}
    result = pairlens(a, b, "--out", out, "--dpi", 72, "--page-regions", json.dumps(regions))
    assert [row.outcome for row in rows(out)] == ["match", "added", "match", "match"]
    assert result.exit_code == 22
    (tmp_path / "regions.json").write_text(json.dumps({"2": regions["3"]}))
    elsewhere = pairlens(a, b, "--out", tmp_path / "other", "--dpi", 72, "--page-regions", tmp_path / "regions.json")
    assert elsewhere.exit_code == 22
    assert rows(tmp_path / "other")[3].outcome != "match"


def test_the_same_command_goes_on_and_another_dpi_is_another_question(
    files: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, out = files
    pairlens(a, b, "--out", out, "--dpi", 72)
    lines = (out / "results.jsonl").read_text().splitlines(keepends=True)
    (out / "results.jsonl").write_text("".join(lines[:3]))
    compare, asked = Here.compare, []

    async def counted(*arguments: object) -> object:
        asked.append(arguments)
        return await compare(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Here, "compare", counted)
    assert pairlens(a, b, "--out", out, "--dpi", 72).exit_code == 22
    assert len(asked) == 1
    assert len(rows(out)) == 4
    other = pairlens(a, b, "--out", out)
    assert (other.exit_code, "another config" in other.stderr) == (1, True)


@pytest.mark.parametrize(
    ("candidate", "told"),
    [
        (pdfs.locked(), "candidate: The PDF is encrypted; send it without a password."),
        (pdfs.empty(), "candidate: The PDF has no page."),
        (pdfs.blank_pages(5000), "candidate: The PDF has 5000 pages; at most 500 are compared."),
        (b"%PDF-1.7 and no more", "candidate: The PDF is damaged, or is none."),
        (b"no PDF", "is a PDF: name one other PDF beside it."),
    ],
)
def test_what_can_t_be_compared_is_one_sentence(files: tuple[Path, Path, Path], candidate: bytes, told: str) -> None:
    a, b, out = files
    b.write_bytes(candidate)
    result = pairlens(a, b, "--out", out)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert told in result.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    "options", [("--dpi", 17), ("--dpi", 601), ("--page-regions", "{"), ("--page-regions", '{"9": [[0, 0, 1, 1]]}')]
)
def test_options_that_are_wrong_are_told(files: tuple[Path, Path, Path], options: tuple[object, ...]) -> None:
    a, b, out = files
    result = pairlens(a, b, "--out", out, *options)
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert not out.exists()


def test_options_of_pdfs_are_for_pdfs(files: tuple[Path, Path, Path]) -> None:
    a, _, out = files
    result = pairlens(a.parent, a.parent, "--out", out, "--dpi", 100)
    assert (result.exit_code, "are for two PDFs" in result.stderr) == (1, True)


def test_without_the_extra_its_name_is_told(files: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, out = files
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = pairlens(a, b, "--out", out)
    assert (result.exit_code, "pip install 'pairlens[pdf]'" in result.stderr) == (1, True)


def test_a_page_that_can_t_be_rendered_is_a_row_and_the_others_go_on(
    files: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, out = files
    page = Documents.page

    def torn(self: Documents, document: object, number: int, dpi: int) -> bytes:
        from serve_app.errors import PdfRejected

        if number == 1:
            raise PdfRejected("Page 1 of the PDF can't be rendered.")
        return page(self, document, number, dpi)  # type: ignore[arg-type]

    monkeypatch.setattr(Documents, "page", torn)
    assert pairlens(a, b, "--out", out, "--dpi", 72).exit_code == 1
    found = rows(out)
    assert found[0].error is not None
    assert found[0].error.type == "pdf_rejected"
    assert [row.outcome for row in found[1:3]] == ["added", "match"]
