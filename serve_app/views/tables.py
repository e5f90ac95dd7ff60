"""A table of figures, and how it looks in a terminal.
Knows no report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head, all of them text: the first column names, the others are figures. `notes`: under it."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def show(tables: Sequence[Table], console: Console) -> None:
    """One under the other, within the console's width; what others wrote is no markup in them."""
    from rich import box
    from rich.table import Table as Drawn
    from rich.text import Text

    from serve_app.views.terminal import plain

    for table in tables:
        console.print(Text(table.title, style="bold"))
        if table.rows:
            drawn = Drawn(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
            for number, name in enumerate(table.head):
                drawn.add_column(Text(name), justify="right" if number else "left", overflow="fold")
            for row in table.rows:
                drawn.add_row(*(Text(plain(cell)) for cell in row))
            console.print(drawn)
        for note in table.notes:
            console.print(Text(plain(note)), soft_wrap=False)
        console.print()
