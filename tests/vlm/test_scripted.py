"""The engine for tests does what it is told, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from serve_app import vlm
from serve_app.comparison.dialogue import answer
from serve_app.core.assessed import Finding, PictureBox
from serve_app.core.clock import Deadline, Stop
from serve_app.core.inquiry import Inquiry, Question, Wording
from serve_app.core.pictures import ShownImage
from serve_app.errors import DeadlineExceeded
from serve_app.settings import ModelSettings, ScriptedFinding, ScriptedSettings

LABELS = ("same", "changed", "added", "removed", "missing")


def an_inquiry() -> Inquiry:
    shown = ShownImage(1, 1, "rgb", b"\0\0\0")
    focus = Question("focus_element", 0, (Wording("?", LABELS),))
    summary = Question("summary", 0, (Wording("?"),))
    return Inquiry(shown, shown, "", (focus, summary), (focus,), "en", "1")


def a_model(scripted: ScriptedSettings) -> vlm.VisionLanguageModel:
    model = vlm.load(ModelSettings(engine="scripted", scripted=scripted))
    assert model is not None
    return model


def a_stop(timeout_s: float = 60.0) -> Stop:
    return Stop(Deadline.after(timeout_s))


def test_engine_none_is_no_model() -> None:
    assert vlm.load(ModelSettings()) is None
    vlm.check(ModelSettings())


def test_it_chooses_the_label_it_is_told() -> None:
    model = a_model(ScriptedSettings(label=3))
    assessment = answer.parse(model.answer(an_inquiry(), a_stop()), an_inquiry(), model.identity)
    assert assessment.focus_elements[0] is not None
    assert assessment.focus_elements[0].status == "removed"
    assert assessment.order_gap == 0
    assert assessment.summary == "A scripted summary."
    assert assessment.warnings == ()


def test_it_says_what_it_is_told_of_places() -> None:
    finding = ScriptedFinding(kind="added", box=(1, 2, 3, 4), description="A tag.")
    model = a_model(ScriptedSettings(label=1, box=(10, 20, 30, 40), findings=(finding,)))
    focus = Question("focus_element", 0, (Wording("?", LABELS),), "boxed_text")
    findings = Question("findings", 0, (Wording("?"),), "findings")
    inquiry = replace(an_inquiry(), questions=(focus, findings), swapped_questions=())
    assessment = answer.parse(model.answer(inquiry, a_stop()), inquiry, model.identity)
    assert assessment.focus_elements[0] is not None
    assert assessment.focus_elements[0].box == (10, 20, 30, 40)
    assert assessment.findings == (Finding("added", PictureBox(1, 2, 3, 4), "A tag."),)
    assert assessment.warnings == ()


def test_it_answers_badly_on_demand() -> None:
    model = a_model(ScriptedSettings(answers_badly=True))
    assessment = answer.parse(model.answer(an_inquiry(), a_stop()), an_inquiry(), model.identity)
    assert assessment.focus_elements == (None,)
    assert len(assessment.warnings) == 3


def test_it_fails_on_demand_with_text_that_must_not_leak() -> None:
    with pytest.raises(RuntimeError, match="secret"):
        a_model(ScriptedSettings(fails=True)).answer(an_inquiry(), a_stop())


def test_a_cancel_from_another_thread_ends_it() -> None:
    stop = a_stop()
    threading.Timer(0.05, stop.cancel).start()
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        a_model(ScriptedSettings(delay_s=30)).answer(an_inquiry(), stop)
    assert time.monotonic() - started < 5


def test_a_deaf_one_works_past_its_deadline() -> None:
    output = a_model(ScriptedSettings(delay_s=0.05, ignores_stop=True)).answer(an_inquiry(), a_stop(0.001))
    assert len(output.replies) == 2


def test_no_torch_is_imported_before_a_checkpoint_is_asked_for() -> None:
    code = "import sys, serve_app.vlm; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
