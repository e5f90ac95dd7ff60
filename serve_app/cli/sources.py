"""What `pairlens batch` compares: files, and pages of PDFs; each is read when its turn comes.
Compares nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from serve_app.cli.files import read
from serve_app.errors import ImageRole
from serve_app.schema import BoxField, ImageComparisonConfig, PdfOptions
from serve_app.storage.manifest import NamedPair

if TYPE_CHECKING:
    from serve_app.imaging.pdf.documents import Document, Documents


class Source(Protocol):
    """One picture; its text is what people call it."""

    def read(self) -> bytes:
        """Raises `CommandFailed`, and `ComparisonError` where a page can't be rendered."""
        ...

    def digest(self) -> str:
        """SHA-256 of what `read` would give. Raises OSError too."""
        ...


@dataclass(frozen=True, slots=True)
class SourcePair:
    """One side None where there is none; `ignore_regions`: of this pair alone."""

    name: str
    reference: Source | None
    candidate: Source | None
    ignore_regions: tuple[BoxField, ...] = ()


@dataclass(frozen=True, slots=True)
class File:
    path: Path

    def read(self) -> bytes:
        return read(self.path)

    def digest(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class Page:
    documents: Documents
    document: Document
    path: Path
    number: int
    dpi: int

    def read(self) -> bytes:
        return self.documents.page(self.document, self.number, self.dpi)

    def digest(self) -> str:
        return hashlib.sha256(self.read()).hexdigest()

    def __str__(self) -> str:
        return f"{self.path}#page={self.number}"  # as a browser opens it


def files(pairs: Sequence[NamedPair]) -> list[SourcePair]:
    def file(path: Path | None) -> File | None:
        return File(path) if path is not None else None

    return [SourcePair(pair.name, file(pair.reference), file(pair.candidate)) for pair in pairs]


def is_pdf_file(path: Path) -> bool:
    """Raises OSError."""
    from serve_app.imaging.pdf.documents import is_pdf  # with numpy: not for who only asks for help

    if not path.is_file():
        return False
    with path.open("rb") as file:
        return is_pdf(file.read(1024))


def pages(
    documents: Documents, reference: Path, candidate: Path, options: PdfOptions, config: ImageComparisonConfig
) -> list[SourcePair]:
    """Raises `ComparisonError` and its kinds, `CommandFailed`, OSError."""
    from serve_app.imaging.pdf.documents import Document
    from serve_app.imaging.pdf.pages import paired

    def document(path: Path, side: ImageRole) -> Document:
        return Document(File(path).digest(), File(path).read, side)

    one, other = document(reference, "reference"), document(candidate, "candidate")

    def page(of: Document, path: Path, number: int | None) -> Page | None:
        return Page(documents, of, path, number, options.dpi) if number is not None else None

    return [
        SourcePair(
            each.name,
            page(one, reference, each.reference),
            page(other, candidate, each.candidate),
            each.ignore_regions,
        )
        for each in paired(documents, one, other, options, config)
    ]
