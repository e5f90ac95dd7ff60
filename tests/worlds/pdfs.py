"""PDFs drawn by code: pages of text that differ, and locked, empty, damaged and long ones."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pypdfium2
from PIL import Image, ImageDraw, ImageFont

from tests.worlds.pages import WORDS

WIDTH, HEIGHT = 300, 420  # pixels of a page, each a point
LINE_PX = 14


@dataclass(frozen=True)
class Page:
    """A page of text, the same for the same `seed`; `stamp`: a black box at the place of one line."""

    seed: int
    stamp: bool = False
    size: tuple[int, int] = (WIDTH, HEIGHT)


STAMP = (40, 200, 100, 30)  # x, y, width, height
BLANK = Page(-1)


def pdf(*pages: Page | int) -> bytes:
    """Each page as its picture at 72 dpi."""
    drawn = [_drawn(page if isinstance(page, Page) else Page(page)) for page in pages]
    data = io.BytesIO()
    drawn[0].save(data, "PDF", save_all=True, append_images=drawn[1:], resolution=72, quality=95)
    return data.getvalue()


def empty() -> bytes:
    return _written(("<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [] /Count 0 >>"))


def locked() -> bytes:
    """With a password that nobody knows (the standard handler, revision 2)."""
    key = "".join(f"{value:02x}" for value in range(32))
    lock = f"<< /Filter /Standard /V 1 /R 2 /O <{key}> /U <{key}> /P -4 >>"
    pages = "<< /Type /Pages /Kids [] /Count 0 >>"
    return _written(("<< /Type /Catalog /Pages 2 0 R >>", pages, lock), f"/Encrypt 3 0 R /ID [<{key}> <{key}>]")


def blank_pages(num_pages: int, size: tuple[float, float] = (30, 40)) -> bytes:
    """Empty pages, as many as one likes."""
    document = pypdfium2.PdfDocument.new()
    for _ in range(num_pages):
        document.new_page(*size).close()
    data = io.BytesIO()
    document.save(data)
    document.close()
    return data.getvalue()


def _drawn(page: Page) -> Image.Image:
    image = Image.new("RGB", page.size, "white")
    pen = ImageDraw.Draw(image)
    if page != BLANK:
        random = np.random.default_rng(page.seed)
        for top in range(30, page.size[1] - 40, LINE_PX):
            words = " ".join(random.choice(WORDS, int(random.integers(3, 8))))
            pen.text((20, top), words, font=ImageFont.load_default(size=11), fill="black")
    if page.stamp:
        x, y, width, height = STAMP
        pen.rectangle((x, y, x + width - 1, y + height - 1), fill="black")
    return image


def _written(objects: Sequence[str], trailer: str = "") -> bytes:
    """A file of these objects, the first one its root."""
    text, places = "%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(text))
        text += f"{number} 0 obj\n{each}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    rest = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\n"
    return (text + rest + f"startxref\n{len(text)}\n%%EOF\n").encode("latin-1")
