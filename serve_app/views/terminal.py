"""A report for a person at a terminal.
Knows no pipeline and no server: a finished report in, text out, as wide as the terminal is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from serve_app.schema import BoxField, ComparisonReport, Difference, ImageReport, TextEvidenceReport

COLOURS: Final = {"match": "green", "mismatch": "red", "uncertain": "yellow"}
# Cells left beside the facts of a row, from which on its text stands there and not under it.
TEXT_WIDTH: Final = 48
# More are in the JSON; the most severe come first.
MOST_DIFFERENCES: Final = 12


def show(report: ComparisonReport, console: Console) -> None:
    """Print all of `report` but its pictures."""
    console.print(Group(*_sections(report, console.width - 2)))


def plain(text: str) -> str:
    """`text` without control characters: what a model, a server or a file wrote must not steer the terminal."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _sections(report: ComparisonReport, width: int) -> Iterator[RenderableType]:
    yield _headline(report)
    yield Padding(Text(plain(report.summary)), (0, 0, 1, 2))
    if report.differences:
        yield from _titled(_count(report), _differences(report.differences, width))
    yield from _titled("Aspects", _aspects(report, width))
    if report.focus_elements:
        yield from _titled("Focus elements", _focus_elements(report, width))
    yield _facts(report)
    for warning in report.warnings:
        yield Text.assemble(("! ", "bold yellow"), plain(warning))


def _headline(report: ComparisonReport) -> Text:
    low, high = report.similarity_interval
    return Text.assemble(
        (f" {report.verdict.upper()} ", f"bold reverse {COLOURS[report.verdict]}"),
        (f"  similarity {report.similarity:.3f}", "bold"),
        (f"  between {low:.3f} and {high:.3f}, threshold {report.similarity_threshold:g}", "dim"),
    )


def _titled(title: str, body: RenderableType) -> Iterator[RenderableType]:
    yield Text(title, style="bold")
    yield Padding(body, (0, 0, 1, 2))


def _count(report: ComparisonReport) -> str:
    total = len(report.differences) + report.measurement.further_differences
    return f"{total} difference{'s' if total > 1 else ''}, most severe first; boxes are x, y, width, height"


def _rows(columns: Sequence[str], rows: Sequence[tuple[Sequence[str], str]], width: int) -> RenderableType:
    """Facts in columns as wide as they are, and a text to each row: beside them, or under them."""
    widths = [max(len(column), *(cell_len(facts[at]) for facts, _ in rows)) for at, column in enumerate(columns)]
    if sum(widths) + len(widths) + TEXT_WIDTH <= width:
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
        for column in (*columns, ""):
            table.add_column(column, overflow="fold")
        for facts, text in rows:
            table.add_row(*map(Text, facts), Text(text))
        return table
    lines: list[RenderableType] = []
    for facts, text in ((columns, ""), *rows):
        cells = (set_cell_size(fact, wide) for fact, wide in zip(facts, widths, strict=True))
        lines.append(Text(" ".join(cells).rstrip(), style="" if text else "dim"))
        if text:
            lines.append(Padding(Text(text), (0, 0, 0, 2)))
    return Group(*lines)


def _differences(differences: tuple[Difference, ...], width: int) -> RenderableType:
    rows = [
        (
            (
                str(number),
                each.kind,
                f"{each.severity:.2f}",
                _box(each.reference_box),
                "same place" if each.candidate_box == each.reference_box else _box(each.candidate_box),
                each.evidence.replace("_", " "),
            ),
            plain(each.description),
        )
        for number, each in enumerate(differences[:MOST_DIFFERENCES], 1)
    ]
    table = _rows(("", "kind", "severity", "in reference", "in candidate", "evidence"), rows, width)
    rest = len(differences) - MOST_DIFFERENCES
    return Group(table, Text(f"and {rest} more (--json lists them)", style="dim")) if rest > 0 else table


def _aspects(report: ComparisonReport, width: int) -> RenderableType:
    rows = [
        ((_score(each.score), _score(each.measured_score), plain(each.name)), plain(each.explanation))
        for each in report.aspects
    ]
    return _rows(("score", "measured", "aspect"), rows, width)


def _focus_elements(report: ComparisonReport, width: int) -> RenderableType:
    rows = [
        (
            (each.status, _score(each.score), " ".join(map(_box, each.boxes)) or "-", plain(each.name)),
            plain(each.explanation),
        )
        for each in report.focus_elements
    ]
    return _rows(("status", "score", "boxes", "element"), rows, width)


def _facts(report: ComparisonReport) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("Measured", Text(_measured(report)))
    if text := _text(report.measurement.text):
        table.add_row("Text", Text(plain(text)))
    table.add_row("Reference", Text(plain(_image(report.images.reference))))
    table.add_row("Candidate", Text(plain(_image(report.images.candidate))))
    table.add_row("Model", Text(plain(_model(report))))
    table.add_row("Time", Text(_time(report)))
    return table


def _measured(report: ComparisonReport) -> str:
    found = report.measurement
    if found.identical:
        return "identical, pixel for pixel"
    facts = [f"{found.changed_ratio:.2%} changed", f"SSIM {found.ssim:.3f}", f"colour ΔE {found.color_delta_e:.2f}"]
    where = found.alignment
    if where.kind not in {"identity", "none"}:
        dx, dy = where.shift
        facts.append(
            f"{where.kind} by {dx:.1f}, {dy:.1f} px, scale {where.scale:.3f}, turned {where.rotation_deg:.1f}°"
        )
    facts.append(f"sees details from {found.smallest_visible_px:g} px")
    return ", ".join(facts)


def _text(found: TextEvidenceReport) -> str:
    """Nothing where nobody asked, or nothing differs."""
    if found.status == "off":
        return ""
    if found.status == "not_installed":
        return "not read: no reader is installed (pip install 'pairlens[text]')"
    said = {"read": f"{found.lines} lines read", "nothing_to_read": "none found", "timed_out": "not read in time"}
    reader = ", ".join(part for part in (found.model, found.engine) if part)
    return said[found.status] + (f" ({reader})" if reader else "")


def _image(image: ImageReport) -> str:
    notes = f"; {'; '.join(image.decode_notes)}" if image.decode_notes else ""
    return f"{image.width} x {image.height} {image.format}, {image.bytes / 1000:,.0f} kB{notes}"


def _model(report: ComparisonReport) -> str:
    model = report.model
    if model.status == "disabled":
        return "none: measurement only"
    name = " ".join(part for part in (model.engine, model.name, model.revision) if part)
    gap = "" if model.order_gap is None else f", order gap {model.order_gap:.2f}"
    tokens = "" if model.tokens is None else f", {model.tokens.prompt} + {model.tokens.generated} tokens"
    return f"{name}: {model.status.replace('_', ' ')}{gap}{tokens}"


def _time(report: ComparisonReport) -> str:
    spent = report.timings_ms
    stages = [("wait", spent.queue), ("prepare", spent.prepare), ("measure", spent.measure)]
    stages += [("read", spent.read)] if spent.read else []
    stages += [("model", spent.assess)]
    return f"{spent.total:.0f} ms ({', '.join(f'{name} {ms:.0f}' for name, ms in stages)})"


def _score(score: float | None) -> str:
    return "-" if score is None else f"{score:.2f}"


def _box(box: BoxField | None) -> str:
    return "-" if box is None else ",".join(str(side) for side in box)  # as --ignore takes it
