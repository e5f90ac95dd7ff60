"""PDFs in the reader's process: what is refused and by which number, pages as pictures, and whatever kills it."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from serve_app.errors import PdfRejected, UnsupportedImageType
from serve_app.imaging.pdf import documents
from serve_app.imaging.pdf.documents import Document, Documents, is_pdf
from serve_app.imaging.pdf.reader import OPEN_AT_ONCE, Reader
from serve_app.settings import Limits
from tests.worlds import pdfs
from tests.worlds.pdfs import Page, pdf


@pytest.fixture
def reading() -> Iterator[Documents]:
    opened = Documents(Limits(max_pdf_pages=20))
    yield opened
    opened.close()


def document(data: bytes) -> Document:
    return Document(hashlib.sha256(data).hexdigest(), lambda: data, "candidate")


def test_a_pdf_is_known_by_its_first_bytes() -> None:
    assert is_pdf(pdf(1))
    assert is_pdf(b"\n" * 100 + b"%PDF-1.7")
    assert not is_pdf(b"\n" * 2000 + b"%PDF-1.7")
    assert not is_pdf(b"\x89PNG")


def test_pages_are_pictures_at_the_dpi_asked_for(reading: Documents) -> None:
    asked = document(pdf(1, Page(2, size=(200, 100))))
    assert reading.open(asked, 144) == 2
    first, second = (Image.open(io.BytesIO(reading.page(asked, number, 144))) for number in (1, 2))
    assert (first.format, first.mode, first.size, second.size) == ("PNG", "RGB", (600, 840), (400, 200))
    assert reading.page(asked, 1, 144) == reading.page(asked, 1, 144)
    assert np.asarray(first).min() < 100
    small = reading.thumbnails(asked, 2)
    assert ([len(each) for each in small], small[0] != small[1]) == ([64 * 64] * 2, True)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (pdfs.locked(), "The PDF is encrypted; send it without a password."),
        (pdfs.blank_pages(21), "The PDF has 21 pages; at most 20 are compared."),
        (b"%PDF-1.7 and no more", "The PDF is damaged, or is none."),
        (b"", "The PDF is damaged, or is none."),
        (pdfs.empty(), "The PDF has no page."),
        (pdfs.blank_pages(0), "The PDF has no page."),
        (
            pdfs.blank_pages(1, (9000, 9000)),
            "Page 1 at 150 dpi has 18750x18750 pixels; at most 128000000 and a side of 20000 are rendered.",
        ),
        (
            pdfs.blank_pages(1, (9700, 10)),
            "Page 1 at 150 dpi has 20209x21 pixels; at most 128000000 and a side of 20000 are rendered.",
        ),
    ],
)
def test_what_can_t_be_rendered_is_refused_by_its_number(reading: Documents, data: bytes, told: str) -> None:
    with pytest.raises(PdfRejected) as refused:
        reading.open(document(data), 150)
    assert (str(refused.value), refused.value.image) == (told, "candidate")


def test_a_file_over_the_limit_is_not_handed_over() -> None:
    reading = Documents(Limits(max_image_bytes=1000))
    with pytest.raises(PdfRejected, match="over 0"):
        reading.open(document(pdf(1)), 150)
    assert reading._process is None


def test_without_the_extra_its_name_is_told(reading: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedImageType, match=r"pip install 'pairlens\[pdf\]'"):
        reading.open(document(pdf(1)), 150)


def test_what_was_put_away_for_others_is_opened_again(reading: Documents) -> None:
    many = [document(pdf(seed)) for seed in range(6)]
    pages = []
    for each in many:
        reading.open(each, 72)
        pages.append(reading.page(each, 1, 72))
    assert [reading.page(each, 1, 72) for each in many] == pages
    assert len(set(pages)) == 6


def test_what_was_asked_for_last_stays_open() -> None:
    reader = Reader()
    for seed in range(OPEN_AT_ONCE):
        reader.answer({"do": "open", "digest": str(seed), "max_pages": 9}, pdf(seed))
    asked = {"do": "thumb", "number": 1}
    reader.answer({**asked, "digest": "0"}, b"")
    reader.answer({"do": "open", "digest": "another", "max_pages": 9}, pdf(9))
    told = {digest: reader.answer({**asked, "digest": digest}, b"")[0] for digest in ("0", "1", "2", "another")}
    for document in reader._open.values():
        document.close()
    assert told == {"0": {}, "1": {"error": "not_open"}, "2": {}, "another": {}}


def test_a_reader_that_died_is_another_one_next_time(reading: Documents) -> None:
    asked = document(pdf(1))
    reading.open(asked, 72)
    page = reading.page(asked, 1, 72)
    assert reading._process is not None
    reading._process.kill()
    with pytest.raises(PdfRejected, match="time and memory"):
        reading.page(asked, 1, 72)
    assert reading.page(asked, 1, 72) == page


def test_what_takes_too_long_is_ended(reading: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = document(pdf(1))
    reading.open(asked, 72)
    assert reading._process is not None
    os.kill(reading._process.pid, 19)  # SIGSTOP: it never answers
    monkeypatch.setattr(documents, "PATIENCE_S", 0.2)
    with pytest.raises(PdfRejected, match="time and memory"):
        reading.page(asked, 1, 72)


def test_a_page_that_is_not_there_is_refused(reading: Documents) -> None:
    asked = document(pdf(1))
    reading.open(asked, 72)
    with pytest.raises(PdfRejected, match="Page 2 of the PDF can't be rendered"):
        reading.page(asked, 2, 72)


def test_threads_take_turns(reading: Documents) -> None:
    both = [document(pdf(seed, seed + 10)) for seed in (1, 2)]
    for each in both:
        reading.open(each, 72)
    wanted = {(each.digest, number): reading.page(each, number, 72) for each in both for number in (1, 2)}
    found: list[bool] = []

    def ask(each: Document, number: int) -> Callable[[], None]:
        return lambda: found.append(reading.page(each, number, 72) == wanted[each.digest, number])

    threads = [threading.Thread(target=ask(each, number)) for each in both for number in (1, 2) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 16
