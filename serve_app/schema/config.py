"""What callers ask for: how two images are to be compared.
Knows nothing of what they get."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve_app.schema.words import AspectName, BoxField, ElementName, Language, Side, Unit, VisualKind


class ImageComparisonConfig(BaseModel):
    """How two images are to be compared. Validate it from JSON: it is strict."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    focus_elements: Annotated[tuple[ElementName, ...], Field(max_length=20)] = ()
    comparison_aspects: Annotated[tuple[AspectName, ...], Field(min_length=1, max_length=12)] = (
        "color",
        "layout",
        "content",
        "style",
    )
    similarity_threshold: Unit = 0.8
    max_differences: Annotated[
        int | None,
        Field(ge=0, description="More visible differences are a mismatch, whatever the similarity; 0: any is"),
    ] = None
    max_changed_ratio: Annotated[
        Unit | None, Field(description="A larger `measurement.changed_ratio` is a mismatch, whatever the similarity")
    ] = None
    max_image_size: Annotated[tuple[Side, Side], Field(description="[width, height] shown to the model at most")] = (
        1024,
        1024,
    )
    image_quality: Annotated[
        int, Field(ge=1, le=100, description="JPEG quality of what the model is shown; 100: pixels as they are")
    ] = 85
    processing_timeout: Annotated[float, Field(gt=0, description="Seconds for the whole request, waiting included")] = (
        60.0
    )
    ignore_regions: Annotated[
        tuple[BoxField, ...],
        Field(
            max_length=64,
            description="[x, y, width, height] in reference pixels; in the candidate where the pair's alignment says",
        ),
    ] = ()
    language: Language = "en"
    on_model_failure: Literal["error", "measurement"] = "error"
    swap_check: bool = True
    visuals: Annotated[
        tuple[VisualKind, ...],
        Field(max_length=5, description="reference and candidate: each upright as measured, at most 4 megapixels"),
    ] = ()
    frame: Annotated[int, Field(ge=0, le=9999, description="Which page or frame of both files, counted from 0")] = 0
    read_text: Annotated[
        bool, Field(description="Say what text changed in the differences found, where a reader is installed")
    ] = True
    text_changes: Annotated[
        Literal["report", "mismatch"],
        Field(description="mismatch: a sure change of text is one, whatever the similarity"),
    ] = "report"
    profile: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=64,
            description="A named set of thresholds that the operator has set; fields given beside it win",
        ),
    ] = None


class PdfOptions(BaseModel):
    """How the pages of two PDFs become pictures. Validate it from JSON: it is strict."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dpi: Annotated[int, Field(ge=18, le=600)] = 150
    page_regions: Annotated[
        dict[Annotated[int, Field(ge=1)], Annotated[tuple[BoxField, ...], Field(max_length=64)]],
        Field(description="Boxes to ignore on one page of the reference, by its number, in its pixels at this dpi"),
    ] = {}
