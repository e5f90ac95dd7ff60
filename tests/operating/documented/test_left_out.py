"""What of the docs is not run: nothing that could be, and nothing that no longer stands there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.operating.documented.code import PAGES, blocks, kind_of, lines
from tests.operating.documented.left_out import CONTAINERS, DEPLOYS, DOWNLOADS, ITSELF, LEFT_OUT, ROOTS, STAYS, Reason
from tests.rigs.markdown import Page

LINES = {" ".join(line.words): line.words for line in lines(blocks())}


@pytest.mark.parametrize("text", LEFT_OUT)
def test_each_still_stands_in_the_docs_and_its_reason_holds(text: str) -> None:
    assert text in LINES
    assert LEFT_OUT[text].is_true_of(LINES[text]), LEFT_OUT[text].why


@pytest.mark.parametrize("reason", [CONTAINERS, DEPLOYS, DOWNLOADS, ITSELF, ROOTS, STAYS])
@pytest.mark.parametrize(
    "text", ["pairlens compare a.png b.png", "curl http://127.0.0.1:8000/readyz", "make examples", "pairlens doctor"]
)
def test_no_reason_is_true_of_what_can_be_run(reason: Reason, text: str) -> None:
    assert not reason.is_true_of(text.split())


def test_most_of_the_docs_is_run() -> None:
    """So that no test passes because nothing was found."""
    run = [text for text in LINES if text not in LEFT_OUT]
    assert len(run) >= 35
    kinds = Counter(block.kind for block in blocks())
    assert kinds >= Counter({"json": 6, "python": 4, "yaml": 2, "output": 1, "text": 2})


def test_code_is_indented_and_never_fenced() -> None:
    assert [page.path.name for page in PAGES if "```" in page.text or "~~~" in page.text] == []


def test_kinds_are_told_apart(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '    curl -F a=@b \\\n      http://x  # why\n\n    {"a": 1}\n\n    import os\n\n    a: {b: 1}\n\n    make x\n\n'
        "    done in 3 s\n\n    cli\n    core | views\n"
    )
    found = list(blocks([Page(page)]))
    assert [block.kind for block in found] == ["shell", "json", "python", "yaml", "shell", "output", "text"]
    assert [" ".join(line.words) for line in lines(found)] == ["curl -F a=@b http://x", "make x"]
    assert [line.shown for line in lines(found)] == [None, "done in 3 s"]
    with pytest.raises(ValueError, match="Expecting"):
        kind_of("{nothing", None)
