"""Comparisons as steps: what is sent where, and what comes back. No sockets.
All raise `ComparisonError` and its kinds as the service refuses, `ServerFailed` where it does not answer, and end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from pydantic import ValidationError

from serve_app.client import wire
from serve_app.client.failures import NotUnderstood
from serve_app.client.report import Report
from serve_app.client.service import Service
from serve_app.client.steps import Flow, Request
from serve_app.client.wire import TRAVEL_S, Event, Pair
from serve_app.schema import ComparisonReport, Envelope
from serve_app.schema.stream import Measured, Progress, Read

# What a stream tells, in this order; the report is the last.
StreamEvent: TypeAlias = Progress | Measured | Read | Report
_BEFORE: Final[Mapping[str, type[Progress | Measured | Read]]] = {
    "progress": Progress,
    "measurement": Measured,
    "text": Read,
}


@dataclass(frozen=True, slots=True)
class Comparisons:
    service: Service

    def compare(self, pair: Pair) -> Flow[Report]:
        """Sent again where that may help: it changes nothing, and an answer that is there is told again."""
        request = Request("POST", "/v1/compare", fields=pair.fields, parts=pair.parts)
        found = yield from self.service.asked(request, ComparisonReport, _timeout_s(pair))
        return Report.of(found, pair)

    def stream(self, pair: Pair) -> Flow[None]:
        """Tells `StreamEvent`s; those of a later version that are not known here are passed over."""
        request = Request("POST", "/v1/compare/stream", fields=pair.fields, parts=pair.parts)

        def read(event: Event) -> StreamEvent | None:
            if event.name == "error":
                raise wire.event_error(event, self.service.server)
            if event.name == "report":
                return Report.of(self._report(event), pair)
            kind = _BEFORE.get(event.name)
            return None if kind is None else wire.event_data(event, self.service.server, kind)

        yield from self.service.streamed(request, _timeout_s(pair), read, Report)

    def _report(self, event: Event) -> ComparisonReport:
        try:
            envelope = Envelope[ComparisonReport].model_validate_json(event.data, extra="ignore")
        except ValidationError:
            envelope = None
        if envelope is None or envelope.data is None:
            told = f"{self.service.server} told of a report, but not as PairLens does."
            raise NotUnderstood(told, status=200) from None
        return envelope.data


def _timeout_s(pair: Pair) -> float:
    return pair.config.processing_timeout + TRAVEL_S
