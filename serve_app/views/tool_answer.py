"""A report for an agent that has called a tool: a short text, the report as data, and small pictures.
Knows no protocol: a finished report in, values out."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from serve_app.schema import ComparisonReport, Difference, ImageComparisonConfig

# Told in the text; all of them are in the data.
MOST_DIFFERENCES: Final = 20
# Of one picture: vision models look at no more, and it counts against what an agent can keep in mind.
MOST_SIDE: Final = 1536
MOST_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Picture:
    data: bytes
    mime_type: str


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """`report`: as JSON has it, without its pictures."""

    text: str
    report: dict[str, Any]
    pictures: tuple[Picture, ...]


def wanted(config: ImageComparisonConfig) -> ImageComparisonConfig:
    """The config that a report to be told so is asked for with."""
    if "visuals" in config.model_fields_set:
        return config
    return config.model_copy(update={"visuals": ("overlay",)})


def tool_answer(report: ComparisonReport, config: ImageComparisonConfig) -> ToolAnswer:
    """Reduces large pictures, which takes some tenths of a second. `config`: as it was asked, not as `wanted` says:
    pictures that nobody has named are left out where nothing differs."""
    shown = report.visuals if report.differences or "visuals" in config.model_fields_set else ()
    return ToolAnswer(
        text="\n".join(_lines(report)),
        report=report.model_dump(mode="json", exclude={"visuals"}),
        pictures=tuple(reduced(each.image) for each in shown),
    )


def _lines(report: ComparisonReport) -> Iterator[str]:
    low, high = report.similarity_interval
    yield (
        f"{report.verdict}: similarity {report.similarity:.3f} (between {low:.3f} and {high:.3f}), "
        f"threshold {report.similarity_threshold:g}, decided by {report.verdict_reason}."
    )
    yield report.summary
    if report.differences:
        yield f"Differences: {len(report.differences)}, most severe first; boxes are [x, y, width, height] in pixels."
    for number, each in enumerate(report.differences[:MOST_DIFFERENCES], start=1):
        yield f"{number}. {_told(each)}"
    if len(report.differences) > MOST_DIFFERENCES:
        yield f"{len(report.differences) - MOST_DIFFERENCES} more are in the report."
    yield from (f"Warning: {warning}" for warning in report.warnings)


def _told(difference: Difference) -> str:
    sides = (("reference", difference.reference_box), ("candidate", difference.candidate_box))
    boxes = ", ".join(f"{role} {list(box)}" for role, box in sides if box is not None)
    facts = ", ".join(part for part in (difference.evidence, f"severity {difference.severity:.2f}", boxes) if part)
    return f"{difference.kind}: {difference.description} ({facts})"


def reduced(url: str) -> Picture:
    """A data URL of a report as it is where it is small, else as a PNG of at most `MOST_SIDE` and `MOST_BYTES`."""
    head, _, text = url.partition(",")
    data = base64.b64decode(text)
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as opened:
        if len(data) <= MOST_BYTES and max(opened.size) <= MOST_SIDE:
            return Picture(data, head.removeprefix("data:").partition(";")[0])
        image = opened.convert("RGB")
    image.thumbnail((MOST_SIDE, MOST_SIDE), reducing_gap=2.0)
    while len(png := _png(image)) > MOST_BYTES:  # of noise at most three times: a PNG has its pixels' 3 bytes at most
        image.thumbnail((image.width * 3 // 4, image.height * 3 // 4))
    return Picture(png, "image/png")


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=6)
    return out.getvalue()
