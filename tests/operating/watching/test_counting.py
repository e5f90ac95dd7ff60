"""What is counted, by the stages themselves as Serve runs them: each number comes from the work that was done."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from serve_app.comparison.verdict import report
from serve_app.core.clock import Deadline
from serve_app.core.conversation import Conversation
from serve_app.core.inquiry import MemoryPlan
from serve_app.errors import ComparisonError
from serve_app.schema import TimingsReport
from serve_app.serving import telemetry
from serve_app.serving.api.compare import note
from serve_app.serving.deployments import counting, stages
from serve_app.serving.telemetry import RequestRecord
from serve_app.settings import ModelSettings, ScriptedSettings, Settings
from tests.operating.watching.kept import Kept, keep
from tests.worlds.samples import assessed, config, examined, measured, upload

TOO_SMALL = b"no picture at all"


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.setattr(stages, "log_to_serve", lambda: None)  # of a whole process
    return keep(monkeypatch)


def model_stage(**scripted: object) -> stages.VLModel:
    behaviour = ScriptedSettings.model_validate(scripted)
    return stages.VLModel(Settings(model=ModelSettings(engine="scripted", scripted=behaviour)))


async def assess(stage: stages.VLModel, within_s: float = 20) -> object:
    return await stage.assess(config(), examined(measured(0.5)), Deadline.after(within_s))


async def test_pixels_and_read_text_are_counted_of_each_pair_that_was_examined(kept: Kept) -> None:
    stage, picture = stages.Preprocessor(Settings()), upload("red")
    examination = await stage.examine(upload(), picture, config(read_text=False), Deadline.after(20))
    assert not isinstance(examination, ComparisonError)
    both = [facts.width * facts.height for facts in (examination.reference, examination.candidate)]
    assert kept.of(telemetry.PAIR_MEGAPIXELS) == {(): pytest.approx(sum(both) / 1e6)}
    assert kept.of(telemetry.TEXT_READS) == {("off",): 1}


async def test_a_refused_pair_is_none_that_was_examined(kept: Kept) -> None:
    stage = stages.Preprocessor(Settings())
    refused = replace(upload(), data=TOO_SMALL, sha256=None)
    assert isinstance(await stage.examine(refused, upload(), config(), Deadline.after(20)), ComparisonError)
    assert not kept.of(telemetry.PAIR_MEGAPIXELS)
    assert not kept.of(telemetry.TEXT_READS)


async def test_what_a_model_answered_is_counted_with_its_tokens_and_the_gap_between_both_orders(kept: Kept) -> None:
    found = await assess(model_stage())
    assert found.status == "answered"  # type: ignore[attr-defined]
    assert kept.of(telemetry.MODEL_ANSWERS) == {("comparison", "answered"): 1}
    assert kept.of(telemetry.MODEL_TOKENS)["prompt",] > 0
    assert kept.of(telemetry.MODEL_TOKENS)["generated",] > 0
    assert kept.made[telemetry.ORDER_GAP].times == {(): 1}


async def test_an_answer_that_never_came_is_counted_by_its_reason(kept: Kept) -> None:
    assert isinstance(await assess(model_stage(fails=True)), ComparisonError)
    assert kept.of(telemetry.MODEL_ANSWERS) == {("comparison", "internal"): 1}
    assert not kept.made[telemetry.ORDER_GAP].times


async def test_an_answer_that_came_too_late_is_counted_as_that(kept: Kept) -> None:
    assert isinstance(await assess(model_stage(delay_s=5), within_s=0.1), ComparisonError)
    assert kept.of(telemetry.MODEL_ANSWERS) == {("comparison", "deadline_exceeded"): 1}


@pytest.mark.parametrize(("fails", "status"), [(False, "answered"), (True, "internal")])
async def test_a_conversation_is_counted_by_its_end(kept: Kept, fails: bool, status: str) -> None:
    stage = model_stage(fails=fails)
    said = [piece async for piece in stage.talk(Conversation((), (), max_tokens=3), Deadline.after(20))]
    assert isinstance(said[-1], ComparisonError) == fails
    assert kept.of(telemetry.MODEL_ANSWERS) == {("conversation", status): 1}


async def test_work_for_nobody_is_counted_in_seconds(kept: Kept) -> None:
    stage = model_stage(delay_s=0.6, ignores_stop=True)
    assert isinstance(await assess(stage, within_s=0.1), ComparisonError)
    for _ in range(1000):  # until the deaf work has ended
        if kept.of(telemetry.ABANDONED_SECONDS):
            break
        await asyncio.sleep(0.01)
    assert kept.of(telemetry.ABANDONED_SECONDS)[()] > 0


def test_tokens_of_pictures_and_the_gap_are_those_of_the_assessment(kept: Kept) -> None:
    recorder = counting.RayAssessmentRecorder()
    plan = MemoryPlan(700, 900, 1, 2, 1, 1.0, (10, 10), (10, 10))
    recorder.assessed(assessed(plan=plan, order_gap=0.25))
    recorder.assessed(assessed(plan=None, order_gap=None))
    assert kept.of(telemetry.VISUAL_TOKENS) == {(): 700}
    assert kept.of(telemetry.ORDER_GAP) == {(): 0.25}


def test_a_slow_upload_is_no_queue(kept: Kept) -> None:
    timings = TimingsReport(queue=450.0, prepare=1.0, measure=1.0, assess=1.0, total=1000.0)
    told_of = report.build(config(), examined(measured(0.5)), assessed(), timings, "id")
    record = RequestRecord("id", "POST", "/v1/compare", body_ms=400.0)
    note(record, told_of)
    counting.RayRecorder().request(record)
    told = kept.of(telemetry.STAGE_SECONDS)
    assert (told["body",], told["queue",]) == (0.4, 0.05)


def test_the_quota_of_jobs_stands_beside_what_is_taken_of_it(kept: Kept) -> None:
    counting.RayJobRecorder(1000).standing({"queued": 3}, 800)
    assert kept.of(telemetry.JOB_STORED_BYTES) == {(): 800}
    assert kept.of(telemetry.JOB_STORE_LIMIT_BYTES) == {(): 1000}
    assert kept.of(telemetry.JOBS) == {("queued",): 3}


def test_what_was_refused_is_told_from_what_failed(kept: Kept) -> None:
    recorder = counting.RayRecorder()
    for status, outcome, error in (
        (503, "failed", "overloaded"),
        (500, "failed", "internal"),
        (429, "refused", "rate"),
    ):
        record = RequestRecord("id", "POST", "/v1/compare", status=status, error=error)
        record.outcome = outcome  # type: ignore[assignment]
        recorder.request(record)
    assert kept.of(telemetry.REFUSALS) == {("overloaded",): 1, ("rate",): 1}
    assert kept.of(telemetry.REQUESTS)["/v1/compare", "failed", "internal"] == 1
