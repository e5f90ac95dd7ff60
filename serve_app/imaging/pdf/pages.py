"""Two PDFs as pairs of pages, each with a name that says which pages they are, and its own boxes to ignore."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from serve_app.errors import InvalidConfig
from serve_app.imaging.pdf.alignment import aligned
from serve_app.imaging.pdf.documents import Document, Documents
from serve_app.schema import BoxField, ImageComparisonConfig, PdfOptions

# As the config's own `ignore_regions` has it, which those of a page are added to.
MOST_REGIONS: Final = 64


@dataclass(frozen=True, slots=True)
class PagePair:
    """Page numbers from 1; None where there is no such page on this side."""

    name: str
    reference: int | None
    candidate: int | None
    ignore_regions: tuple[BoxField, ...] = ()


def paired(
    documents: Documents, reference: Document, candidate: Document, options: PdfOptions, config: ImageComparisonConfig
) -> list[PagePair]:
    """In reading order; blocks, 4 ms a page.

    Raises `PdfRejected`, `UnsupportedImageType`, and `InvalidConfig` for boxes of a page that isn't there, or too many.
    """
    # Both before any rendering: who is refused waits for none.
    counted = [(document, documents.open(document, options.dpi)) for document in (reference, candidate)]
    num_pages = counted[0][1]
    for page, regions in options.page_regions.items():
        if page > num_pages:
            raise InvalidConfig(f"There are boxes for page {page}, and the reference has {num_pages}.", field="/pdf")
        if len(regions) + len(config.ignore_regions) > MOST_REGIONS:
            raise InvalidConfig(f"Page {page} has more than {MOST_REGIONS} boxes with the config's.", field="/pdf")
    thumbs = [documents.thumbnails(document, num_pages) for document, num_pages in counted]
    return [
        PagePair(_name(one, other), one, other, options.page_regions.get(one or 0, ()))
        for one, other in aligned(*thumbs)
    ]


def _name(reference: int | None, candidate: int | None) -> str:
    if reference is None:
        return f"page {candidate} (added)"
    if candidate is None:
        return f"page {reference} (removed)"
    return f"page {reference}" if reference == candidate else f"page {reference} -> {candidate}"
