"""Batches as steps: many pairs in one form, then their rows as they are done. No sockets.
A picture that stands in several pairs is sent once."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from serve_app.client.jobs import paged
from serve_app.client.patience import Deadline
from serve_app.client.pictures import Picture, Source, source
from serve_app.client.report import Report
from serve_app.client.service import FIRST_PAUSE_S, LONGEST_PAUSE_S, Service
from serve_app.client.steps import Flow, Request, Tell
from serve_app.client.wire import Config, Pair, config_of
from serve_app.errors import AlreadyEnded, ImageRole, ManifestRejected
from serve_app.schema import (
    BatchList,
    BatchReport,
    BatchResult,
    BatchResults,
    ImageComparisonConfig,
    JobStatus,
    PairOutcome,
    PdfOptions,
)
from serve_app.storage.manifest import ManifestWrong, listed

# Pairs in their order; by their names; or a .csv or .jsonl that names them.
Pairs: TypeAlias = Iterable[tuple[Picture, Picture]] | Mapping[str, tuple[Picture, Picture]] | str | os.PathLike[str]
BATCHES = "/v1/batches"
WAIT_S = 3600.0
PAGE = 100  # as many as a page may have


@dataclass(slots=True)
class Form:
    """Files under names of their own, and the list that names them."""

    files: dict[str, Source] = field(default_factory=dict)
    lines: list[dict[str, str]] = field(default_factory=list)
    _names: dict[object, str] = field(default_factory=dict)
    _pair_names: set[str] = field(default_factory=set)

    def add(self, name: str | None, reference: Picture, candidate: Picture) -> None:
        """Raises `ImageRejected`, TypeError."""
        one, other = self._file(reference, "reference"), self._file(candidate, "candidate")
        told = name if name is not None else _apart(other, self._pair_names)
        self._pair_names.add(told)
        self.lines.append({"name": told, "reference": one, "candidate": other})

    @property
    def parts(self) -> list[tuple[str, Source]]:
        manifest = "".join(json.dumps(line) + "\n" for line in self.lines)
        named = [("files", Source(sent.content, name)) for name, sent in self.files.items()]
        return [("manifest", Source(manifest.encode(), "pairs.jsonl")), *named]

    def pair(self, number: int, config: ImageComparisonConfig) -> Pair:
        """The pair of this number, from 1, as it was sent."""
        line = self.lines[number - 1]
        return Pair(self.files[line["reference"]], self.files[line["candidate"]], config)

    def _file(self, picture: Picture, role: ImageRole) -> str:
        key: object = os.fspath(picture) if isinstance(picture, str | os.PathLike) else id(picture)
        if key not in self._names:
            sent = source(picture, role)
            self._names[key] = name = _apart(_told(sent), self.files)
            self.files[name] = sent
        return self._names[key]


def form(pairs: Pairs) -> Form:
    """Raises `ManifestRejected` with all faults of a list, `ImageRejected`, OSError, TypeError."""
    made = Form()
    kept = list(_named(pairs))  # alive until all are read: equal ids are then the same picture
    for name, reference, candidate in kept:
        made.add(name, reference, candidate)
    if not made.lines:
        raise ManifestRejected("There is no pair to compare.")
    return made


def _named(pairs: Pairs) -> Iterator[tuple[str | None, Picture, Picture]]:
    if isinstance(pairs, str | os.PathLike):
        try:
            found = listed(Path(pairs))
        except ManifestWrong as exc:
            rejected = ManifestRejected(f"The list can't be used, and nothing was sent: {' '.join(exc.faults)}")
            rejected.faults = tuple(exc.faults)
            raise rejected from None
        for each in found:
            assert each.reference is not None  # a list names both
            assert each.candidate is not None
            yield each.name, each.reference, each.candidate
    elif isinstance(pairs, Mapping):
        for name, (reference, candidate) in pairs.items():
            yield name, reference, candidate
    else:
        for reference, candidate in pairs:
            yield None, reference, candidate


def _told(sent: Source) -> str:
    """What the service is to call a file: as a person tells two folders apart, and no more of where it lies."""
    folder = sent.content.parent.name if isinstance(sent.content, Path) else ""
    name = f"{folder}/{sent.name}" if folder not in ("", "..") else sent.name
    return name.replace('"', "_").replace("\\", "_")  # what forms write otherwise


def _apart(name: str, taken: Iterable[str]) -> str:
    number, other, known = 1, name, set(taken)
    while other in known:
        number += 1
        other = f"{number}/{name}"
    return other


@dataclass(frozen=True, slots=True)
class BatchCalls:
    service: Service

    def create(
        self, sent: Form, config: Config | None, pdf: PdfOptions | None, idempotency_key: str | None
    ) -> Flow[BatchReport]:
        fields = {"config": config_of(config).model_dump_json(exclude_unset=True)}  # as wire.Pair
        if pdf is not None:
            fields["pdf"] = pdf.model_dump_json()
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        request = Request("POST", BATCHES, headers=headers, fields=fields, parts=sent.parts)
        return (yield from self.service.asked(request, BatchReport))

    def get(self, batch_id: str) -> Flow[BatchReport]:
        return (yield from self.service.asked(_one(batch_id), BatchReport))

    def page(self, statuses: Sequence[JobStatus], limit: int, cursor: str | None) -> Flow[BatchList]:
        request = Request("GET", BATCHES, params=paged("status", statuses, limit, cursor))
        return (yield from self.service.asked(request, BatchList))

    def cancel(self, batch_id: str) -> Flow[BatchReport]:
        """One that is cancelled already stays so: the answer to an earlier try may have been lost."""
        try:
            return (yield from self.service.asked(_one(batch_id, "DELETE"), BatchReport))
        except AlreadyEnded:
            found = yield from self.get(batch_id)
            if found.status != "cancelled":
                raise
            return found

    def wait(self, batch_id: str, timeout_s: float) -> Flow[BatchReport]:
        """Until it has ended, also while the service restarts. Raises `StillAtWork`."""
        return (yield from self.service.waited(_one(batch_id), BatchReport, timeout_s, *_work(batch_id)))

    def events(self, batch_id: str, timeout_s: float) -> Flow[None]:
        """Tells the batch as it stands after each change. Raises `StillAtWork`."""
        request = Request("GET", f"{BATCHES}/{batch_id}/events")
        yield from self.service.followed(request, BatchReport, timeout_s, *_work(batch_id))

    def results(self, batch_id: str, outcomes: Sequence[PairOutcome], timeout_s: float) -> Flow[None]:
        """Tells each `BatchResult` as it is done, in the order of the pairs, to the last. Raises `StillAtWork`."""
        deadline, cursor, pause_s = Deadline.after(timeout_s, self.service.clock), None, FIRST_PAUSE_S
        while True:
            params = paged("outcome", outcomes, PAGE, cursor)
            request = Request("GET", f"{BATCHES}/{batch_id}/results", params=params)
            page = yield from self.service.patiently(request, BatchResults, deadline, *_work(batch_id))
            for row in page.results:
                yield Tell(row)
            if page.next_cursor is None:
                return
            if page.next_cursor != cursor:
                cursor, pause_s = page.next_cursor, FIRST_PAUSE_S
            else:
                yield from self.service.rested(pause_s, deadline, *_work(batch_id))
                pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)


def pictured(row: BatchResult, sent: Form | None, config: Config | None) -> BatchResult:
    """The row with a report that can be shown with its pictures, where what was sent is known."""
    if row.report is None:
        return row
    is_known = sent is not None and row.number <= len(sent.lines) and sent.lines[row.number - 1]["name"] == row.name
    pair = sent.pair(row.number, config_of(config)) if sent is not None and is_known else None
    return row.model_copy(update={"report": Report.of(row.report, pair)})


def _one(batch_id: str, method: str = "GET") -> Request:
    return Request(method, f"{BATCHES}/{batch_id}")


def _work(batch_id: str) -> tuple[str, str]:
    return f"The batch {batch_id}", batch_id
