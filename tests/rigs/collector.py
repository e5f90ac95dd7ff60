"""Who spans are sent to: a small OTLP server over HTTP on a free port, that keeps what it got."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATH: Final = "/v1/traces"


@dataclass(frozen=True, slots=True)
class Kept:
    """One span. `trace`, `id`, `parent`: in hex. `status`: 2 is an error."""

    name: str
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    status: int
    events: int
    service: str


@dataclass(slots=True)
class Collector:
    url: str
    raw: list[bytes] = field(default_factory=list)
    spans: list[Kept] = field(default_factory=list)

    def of(self, trace: str) -> list[Kept]:
        return [span for span in list(self.spans) if span.trace == trace]

    def take(self, body: bytes) -> None:
        self.raw.append(body)
        for batch in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = {each.key: each.value.string_value for each in batch.resource.attributes}
            self.spans += [_kept(span, told["service.name"]) for scope in batch.scope_spans for span in scope.spans]


def _kept(span: Any, service: str) -> Kept:
    told = {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
    times = span.start_time_unix_nano, span.end_time_unix_nano
    return Kept(span.name, *ids, *times, told, span.status.code, len(span.events), service)


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            collector.take(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
