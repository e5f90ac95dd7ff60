"""An evaluation as one HTML file that opens without a network: its tables and plots, and the pairs that were wrong.
Knows no figures: tables and pictures are given. All that others wrote is text or data in it."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from serve_app.views.inlined import read, rendered
from serve_app.views.tables import Table

# What a browser can show of a file, by its name; all else is a link.
_SHOWN: Final = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".avif")
MOST_WRONG: Final = 2000  # listed; a page of more is slow


@dataclass(frozen=True, slots=True)
class WrongPair:
    """One that got another verdict than its label; paths as they are from here."""

    name: str
    kind: str
    label: str
    verdict: str
    similarity: float
    said: str
    reference: str
    candidate: str


def evaluation_html(
    title: str,
    said: str,
    tables: Sequence[Table],
    plots: Mapping[str, bytes],
    wrong: Sequence[WrongPair],
    folder: Path,
) -> str:
    """`plots`: PNG by what they show; they are in the page. Links to pictures lead from `folder`, where it will
    lie, and their thumbnails are loaded once they are seen."""
    return rendered(
        "evaluation.html.jinja",
        style=read("report/batch.css", "report/evaluation.css"),
        script="",
        pictures="data: 'self' file:",  # beside the page; a page from a disk has no self
        title=title,
        said=said,
        tables=tables,
        plots={name: f"data:image/png;base64,{base64.b64encode(png).decode()}" for name, png in plots.items()},
        wrong=[(each, _files(each, folder)) for each in wrong[:MOST_WRONG]],
        num_wrong=len(wrong),
    )


def _files(pair: WrongPair, folder: Path) -> list[tuple[str, str, bool]]:
    """Of both: the side, a link, and whether a browser can show it."""
    sides = (("reference", pair.reference), ("candidate", pair.candidate))
    return [(side, quote(os.path.relpath(path, folder)), path.lower().endswith(_SHOWN)) for side, path in sides]
