from __future__ import annotations

import re
from pathlib import Path

import pairlens
from serve_app.plugins import outcomes
from serve_app.plugins.outcomes import MOST_TOLD, Outcome
from serve_app.schema import ComparisonReport, Difference, TextReport
from tests.rigs.markdown import Page
from tests.worlds.samples import card, encoded

DOCS = Page(Path(__file__).parents[2] / "docs/pytest.md")
CHANGED = "The region of 6 x 6 px at (425, 150) was changed."


def place(description: str, severity: float, text: TextReport | None = None) -> Difference:
    return Difference(
        kind="changed",
        description=description,
        evidence="measured_only",
        severity=severity,
        reference_box=(425, 150, 6, 6),
        candidate_box=(425, 150, 6, 6),
        text=text,
    )


def reported(*differences: Difference, further: int = 0) -> ComparisonReport:
    report = pairlens.compare(encoded(card()), encoded(card("red")))
    measured = report.measurement.model_copy(update={"further_differences": further})
    told = {"verdict": "mismatch", "verdict_reason": "differences", "similarity": 0.981, "differences": differences}
    return report.model_copy(update={**told, "similarity_interval": (0.971, 0.991), "measurement": measured})


READ = TextReport(
    kind="changed", reference="18", candidate="19", reference_word="18", candidate_word="19", confidence=0.9
)


def test_the_docs_show_a_failure_as_it_is_told() -> None:
    report = reported(place(f'Text changed from "18" to "19". {CHANGED}', 0.4, READ))
    outcome = Outcome(
        "test_price",
        "mismatch",
        Path("tests/baselines/test_shop/test_price-chromium-linux.png"),
        report,
        Path("test-results/pairlens/test_shop--test_price-chromium"),
    )
    (shown,) = (block for block in DOCS.blocks if block.startswith("E "))

    told = outcomes.told(outcome, "test_shop.py::test_price")

    assert re.sub(r"^E +", "", shown, flags=re.MULTILINE).replace("AssertionError: ", "").split() == told.split()


def test_text_is_told_first_then_what_is_severest_and_the_rest_is_counted() -> None:
    places = [place(f"place {number}.", 0.9 - number / 10) for number in range(7)]
    report = reported(*places, place("words.", 0.1, READ), further=3)

    told = outcomes.told(Outcome("a", "mismatch", Path("a.png"), report), "test").splitlines()

    assert [line.split(".")[1].strip().split(" [")[0] for line in told[1 : 1 + MOST_TOLD]] == [
        "words",
        *(f"place {number}" for number in range(5)),
    ]
    assert told[1 + MOST_TOLD] == "  and 5 more"


def test_a_place_that_moved_is_told_on_both_sides() -> None:
    moved = place("moved.", 0.5).model_copy(update={"candidate_box": (1, 2, 3, 4)})
    gone = moved.model_copy(update={"candidate_box": None})

    told = outcomes.told(Outcome("a", "mismatch", Path("a.png"), reported(moved, gone)), "test")

    assert "1. moved. [baseline 425,150,6,6, now 1,2,3,4]" in told
    assert "2. moved. [baseline 425,150,6,6]" in told


def test_a_run_in_which_all_matched_says_nothing() -> None:
    assert outcomes.summary(["a: match", "b: match"], None) == []
    assert outcomes.summary(["a: match", "b: written"], None) == ["2 held: 1 written, 1 match", "b: written"]
