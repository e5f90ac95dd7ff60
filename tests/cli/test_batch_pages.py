"""A page for each pair of a batch: for those that are wanted, within a bound that is told, and never a stale one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from typer.testing import Result

from serve_app.local import Here
from serve_app.storage.pages import Pages
from tests.cli.test_batch import pairlens, rows
from tests.worlds.samples import card, encoded

Folders = tuple[Path, Path, Path]


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """same.png alike, re.png alike but encoded anew, x.png and y.png not."""
    before, after = tmp_path / "before", tmp_path / "after"
    for folder, colour in ((before, "blue"), (after, "red")):
        folder.mkdir()
        (folder / "same.png").write_bytes(encoded(card()))
        (folder / "re.png").write_bytes(encoded(card(), "PNG" if folder == before else "BMP"))
        (folder / "x #1.png").write_bytes(encoded(card(colour)))
        (folder / "y.png").write_bytes(encoded(card(colour)))
    return before, after, tmp_path / "out"


def run(folders: Folders, *options: object) -> Result:
    return pairlens(folders[0], folders[1], "--out", folders[2], "--threshold", 1, *options)


def linked(out: Path) -> dict[str, Path]:
    """The page that each pair's name leads to."""
    index = (out / "index.html").read_text(encoding="utf-8")
    return {name: out / unquote(link) for link, name in re.findall(r'<td><a href="([^"]*)">([^<]*)</a><td', index)}


def test_pairs_that_differ_lead_to_their_report(folders: Folders) -> None:
    result = run(folders)
    assert result.exit_code == 22
    pages = linked(folders[2])
    assert set(pages) == {"x #1.png", "y.png"}
    assert set(pages.values()) == set((folders[2] / "reports").iterdir())
    for name, path in pages.items():
        page = path.read_text(encoding="utf-8")
        assert f"<title>{name}" in page
        told = json.loads(re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)[0])
        assert set(re.findall(r'<img src="data:image/[^"]*" alt="(\w+)"', page)) == {"reference", "candidate", "heat"}
        assert told["verdict"] == "mismatch"
    assert all(row.report and not row.report.visuals for row in rows(folders[2]))
    assert "page of its own" not in result.stdout


@pytest.mark.parametrize(("wanted", "number"), [("all", 4), ("differing", 2), ("none", 0)])
def test_pages_are_for_whom_they_are_wanted(folders: Folders, wanted: str, number: int) -> None:
    run(folders, "--html-for", wanted)
    assert len(linked(folders[2])) == number
    assert (folders[2] / "reports").exists() == bool(number)


def test_another_word_is_one_sentence(folders: Folders) -> None:
    result = run(folders, "--html-for", "some")
    assert (result.exit_code, result.stderr) == (
        1,
        "pairlens: --html-for is one of differing, all, none, not 'some'.\n",
    )
    assert not (folders[2] / "results.jsonl").exists()


def test_pages_stay_within_their_bound_and_what_is_left_out_is_told(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folders)
    size = max(path.stat().st_size for path in linked(folders[2]).values())
    for path in linked(folders[2]).values():
        path.unlink()
    monkeypatch.setattr("serve_app.cli.batch_pages.MIB", size + 10)
    result = run(folders, "--html-mib", 1)
    assert len(linked(folders[2])) == 1
    assert sum(path.stat().st_size for path in (folders[2] / "reports").iterdir()) <= size + 10
    assert "Not every pair has a page of its own" in result.stdout
    assert "Not every pair has a page of its own" in (folders[2] / "index.html").read_text()


def test_the_same_again_compares_only_for_pages_that_are_missing(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = Here.compare

    async def counted(self: Here, *question: object) -> object:
        asked.append(question)
        return await real(self, *question)  # type: ignore[arg-type]

    monkeypatch.setattr(Here, "compare", counted)
    numbers = []
    for wanted in ("none", "differing", "differing", "all", "all"):
        run(folders, "--html-for", wanted)
        numbers.append(len(asked))
        asked.clear()
    assert numbers == [4, 2, 0, 2, 0]


def test_no_page_stays_of_what_is_no_longer_so(folders: Folders) -> None:
    before, after, out = folders
    run(folders)
    (after / "y.png").write_bytes((before / "y.png").read_bytes())
    for folder in (before, after):
        (folder / "x #1.png").unlink()
    run(folders)
    assert linked(out) == {}
    assert list((out / "reports").iterdir()) == []


def test_a_page_that_has_no_room_takes_the_old_one_along(tmp_path: Path) -> None:
    pages = Pages(tmp_path / "pages", 10)
    pages.put("../a\x00\ud800", b"12345")
    pages.put("b", b"1234")
    pages.put("b", b"123456")
    assert (pages.used_bytes, pages.left_out, pages.path("b")) == (5, {"b"}, None)
    assert [path.read_bytes() for path in (tmp_path / "pages").iterdir()] == [b"12345"]
    assert Pages(tmp_path / "pages", 10).used_bytes == 5
