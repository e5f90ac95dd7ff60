"""Whether `pairlens compare` shows the pair in the terminal, and how: by the option, and by what the terminal is.
Draws nothing."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, get_args

from serve_app.cli.files import CommandFailed

if TYPE_CHECKING:
    from rich.console import Console

    from serve_app.views.terminal_graphics import Place
    from serve_app.views.terminal_picture import Way

CHOICES: Final = ("auto", "never", "kitty", "iterm2", "sixel", "blocks")
# Half blocks are coarse: with fewer columns a label is a smear.
LEAST_COLUMNS: Final = 60
# A terminal that doesn't tell: smaller than most have it, so that no picture is wider than it.
USUAL_CELL_PX: Final = (8, 16)
# What of the height a picture takes: the headline is to stay in sight with it.
SHARE_OF_ROWS: Final = 2 / 3
LEAST_ROWS: Final = 8


def check(option: str) -> None:
    """Raises CommandFailed."""
    if option not in CHOICES:
        raise CommandFailed(f"--picture is one of {', '.join(CHOICES)}, not {option!r}.")


def way(option: str, environment: Mapping[str, str], console: Console) -> Way | None:
    """None: no picture. Never into what is no terminal, and with NO_COLOR only a way that is named."""
    from serve_app.views import terminal_graphics, terminal_picture

    if option == "never" or console.is_dumb_terminal or not console.file.isatty():
        return None
    if option != "auto":
        ways: tuple[Way, ...] = get_args(terminal_picture.Way)
        named = next(each for each in ways if each == option)
        return None if named == "blocks" and console.no_color else named
    if console.no_color:
        return None
    return terminal_graphics.spoken(environment) or ("blocks" if _can_block(console) else None)


def _can_block(console: Console) -> bool:
    is_fine = console.color_system in ("256", "truecolor")
    return is_fine and console.width >= LEAST_COLUMNS and console.encoding.startswith("utf")


def place(console: Console) -> Place:
    """A column is left free: some terminals break a line that is full."""
    from serve_app.views.terminal_graphics import Place

    rows = max(LEAST_ROWS, int(console.height * SHARE_OF_ROWS))
    return Place(max(1, console.width - 1), rows, _cell_px(console))


def _cell_px(console: Console) -> tuple[int, int]:
    try:
        import fcntl  # not on Windows, where a terminal doesn't tell
        import termios

        told = fcntl.ioctl(console.file.fileno(), termios.TIOCGWINSZ, bytes(8))
    except (ImportError, OSError, ValueError):
        return USUAL_CELL_PX
    rows, columns, width, height = struct.unpack("HHHH", told)
    if not (rows and columns and width >= columns and height >= rows):
        return USUAL_CELL_PX
    return width // columns, height // rows
