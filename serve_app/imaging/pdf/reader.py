"""The process that reads PDFs, and the only file that knows pypdfium2 (extra `pdf`): one call at a time, as PDFium is
not made for threads, and no harm to its caller from a file that breaks it. `python -m serve_app.imaging.pdf.reader`."""

from __future__ import annotations

import io
import resource
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import pypdfium2
from PIL import Image
from pypdfium2 import raw

from serve_app.imaging.pdf import messages

# Both files of a pair of PDFs, and of the next one.
OPEN_AT_ONCE: Final = 4
# Of this process: a page of the most pixels takes half of it, and a bomb no more.
MOST_MEMORY_BYTES: Final = 3 << 30
POINTS_PER_INCH: Final = 72
# Longest side of a rendering that pages are told apart by.
THUMB_PX: Final = 64

Answer = tuple[dict[str, Any], bytes]


class Reader:
    """`answer` takes a request as `documents` sends it: `open`, `thumb` or `page`, each of a document by its digest."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, pypdfium2.PdfDocument] = OrderedDict()

    def answer(self, asked: dict[str, Any], data: bytes) -> Answer:
        if asked["do"] == "open":
            return self._opened(asked["digest"], data, asked["max_pages"])
        document = self._open.get(asked["digest"])
        if document is None:
            return {"error": "not_open"}, b""
        self._open.move_to_end(asked["digest"])
        draw: Callable[[pypdfium2.PdfPage], bytes] = _thumb
        if asked["do"] == "page":
            scale = asked["dpi"] / POINTS_PER_INCH
            draw = lambda page: _png(page, scale)  # noqa: E731
        page = document[asked["number"] - 1]
        try:
            return {}, draw(page)
        finally:
            page.close()

    def _opened(self, digest: str, data: bytes, max_pages: int) -> Answer:
        """The sizes of its pages in points; their number alone where there are too many."""
        try:
            document = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as exc:
            if exc.err_code == raw.FPDF_ERR_SUCCESS:  # PDFium opens no document without a page, and has no error for it
                return {"num_pages": 0}, b""
            return {"error": "locked" if exc.err_code == raw.FPDF_ERR_PASSWORD else "damaged"}, b""
        if len(document) > max_pages:
            return {"num_pages": len(document)}, b""
        while len(self._open) >= OPEN_AT_ONCE:
            self._open.popitem(last=False)[1].close()
        self._open[digest] = document
        sizes = [document.get_page_size(index) for index in range(len(document))]
        return {"num_pages": len(document), "sizes": sizes}, b""


def _png(page: pypdfium2.PdfPage, scale: float) -> bytes:
    """Without loss, and packed quickly: it is read once."""
    png = io.BytesIO()
    _rendered(page, scale).save(png, "PNG", compress_level=1)
    return png.getvalue()


def _thumb(page: pypdfium2.PdfPage) -> bytes:
    """THUMB_PX by THUMB_PX grey values, whatever the page's shape."""
    small = _rendered(page, 2 * THUMB_PX / max(page.get_size()))
    return small.convert("L").resize((THUMB_PX, THUMB_PX), Image.Resampling.BOX).tobytes()


def _rendered(page: pypdfium2.PdfPage, scale: float) -> Image.Image:
    bitmap = page.render(scale=scale)
    try:
        picture: Image.Image = bitmap.to_pil().convert("RGB").copy()  # its own pixels, not the bitmap's
        return picture
    finally:
        bitmap.close()


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    reader = Reader()
    while True:
        try:
            asked, data = messages.receive(sys.stdin.buffer)
        except messages.Broken:
            return  # whoever asked has ended
        try:
            told, answer = reader.answer(asked, data)
        except (pypdfium2.PdfiumError, ValueError, MemoryError):
            told, answer = {"error": "damaged"}, b""
        messages.send(sys.stdout.buffer, told, answer)


if __name__ == "__main__":
    main()
