"""A sure change of text leads: no difference without one is more severe.
Knows no report: measurement and reading in, both out, still in one order."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from serve_app.core.measured import Measurement
from serve_app.core.reading import Reading

LEAST_SEVERITY: Final = 0.5  # of a place where the words are others, however few pixels they are


def text_first(measured: Measurement, reading: Reading) -> tuple[Measurement, Reading]:
    """Both with the differences most severe first again, once those with a sure change of text have been raised.

    To be called before anything refers to a difference by its index: crops, drawings, what a model is asked.
    """
    found = measured.differences
    leading = [reading.leads(index) for index in range(len(found))]
    least = max([LEAST_SEVERITY, *(each.severity for each, leads in zip(found, leading, strict=True) if not leads)])
    raised = [
        replace(each, severity=max(each.severity, least)) if leads else each
        for each, leads in zip(found, leading, strict=True)
    ]
    order = sorted(range(len(found)), key=lambda index: (-raised[index].severity, not leading[index]))
    changes = tuple(reading.text_in(index) for index in order) if reading.changes else ()
    return replace(measured, differences=tuple(raised[index] for index in order)), replace(reading, changes=changes)
