"""A report's page in the output of a notebook: in a frame of its own, which can reach nothing of the notebook.
Where a notebook is not trusted its frames are taken out, and what is left is a sentence."""

from __future__ import annotations

from html import escape
from typing import Final

from serve_app.schema import ComparisonReport

HEIGHT_PX: Final = 640


def framed(page: str, report: ComparisonReport) -> str:
    """HTML for `_repr_html_`. `allow-scripts` alone: the page has an origin of its own, no forms, no windows.

    The text inside the frame is what browsers show that have none, and what sanitisers leave.
    """
    told = f"{report.verdict.upper()}, similarity {report.similarity:.2f}. {report.summary}"
    return (
        f'<iframe sandbox="allow-scripts" srcdoc="{escape(page)}" title="PairLens: {escape(report.verdict)}" '
        f'style="width:100%;height:{HEIGHT_PX}px;border:0">{escape(told)}</iframe>'
    )
