"""What of two files the pixels compared don't hold: other frames, finer samples, a transfer we don't apply.
Knows no pixels and no words."""

from __future__ import annotations

from collections.abc import Mapping

from serve_app.core.pictures import ImageFacts, Unseen
from serve_app.errors import ImageRole


def unseen(reference: ImageFacts, candidate: ImageFacts) -> Mapping[Unseen, tuple[ImageRole, ...]]:
    """Each thing that wasn't looked at, and of which of the two. Nothing of one file against itself; and samples that
    were compared before they were reduced lose nothing."""
    if reference.sha256 == candidate.sha256:
        return {}
    samples = (reference.samples_sha256, candidate.samples_sha256)
    were_compared = None not in samples and samples[0] == samples[1]
    found: dict[Unseen, tuple[ImageRole, ...]] = {}
    sides: tuple[tuple[ImageRole, ImageFacts], ...] = (("reference", reference), ("candidate", candidate))
    for role, facts in sides:
        for each in facts.unseen:
            if not (were_compared and each.kind in ("bits", "range")):
                found[each] = (*found.get(each, ()), role)
    return found
