"""PDFs by their digest: opened and measured, then rendered a page at a time, in a process of their own.
Opens no file itself: whoever asks says how its bytes are had."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from serve_app.errors import ImageRole, PdfRejected, Unavailable, UnsupportedImageType
from serve_app.imaging.pdf import messages
from serve_app.settings import MIB, Limits

NOT_INSTALLED: Final = "PDFs are read where the extra pdf is installed: pip install 'pairlens[pdf]'."
# Of one page, or of opening one file: far above what a page of 128 megapixels takes.
PATIENCE_S: Final = 60.0
_SIGNATURE: Final = b"%PDF-"
_SIGNED_WITHIN: Final = 1024  # as readers of PDF have it
# What the reader's process needs of this one's environment; nothing of it is a secret.
_ENVIRONMENT: Final = ("PATH", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT")

Load = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Document:
    """One PDF: what it is, how its bytes are had, and whose side it is on."""

    digest: str
    load: Load
    side: ImageRole


def is_pdf(head: bytes) -> bool:
    """By the first bytes of a file, whatever its name says."""
    return _SIGNATURE in head[:_SIGNED_WITHIN]


class Documents:
    """Safe in threads: one call at a time. Blocks. The process begins with the first call, and again where it died."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def open(self, document: Document, dpi: int) -> int:
        """The number of its pages, each of which can be rendered at `dpi` within the limits.

        Raises `PdfRejected` where it can't be opened, or has none, too many or too large pages;
        `UnsupportedImageType` where the extra isn't installed.
        """
        if importlib.util.find_spec("pypdfium2") is None:
            raise UnsupportedImageType(NOT_INSTALLED, image=document.side)
        with self._turn:
            told = self._open(document)
        num_pages = int(told["num_pages"])
        if num_pages == 0:
            raise PdfRejected("The PDF has no page.", image=document.side)
        if num_pages > self._limits.max_pdf_pages:
            most = self._limits.max_pdf_pages
            raise PdfRejected(f"The PDF has {num_pages} pages; at most {most} are compared.", image=document.side)
        for number, size in enumerate(told["sizes"], 1):
            self._check_size(document, number, size, dpi)
        return num_pages

    def thumbnails(self, document: Document, num_pages: int) -> list[bytes]:
        """Of each page 64 by 64 grey values. Raises `PdfRejected`."""
        return [self._asked(document, {"do": "thumb", "number": number}) for number in range(1, num_pages + 1)]

    def page(self, document: Document, number: int, dpi: int) -> bytes:
        """Page `number`, from 1, as PNG. Raises `PdfRejected`."""
        return self._asked(document, {"do": "page", "number": number, "dpi": dpi})

    def close(self) -> None:
        with self._turn:
            self._end()

    def _check_size(self, document: Document, number: int, size: Sequence[float], dpi: int) -> None:
        width, height = (max(1, math.ceil(points * dpi / 72)) for points in size)
        limits = self._limits
        if width * height > limits.max_pixels or max(width, height) > limits.max_side:
            raise PdfRejected(
                f"Page {number} at {dpi} dpi has {width}x{height} pixels; at most {limits.max_pixels} and a side of "
                f"{limits.max_side} are rendered.",
                image=document.side,
            )

    def _asked(self, document: Document, asked: dict[str, Any]) -> bytes:
        with self._turn:
            told, data = self._call(document, {**asked, "digest": document.digest})
            if told.get("error") == "not_open":  # put away for others, or the process is another one
                self._open(document)
                told, data = self._call(document, {**asked, "digest": document.digest})
        if told:
            raise PdfRejected(f"Page {asked['number']} of the PDF can't be rendered.", image=document.side)
        return data

    def _open(self, document: Document) -> dict[str, Any]:
        data = document.load()
        most = self._limits.max_image_bytes
        if len(data) > most:
            raise PdfRejected(f"The PDF is over {most / MIB:g} MiB.", image=document.side)
        asked = {"do": "open", "digest": document.digest, "max_pages": self._limits.max_pdf_pages}
        told, _ = self._call(document, asked, data)
        if told.get("error") == "locked":
            raise PdfRejected("The PDF is encrypted; send it without a password.", image=document.side)
        if "error" in told:
            raise PdfRejected("The PDF is damaged, or is none.", image=document.side)
        return told

    def _call(self, document: Document, asked: dict[str, Any], data: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """Raises `PdfRejected` where the process died of it, or took too long."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        patience = threading.Timer(PATIENCE_S, process.kill)
        patience.start()
        try:
            messages.send(process.stdin, asked, data)
            return messages.receive(process.stdout)
        except (messages.Broken, OSError):
            self._end()
            raise PdfRejected("The PDF can't be read in the time and memory there is.", image=document.side) from None
        finally:
            patience.cancel()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
            environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
            command = [sys.executable, "-m", "serve_app.imaging.pdf.reader"]
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=environment,
                )
            except OSError:
                raise Unavailable("No process could be begun to read the PDF.") from None
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):  # what was not sent yet
                        stream.close()
