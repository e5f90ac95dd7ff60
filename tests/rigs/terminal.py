"""A pseudo-terminal of a known size for one command, and pictures read back from what was sent to it.
Decodes kitty's protocol, iTerm2's and sixel by their own descriptions, and half blocks in 24-bit colour."""

from __future__ import annotations

import base64
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from PIL import Image

Shape = tuple[int, int]


def run(command: Sequence[str], environment: Mapping[str, str], *, cells: Shape, cell_px: Shape) -> tuple[int, str]:
    """Its exit code, and all that it wrote to the terminal."""
    with opened(cells, cell_px) as (theirs, told):
        process = subprocess.Popen(command, env=dict(environment), stdin=theirs, stdout=theirs, stderr=theirs)
        code = process.wait(120)
    return code, told()


@contextmanager
def opened(cells: Shape, cell_px: Shape) -> Iterator[tuple[int, Callable[[], str]]]:
    """The end that programs write to, and what they have written once the block has ended. `cell_px` (0, 0): the
    terminal doesn't tell."""
    ours, theirs = pty.openpty()
    size = struct.pack("HHHH", cells[1], cells[0], cells[0] * cell_px[0], cells[1] * cell_px[1])
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    chunks: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # as Linux says that nobody writes any more
            while chunk := os.read(ours, 65536):
                chunks.append(chunk)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield theirs, lambda: b"".join(chunks).decode("utf-8").replace("\r\n", "\n")
    finally:
        os.close(theirs)
        reader.join(60)
        os.close(ours)


def kitty(told: str) -> tuple[Image.Image, Mapping[str, str]]:
    """The picture, and the keys of its first part."""
    parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", told)
    assert all(len(data) <= 4096 for _, data in parts)
    keys = [dict(pair.split("=") for pair in part.split(",")) for part, _ in parts]
    assert [key["m"] for key in keys] == ["1"] * (len(parts) - 1) + ["0"]
    return _decoded("".join(data for _, data in parts)), keys[0]


def iterm2(told: str) -> tuple[Image.Image, Mapping[str, str]]:
    ((options, data),) = re.findall(r"\x1b\]1337;File=([^:]*):([^\x07]*)\x07", told)
    return _decoded(data), dict(pair.split("=") for pair in options.split(";"))


def _decoded(data: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
    assert image.format == "PNG"
    return image.convert("RGB")


def sixel(told: str) -> Image.Image:
    ((width, height, body),) = re.findall(r'\x1bPq"1;1;(\d+);(\d+)([^\x1b]*)\x1b\\', told)
    image = Image.new("RGB", (int(width), int(height)), (1, 2, 3))
    colours: dict[str, tuple[int, ...]] = {}
    x = y = 0
    now = ""
    for token in re.findall(r"#\d+(?:;2;\d+;\d+;\d+)?|!\d+[?-~]|[?-~]|\$|-", body):
        if token.startswith("#"):
            now, _, define = token[1:].partition(";2;")
            if define:
                colours[now] = tuple(round(int(part) * 255 / 100) for part in define.split(";"))
        elif token in "$-":
            x, y = 0, y + (6 if token == "-" else 0)
        else:
            number = int(token[1:-1]) if token.startswith("!") else 1
            bits = ord(token[-1]) - 63
            for row in range(6):
                if bits >> row & 1:
                    image.paste(colours[now], (x, y + row, x + number, y + row + 1))
            x += number
    return image


def blocks(told: str) -> Image.Image:
    """Two rows of pixels a line of the terminal."""
    lines = [line for line in told.split("\n") if "▀" in line]
    rows: list[list[tuple[int, ...]]] = []
    for line in lines:
        upper, lower = [], []
        for style, run in re.findall(r"\x1b\[([\d;]*)m(▀+)", line):
            parts = [int(part) for part in style.split(";")]
            upper += [tuple(parts[2:5])] * len(run)
            lower += [tuple(parts[7:10]) or (255, 255, 255)] * len(run)
        rows += [upper, lower]
    image = Image.new("RGB", (len(rows[0]), len(rows)))
    image.putdata([pixel for row in rows for pixel in row])
    return image
