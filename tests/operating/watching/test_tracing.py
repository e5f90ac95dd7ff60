"""Spans in one process: what they hang on, what they cost where nobody traces, and what never leaves with them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode, Tracer

from serve_app.chat.talker import Talker
from serve_app.comparison.assessor import Assessor
from serve_app.comparison.examiner import Examiner
from serve_app.comparison.pipeline import Pipeline
from serve_app.core import spans
from serve_app.core.clock import Deadline, Stop
from serve_app.core.conversation import Conversation, Turn
from serve_app.core.inquiry import Inquiry, ModelOutput
from serve_app.errors import ImageRejected
from serve_app.operating import own_ray, serve_file
from serve_app.operating.serve_file import ServeFileError
from serve_app.serving.deployments import tracing
from serve_app.settings import ModelSettings, ScriptedSettings, ServerSettings, Settings
from serve_app.vlm.local.pretrained import PretrainedModel
from tests.vlm.local.test_pretrained import settings_for
from tests.vlm.local.test_talk import picture
from tests.vlm.remote.test_model import plainly
from tests.worlds import checkpoints
from tests.worlds.chat_server import playing
from tests.worlds.samples import config, upload

SECRET = "what a caller typed"


class Exported(SpanExporter):
    """Keeps what would have been sent."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Any) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS

    def named(self, name: str) -> ReadableSpan:
        (found,) = (span for span in self.spans if span.name == name)
        return found


@pytest.fixture
def exported() -> Exported:
    return Exported()


@pytest.fixture
def tracer(exported: Exported) -> Iterator[Tracer]:
    """As in a replica where Serve has set up tracing; gone again afterwards."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(tracing.Discreet(exported)))
    found = provider.get_tracer("test")
    spans.install(tracing.InTrace(found))
    yield found
    spans.install(spans.UNTRACED)


def pipeline(model: ModelSettings | None = None) -> Pipeline:
    settings = Settings(model=model or ModelSettings(engine="scripted", scripted=ScriptedSettings()))
    examiner = Examiner(settings.limits, settings.preprocessing, shows_images=True)
    return Pipeline(examiner, Assessor(settings.model), settings)


async def test_a_comparison_is_one_trace_of_its_stages(tracer: Tracer, exported: Exported) -> None:
    service, asked = pipeline(), config()
    exported.spans.clear()
    with tracer.start_as_current_span("request") as request:
        await service.compare(upload(), upload("red"), asked, service.deadline(asked))
    assert {span.context.trace_id for span in exported.spans} == {request.get_span_context().trace_id}
    parents = {span.name: span.parent.span_id for span in exported.spans if span.parent}
    of = {span.name: span.context.span_id for span in exported.spans}
    for stage, parts in {
        "request": ("queue examine", "examine", "queue assess", "assess", "report"),
        "examine": ("wait for memory", "prepare", "measure", "read"),  # on other threads
        "assess": ("wait for the device", "prompt", "model", "parse"),
    }.items():
        for part in parts:
            assert parents[part] == of[stage], (part, stage)
    told = exported.named("model").attributes or {}
    assert told["pairlens.prompt_tokens"] == 100
    order = sorted(exported.spans, key=lambda span: span.start_time or 0)
    work = [span.name for span in order if span.name in ("prepare", "measure", "prompt", "model", "parse", "report")]
    assert work == ["prepare", "measure", "prompt", "model", "parse", "report"]


async def traced(service: Pipeline, tracer: Tracer, exported: Exported) -> None:
    """One comparison within a span; what was loaded before it is in no trace."""
    asked = config(focus_elements=["the red square"])
    exported.spans.clear()
    with tracer.start_as_current_span("request"):
        await service.compare(upload(), upload("red"), asked, service.deadline(asked))


def inside(exported: Exported, name: str) -> list[ReadableSpan]:
    """The spans that hang on the one of this name, as they began."""
    above = exported.named(name).context.span_id
    below = [span for span in exported.spans if span.parent and span.parent.span_id == above]
    return sorted(below, key=lambda span: span.start_time or 0)


async def test_a_checkpoint_tells_its_prompt_and_its_steps(
    tracer: Tracer, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Inquiry] = []
    answer = PretrainedModel.answer

    def noted(self: PretrainedModel, inquiry: Inquiry, stop: Stop) -> ModelOutput:
        asked.append(inquiry)
        return answer(self, inquiry, stop)

    monkeypatch.setattr(PretrainedModel, "answer", noted)
    service = pipeline(settings_for(checkpoints.tiny_qwen3_vl(tmp_path)))
    await traced(service, tracer, exported)
    parts = inside(exported, "model")
    assert [part.name for part in parts] == ["look at pictures", "read the prompt", "decode"]
    _, read, decode = (part.attributes or {} for part in parts)
    model = exported.named("model").attributes or {}
    assert 0 < int(str(read["pairlens.visual_tokens"])) < int(str(model["pairlens.prompt_tokens"]))
    assert decode["pairlens.rows"] == len(asked[-1].questions) + len(asked[-1].swapped_questions)
    assert 0 < int(str(decode["pairlens.steps"])) <= int(str(model["pairlens.generated_tokens"]))


async def test_a_conversation_with_a_checkpoint_tells_its_steps(
    tracer: Tracer, exported: Exported, tmp_path: Path
) -> None:
    assessor = Assessor(settings_for(checkpoints.tiny_qwen3_vl(tmp_path)))
    said = Conversation((Turn("user", (0, "Which colour?")),), (picture(),), max_tokens=5)
    exported.spans.clear()
    with tracer.start_as_current_span("request"):
        async for _ in Talker(assessor.model, assessor.device).talk(said, Deadline.after(60)):
            pass
    parts = inside(exported, "model")
    assert [part.name for part in parts] == ["read the prompt", "decode"]
    told = exported.named("model").attributes or {}
    assert (parts[1].attributes or {})["pairlens.steps"] == told["pairlens.generated_tokens"]


async def test_each_question_to_a_server_is_a_span_of_its_own(tracer: Tracer, exported: Exported) -> None:
    with playing(plainly) as played:
        service = pipeline(ModelSettings(engine="openai", name="tiny", server=ServerSettings(base_url=played.url)))
        played.asked.clear()
        await traced(service, tracer, exported)
        assert [part.name for part in inside(exported, "model")] == ["ask the server"] * len(played.asked)
    assert len(played.asked) > 1


async def test_a_request_that_is_not_traced_has_no_span(tracer: Tracer, exported: Exported) -> None:
    service, asked = pipeline(), config()
    await service.compare(upload(), upload("red"), asked, service.deadline(asked))
    assert exported.spans == []


def test_where_nobody_traces_nothing_is_made() -> None:
    assert spans.span("one") is spans.span("two")
    work = threading.Event().set
    assert spans.carried(work) is work
    with spans.span("one") as note:
        note("tokens", 3)


async def test_a_failed_stage_says_its_kind_and_not_its_words(tracer: Tracer, exported: Exported) -> None:
    with tracer.start_as_current_span("request"):
        with pytest.raises(ImageRejected), spans.span("ours"):
            raise ImageRejected(SECRET)
        with pytest.raises(RuntimeError), spans.span("theirs"):
            raise RuntimeError(SECRET)
    for name, kind in (("ours", "image_unreadable"), ("theirs", "RuntimeError")):
        span = exported.named(name)
        assert (span.attributes or {}) == {"pairlens.error": kind}
        assert span.status.status_code is StatusCode.ERROR
        assert SECRET not in span.to_json()


def test_of_serves_spans_only_what_is_known_leaves(tracer: Tracer, exported: Exported) -> None:
    with tracer.start_as_current_span(f"proxy_http_request Ingress GET /{SECRET}") as span:
        span.set_attributes(
            {"http.route": SECRET, "request_route_path": SECRET, "route": SECRET, "resource.name": SECRET}
        )
        span.set_attributes({"deployment": "Ingress", "http.status_code": 200, "request_id": "my-id.1"})
        span.record_exception(ValueError(SECRET))
        span.add_event(SECRET, {SECRET: SECRET})
        span.set_status(StatusCode.ERROR, SECRET)
    (left,) = exported.spans
    assert left.name == "proxy_http_request"
    assert dict(left.attributes or {}) == {"deployment": "Ingress", "http.status_code": 200, "request_id": "my-id.1"}
    assert left.events == ()
    assert SECRET not in left.to_json()
    assert left.resource.attributes["service.name"] == "pairlens"


@pytest.mark.parametrize("sent", ["a b", "<script>", "x" * 200, ""])
def test_an_id_that_is_not_plain_is_left_out(tracer: Tracer, exported: Exported, sent: str) -> None:
    with tracer.start_as_current_span("call") as span:
        span.set_attribute("request_id", sent)
    assert dict(exported.named("call").attributes or {}) == {}


def test_without_the_extra_the_service_starts_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.setattr(tracing.logger, "propagate", True)
    assert tracing.to_collector() == []
    assert "pairlens[tracing]" in caplog.text


def test_with_the_extra_spans_go_out_in_batches() -> None:
    (processor,) = tracing.to_collector()
    processor.shutdown()


def test_serve_takes_the_exporter_by_its_name() -> None:
    from ray.serve._private.tracing_utils import _load_span_processors

    (processor,) = _load_span_processors(EXPORTER, "unused")
    processor.shutdown()


EXPORTER = "serve_app.serving.deployments.tracing:to_collector"


def test_the_proxy_is_told_what_the_file_says() -> None:
    told = own_ray.tracing_environment({"enabled": True, "exporter_import_path": EXPORTER, "sampling_ratio": 0.5})
    assert told == {
        "RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH": EXPORTER,
        "RAY_SERVE_TRACING_SAMPLING_RATIO": "0.5",
    }
    assert own_ray.tracing_environment(None) == {}
    assert own_ray.tracing_environment({"enabled": False, "exporter_import_path": EXPORTER}) == {}


def test_rays_own_exporter_has_to_be_meant() -> None:
    raw: dict[str, Any] = {"http_options": {"host": "127.0.0.1"}, "tracing_config": {"enabled": True}}
    raw["applications"] = [{"name": "pairlens", "import_path": "serve_app.app:build", "args": {}}]
    with pytest.raises(ServeFileError, match="exporter_import_path"):
        serve_file.check(raw)
    raw["tracing_config"]["exporter_import_path"] = EXPORTER
    assert serve_file.check(raw).name == "pairlens"
