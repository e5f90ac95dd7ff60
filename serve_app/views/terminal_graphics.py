"""A picture as the bytes that a terminal draws it from: kitty's graphics protocol, iTerm2's inline images, sixel.
Knows no report and reads no environment: what the terminal says of itself is handed in.

No library: textual-image 0.12 (LGPL) finds out by asking the terminal and eats keys that are typed meanwhile, and has
no iTerm2; term-image 0.7.2 is of June 2024 and refuses our Pillow; rich-pixels draws half blocks only.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from PIL import Image

Protocol = Literal["kitty", "iterm2", "sixel"]

# Of what is sent for one picture: a second on a slow line. Screenshots take a tenth of it.
MOST_BYTES: Final = 1024 * 1024
NUM_COLOURS: Final = 64  # of sixel: each costs a pass over each band
_CHUNK: Final = 4096  # kitty's bound
_BAND: Final = 6  # rows of a sixel
_SMALLER: Final = 0.7
_LONG_RUN: Final = re.compile(rb"(.)\1{3,}", re.DOTALL)
# As each terminal names itself in TERM_PROGRAM, and in the begin of TERM.
_PROGRAMS: Final[Mapping[str, Protocol]] = {
    "ghostty": "kitty", "kitty": "kitty", "iTerm.app": "iterm2", "WezTerm": "iterm2", "mintty": "iterm2",
}  # fmt: skip
_TERMS: Final[Mapping[str, Protocol]] = {
    "xterm-kitty": "kitty", "xterm-ghostty": "kitty", "foot": "sixel", "mlterm": "sixel", "contour": "sixel",
    "yaft": "sixel",
}  # fmt: skip
_KONSOLE_SIXEL: Final = 220400  # the first version that draws them


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture may stand. `cell_px`: width and height of one character."""

    columns: int
    rows: int
    cell_px: tuple[int, int]

    @property
    def size_px(self) -> tuple[int, int]:
        return self.columns * self.cell_px[0], self.rows * self.cell_px[1]

    def cells(self, image: Image.Image) -> tuple[int, int]:
        """Columns and rows that it takes, begun ones too."""
        return -(-image.width // self.cell_px[0]), -(-image.height // self.cell_px[1])


def spoken(environment: Mapping[str, str]) -> Protocol | None:
    """What the terminal draws pictures from, by what it says of itself; None where it says nothing, and within a
    multiplexer, which would print them as text."""
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if "TMUX" in environment or "STY" in environment or term.startswith(("screen", "tmux")):
        return None
    for name, protocol in _TERMS.items():
        if term.startswith(name):
            return protocol
    if program in _PROGRAMS:
        return _PROGRAMS[program]
    if "KITTY_WINDOW_ID" in environment:
        return "kitty"
    if environment.get("LC_TERMINAL") == "iTerm2":  # over ssh
        return "iterm2"
    version = environment.get("KONSOLE_VERSION", "")
    return "sixel" if version.isdigit() and int(version) >= _KONSOLE_SIXEL else None


def sent(image: Image.Image, protocol: Protocol, place: Place) -> str:
    """`image` (RGB, no larger than `place`), of which at most `MOST_BYTES` are sent: what is more is made smaller. The
    cursor is left where the next line begins."""
    while True:
        told = {"kitty": _kitty, "iterm2": _iterm2, "sixel": _sixel}[protocol](image, place)
        if len(told) <= MOST_BYTES:
            return told + "\n"
        image = image.resize((max(1, int(image.width * _SMALLER)), max(1, int(image.height * _SMALLER))))


def _kitty(image: Image.Image, place: Place) -> str:
    columns, rows = place.cells(image)
    data = base64.b64encode(_png(image)).decode()
    chunks = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]
    # q=2: no answer, which the shell would take for typed.
    first = f"a=T,f=100,q=2,c={columns},r={rows},"
    return "".join(
        f"\x1b_G{first if not at else ''}m={int(at + 1 < len(chunks))};{chunk}\x1b\\" for at, chunk in enumerate(chunks)
    )


def _iterm2(image: Image.Image, place: Place) -> str:
    columns, rows = place.cells(image)
    data = _png(image)
    told = f"inline=1;size={len(data)};width={columns};height={rows};preserveAspectRatio=1"
    return f"\x1b]1337;File={told}:{base64.b64encode(data).decode()}\x07"


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _sixel(image: Image.Image, place: Place) -> str:
    """As DEC has it for the VT340: bands of six rows, a line of each colour in each, runs shortened."""
    reduced = image.quantize(NUM_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette = reduced.getpalette() or []
    data = reduced.tobytes()
    out = [f'\x1bPq"1;1;{image.width};{image.height}'.encode()]
    for colour in sorted(set(data)):
        percent = ";".join(str(round(part * 100 / 255)) for part in palette[colour * 3 : colour * 3 + 3])
        out.append(f"#{colour};2;{percent}".encode())
    rows = [data[at : at + image.width] for at in range(0, len(data), image.width)]
    out.extend(b"$".join(_band(rows[top : top + _BAND])) + b"-" for top in range(0, len(rows), _BAND))
    return (b"".join(out) + b"\x1b\\").decode("ascii")


def _band(rows: list[bytes]) -> Iterator[bytes]:
    """A line a colour: each byte is 63 and the bits of the rows in which the pixel has it."""
    width = len(rows[0])
    for colour in sorted(set().union(*rows)):
        bits = 0
        for at, row in enumerate(rows):
            bits |= int.from_bytes(row.translate(_only(colour, 1 << at)), "big")
        line = bits.to_bytes(width, "big").translate(_PRINTABLE)
        yield b"#%d" % colour + _LONG_RUN.sub(lambda run: b"!%d%c" % (len(run[0]), run[1][0]), line)


def _only(colour: int, bit: int) -> bytes:
    return bytes(bit if index == colour else 0 for index in range(256))


_PRINTABLE: Final = bytes(min(255, value + 63) for value in range(256))
