"""What `POST /v1/compare/stream` tells of a comparison before its report.
Knows no stage."""

from __future__ import annotations

from pydantic import BaseModel

from serve_app.schema.report import Difference, ImagesReport, MeasurementReport, TextEvidenceReport
from serve_app.schema.words import JobStage, StageState, Unit


class Progress(BaseModel):
    """`progress`: a stage waits for its turn, is at work, or has ended, so long after the request's first byte."""

    stage: JobStage
    state: StageState
    elapsed_ms: float


class Measured(BaseModel):
    """`measurement`: what pixels prove, told before the model is asked; with its answer the report may say more."""

    similarity: Unit
    similarity_interval: tuple[Unit, Unit]
    similarity_threshold: Unit
    summary: str
    differences: tuple[Difference, ...]
    measurement: MeasurementReport
    images: ImagesReport


class Read(BaseModel):
    """`text`: what was read in the pair, and the differences that have words."""

    text: TextEvidenceReport
    differences: tuple[Difference, ...]
