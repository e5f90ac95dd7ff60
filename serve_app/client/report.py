"""A report that can be looked at: as one HTML file, or in a notebook, with the pictures that were compared.
Asks no service: the pictures are read where they were taken from, and only drawn where they are still the same."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import PrivateAttr

from serve_app.client.pictures import Picture, Source, source
from serve_app.errors import ComparisonError, ImageRole
from serve_app.schema import ComparisonReport, VisualReport

if TYPE_CHECKING:
    from serve_app.client.wire import Pair

# Of one picture in a notebook, which keeps every report that was ever shown in it; a file may take more.
MOST_SHOWN_BYTES: Final = 150_000
_DRAWN: Final = (1600, 1600)
_QUALITY: Final = 85
# What is decoded beside the picture that is drawn, where a measurement would look: as little as can be.
_UNSEEN_PIXELS: Final = 10_000


class Report(ComparisonReport):
    """A `ComparisonReport` that remembers what was compared: bytes that were handed over, or where a file lies."""

    _pair: Pair | None = PrivateAttr(None)

    @staticmethod
    def of(report: ComparisonReport, pair: Pair | None) -> Report:
        """The same report; `pair` None: what was compared is not known here."""
        fields = {name: getattr(report, name) for name in ComparisonReport.model_fields}
        made = Report.model_construct(_fields_set=set(report.model_fields_set), **fields)
        made._pair = pair
        return made

    def save_html(
        self,
        path: str | os.PathLike[str],
        *,
        reference: Picture | None = None,
        candidate: Picture | None = None,
        title: str = "PairLens",
    ) -> Path:
        """Write it as one file of at most 3 MB that opens offline, and say where it lies.

        `reference`, `candidate`: where the report doesn't know them itself, as of a job that another process left. A
        picture that can't be read any more, or has changed since, is left out. Raises OSError.
        """
        from serve_app.views.html_report import MOST_BYTES

        given = [
            None if reference is None else source(reference, "reference"),
            None if candidate is None else source(candidate, "candidate"),
        ]
        written = Path(path)
        written.write_text(self._page(MOST_BYTES, title, *given), encoding="utf-8")
        return written

    def _repr_html_(self) -> str:
        """For notebooks: the page in a frame of its own."""
        from serve_app.views.notebook import framed

        return framed(self._page(MOST_SHOWN_BYTES, "PairLens"), self)

    def __eq__(self, other: object) -> bool:
        """As a report, whoever gave it."""
        if not isinstance(other, ComparisonReport):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in ComparisonReport.model_fields)

    __hash__ = ComparisonReport.__hash__

    def _page(
        self, most_bytes: int, title: str, reference: Source | None = None, candidate: Source | None = None
    ) -> str:
        from serve_app.views.html_report import html_report  # templates and a decoder, for who wants a page

        drawn = self.model_copy(update={"visuals": tuple(self._visuals(reference, candidate))})
        language = "en" if self._pair is None else self._pair.config.language
        return html_report(drawn, language, title=title, most_bytes=most_bytes)

    def _visuals(self, reference: Source | None, candidate: Source | None) -> Iterator[VisualReport]:
        """What the report has brought along, and the pictures that are missing there."""
        yield from self.visuals
        there = {each.kind for each in self.visuals}
        pair = self._pair
        own = (None, None) if pair is None else (pair.reference, pair.candidate)
        sides: list[tuple[ImageRole, Source | None]] = [
            ("reference", reference or own[0]),
            ("candidate", candidate or own[1]),
        ]
        for role, sent in sides:
            if role not in there and sent is not None:
                image = self._drawn(sent, role)
                if image is not None:
                    yield VisualReport(kind=role, image=image)

    def _drawn(self, sent: Source, role: ImageRole) -> str | None:
        """Upright sRGB as a JPEG, in a data URL; None for a picture that is not what was compared."""
        facts = self.images.reference if role == "reference" else self.images.candidate
        try:
            data = sent.read()
            return None if Source(data, "").digest() != facts.sha256 else _jpeg(data, role, self._frame)
        except (OSError, ComparisonError):
            return None  # deleted since, or taken by a service that takes more than is decoded here

    @property
    def _frame(self) -> int:
        return 0 if self._pair is None else self._pair.config.frame


def _jpeg(data: bytes, role: ImageRole, frame: int) -> str:
    """Raises `ComparisonError`."""
    from serve_app import imaging
    from serve_app.core.pictures import Upload
    from serve_app.settings import Limits

    limits, upload = Limits(), Upload(data)
    header = imaging.inspect(upload, limits, role, frame)
    scale = max(1.0, math.sqrt(header.width * header.height / _UNSEEN_PIXELS))
    imaging.check_decodable(header, scale, limits, role)
    prepared = imaging.prepare(upload, header, role, scale=scale, masks=(), shown=imaging.ShownSpec(_DRAWN, _QUALITY))
    assert prepared.shown is not None  # asked for
    return f"data:image/jpeg;base64,{base64.b64encode(prepared.shown.data).decode()}"
