"""What a model says of a place, held against what the pixels say of it.
No pixels, no model: boxes and charts of change in, evidence out.

A model places a box to within some percent of a side, so what it says is refuted only where nothing changed around the
box either; and it names a measured difference only with a box that fits it, not with one around the whole picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from serve_app.core.assessed import Finding, PictureBox
from serve_app.core.measured import UNMEASURED, Chart, Examination
from serve_app.core.pictures import Box, ImageFacts
from serve_app.schema import DifferenceKind

SLACK: Final = 20  # thousandths of a side, on each side of a model's box
MEETS: Final = 0.1  # of the smaller of two boxes must be in both for them to be about one place
NAMES: Final = 0.2  # intersection over union from which a finding says what one measured difference is
FRAME: Final = 0.9  # of the picture: a difference of the frame, which holds every place and tells of none

Side = Literal["reference", "candidate"]
Evidence = Literal["confirmed", "model_only", "refuted"]


@dataclass(frozen=True, slots=True)
class Grounds:
    """One picture's measured differences and its chart, to hold boxes against."""

    facts: ImageFacts
    boxes: tuple[Box | None, ...]  # of `Measurement.differences`, in this picture
    kinds: tuple[DifferenceKind, ...]
    chart: Chart | None

    @classmethod
    def of(cls, examination: Examination, side: Side) -> Grounds:
        measured, is_first = examination.measurement, side == "reference"
        return cls(
            facts=examination.reference if is_first else examination.candidate,
            boxes=tuple(each.reference_box if is_first else each.candidate_box for each in measured.differences),
            kinds=tuple(each.kind for each in measured.differences),
            chart=None if measured.charts is None else measured.charts[0 if is_first else 1],
        )

    def box(self, place: PictureBox) -> Box:
        """In upright original pixels of this picture, at least one pixel."""
        width, height = self.facts.width, self.facts.height
        left, top = min(width - 1, place.left * width // 1000), min(height - 1, place.top * height // 1000)
        right = min(width, max(left + 1, -(-place.right * width // 1000)))
        bottom = min(height, max(top + 1, -(-place.bottom * height // 1000)))
        return Box(left, top, right - left, bottom - top)

    def evidence(self, place: PictureBox, kind: DifferenceKind | None) -> Evidence:
        """Of a change said to be at `place`; `kind`: what it is said to be, where that is known.

        confirmed: a measured difference lies there. model_only: the pixels changed there by less than what is
        listed, or they can't tell. refuted: nothing visible changed there.
        """
        if not self.boxes:
            return "refuted"
        near = _widened(place)
        if any(self._meets(index, self.box(near), kind) for index in range(len(self.boxes))):
            return "confirmed"
        fields = self._fields(near)
        return "model_only" if fields is None or any(fields) else "refuted"

    def named(self, place: PictureBox) -> int | None:
        """The index of the measured difference that this box fits best; None where it fits none."""
        own = self.box(place)
        fits = [0.0 if box is None or self._is_frame(box) else own.fit(box) for box in self.boxes]
        best = max(range(len(fits)), key=fits.__getitem__, default=None)
        return best if best is not None and fits[best] >= NAMES else None

    def changed_share(self, place: PictureBox) -> float:
        """Of the pixels at `place`, by the chart: visibly changed, 0..1; 0 where they can't tell."""
        fields = [one for one in self._fields(place) or b"" if one != UNMEASURED]
        return sum(fields) / 200 / len(fields) if fields else 0.0

    def _meets(self, index: int, own: Box, kind: DifferenceKind | None) -> bool:
        box = self.boxes[index]
        if box is None:
            return False
        if self._is_frame(box) and kind != self.kinds[index]:
            return self._is_frame(own)
        return own.overlap(box) >= MEETS * min(own.area, box.area)

    def _is_frame(self, box: Box) -> bool:
        return box.area >= FRAME * self.facts.width * self.facts.height

    def _fields(self, place: PictureBox) -> bytes | None:
        """The chart's fields that `place` touches; None without a chart."""
        chart = self.chart
        if chart is None:
            return None
        left, right = place.left * chart.columns // 1000, -(-place.right * chart.columns // 1000)
        top, bottom = place.top * chart.rows // 1000, -(-place.bottom * chart.rows // 1000)
        rows = (chart.fields[row * chart.columns : (row + 1) * chart.columns] for row in range(top, bottom))
        return b"".join(row[left:right] for row in rows)


@dataclass(frozen=True, slots=True)
class Grounded:
    """A finding with its evidence. `box`: in pixels of `side`; `index`: of the difference that it names."""

    finding: Finding
    side: Side
    box: Box
    evidence: Evidence
    index: int | None


def side_of(kind: str) -> Side:
    """The picture that a model's box is in: what was removed is in the reference only."""
    return "reference" if kind == "removed" else "candidate"


def ground(findings: tuple[Finding, ...], examination: Examination) -> tuple[Grounded, ...]:
    """Each finding held against the pixels."""
    sides = {side: Grounds.of(examination, side) for side in ("reference", "candidate")}
    grounded = []
    for finding in findings:
        side = side_of(finding.kind)
        grounds = sides[side]
        evidence = grounds.evidence(finding.box, finding.kind)
        index = grounds.named(finding.box) if evidence == "confirmed" else None
        grounded.append(Grounded(finding, side, grounds.box(finding.box), evidence, index))
    return tuple(grounded)


def _widened(place: PictureBox) -> PictureBox:
    return PictureBox(
        max(0, place.left - SLACK),
        max(0, place.top - SLACK),
        min(1000, place.right + SLACK),
        min(1000, place.bottom + SLACK),
    )
