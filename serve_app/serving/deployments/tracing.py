"""Spans by OpenTelemetry, where Serve's own `tracing_config` is on: what is kept of them, and where they go.
Knows no stage. Of a span that Serve or anyone makes, only what is named here leaves this process.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any, Final, cast

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status, StatusCode, Tracer

from serve_app.core import spans
from serve_app.errors import ComparisonError
from serve_app.serving import request_id

logger = logging.getLogger("ray.serve")

_OURS: Final = "pairlens."
# Of Serve's spans. Not among them: path and route, which a caller may have typed, and a failure's own words.
_KEPT: Final = frozenset(
    {
        *("deployment", "app", "replica_id", "call_method", "is_streaming", "request_type", "request_method"),
        *("http.method", "http.status_code", "rpc.system", "rpc.method", "rpc.grpc.status_code", "rpc.service"),
    }
)
_REQUEST_ID: Final = "request_id"
# Serve names the proxy's span after method and path, and so the call to an ingress.
_PROXY: Final = "proxy_http_request"


def to_collector() -> list[SpanProcessor]:
    """What `tracing_config.exporter_import_path` names: spans in batches to the collector that the standard variables
    name (`OTEL_EXPORTER_OTLP_ENDPOINT`, http://localhost:4318 without it). Without the extra `tracing` it says so in
    the log and keeps none: a service is not to fail for want of it.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        logger.warning("tracing is on, but no span is kept: pip install 'pairlens[tracing]'")
        return []
    return [BatchSpanProcessor(Discreet(OTLPSpanExporter()))]


class Discreet(SpanExporter):
    """Hands spans on without what callers sent: no path, no text of a failure, no attribute that isn't known."""

    def __init__(self, to: SpanExporter) -> None:
        self._to = to

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._to.export([_discreet(span) for span in spans])

    def shutdown(self) -> None:
        self._to.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._to.force_flush(timeout_millis)


def _discreet(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=_PROXY if span.name.startswith("proxy_") else span.name,
        context=span.context,
        parent=span.parent,
        resource=_resource(span.resource),
        attributes=dict(_told(span.attributes or {})),
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _told(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in attributes.items():
        if name in _KEPT or name.startswith(_OURS) or (name == _REQUEST_ID and request_id.is_plain(str(value))):
            yield name, value


def _resource(given: Resource) -> Resource:
    """Named after the service, unless the operator did (`OTEL_SERVICE_NAME`)."""
    if not str(given.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        return given
    return given.merge(Resource({SERVICE_NAME: "pairlens"}))


def trace_stages() -> None:
    """Call it once in each replica: from then on `core.spans` are kept, where Serve has set up tracing here."""
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        spans.install(InTrace(trace.get_tracer("pairlens")))


class InTrace:
    """A `spans.Tracer`: each span belongs to the one that is open, and a request that is not traced has none."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def span(self, name: str) -> AbstractContextManager[spans.Note]:
        if not trace.get_current_span().is_recording():
            return spans.UNTRACED.span(name)
        return self._span(name)

    def carried(self, work: spans.Work) -> spans.Work:
        if not trace.get_current_span().is_recording():
            return work
        return cast("spans.Work", _within(contextvars.copy_context(), work))

    @contextmanager
    def _span(self, name: str) -> Iterator[spans.Note]:
        # Not its own record of an exception: that is its text and a traceback.
        with self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as span:
            try:
                yield lambda key, value: span.set_attribute(_OURS + key, value)
            except BaseException as exc:
                span.set_status(StatusCode.ERROR)
                kind = exc.type if isinstance(exc, ComparisonError) else type(exc).__name__
                span.set_attribute(f"{_OURS}error", kind)
                raise


def _within(context: contextvars.Context, work: Callable[..., object]) -> Callable[..., object]:
    @wraps(work)
    def called(*args: object, **options: object) -> object:
        return context.run(work, *args, **options)

    return called
