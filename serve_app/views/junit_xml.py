"""A batch for continuous integration: JUnit's XML, a test case a pair."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree

from serve_app.schema import PairReport

# What XML 1.0 has no way to write.
_UNWRITABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SAID: Final = {
    "added": "There is a candidate of this name, and no reference.",
    "removed": "There is a reference of this name, and no candidate.",
}


def junit_xml(rows: Sequence[PairReport]) -> str:
    """A failure for each pair that is not a match, an error for each that could not be compared."""
    failed = [row for row in rows if row.outcome not in ("match", "failed")]
    errors = [row for row in rows if row.outcome == "failed"]
    counts = {"tests": str(len(rows)), "failures": str(len(failed)), "errors": str(len(errors))}
    suite = ElementTree.Element("testsuite", {"name": "pairlens", **counts})
    for row in rows:
        seconds = row.report.timings_ms.total / 1000 if row.report else 0.0
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": "pairlens", "name": _plain(row.name), "time": f"{seconds:.3f}"}
        )
        if row.outcome == "failed" and row.error is not None:
            ElementTree.SubElement(case, "error", {"type": row.error.type, "message": _plain(row.error.detail)})
        elif row.outcome != "match":
            said = row.report.summary if row.report else _SAID[row.outcome]
            ElementTree.SubElement(case, "failure", {"type": row.outcome, "message": _plain(said)})
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _plain(text: str) -> str:
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)
