"""The words and numbers of the contract: what a field may hold.
No model is made of them here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

Language = Literal["en", "zh"]
VisualKind = Literal["overlay", "heatmap", "side_by_side", "reference", "candidate"]
Verdict = Literal["match", "mismatch", "uncertain"]
VerdictReason = Literal["similarity", "differences", "changed_ratio", "text"]
DifferenceKind = Literal["changed", "added", "removed", "moved"]
Evidence = Literal["confirmed", "measured_only", "model_only", "refuted"]
FocusStatus = Literal["unchanged", "changed", "added", "removed", "absent", "unassessed"]
ModelStatus = Literal["answered", "skipped", "timed_out", "failed", "disabled"]
JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
JobStage = Literal["examine", "assess"]
StageState = Literal["waiting", "working", "done"]  # it waits for its turn, it is at work, it has ended
TextKind = Literal["changed", "added", "removed", "moved", "same", "code"]
TextStatus = Literal["read", "nothing_to_read", "not_installed", "timed_out", "off"]
WebhookStatus = Literal["pending", "delivered", "failed"]
Unit = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=64, le=4096)]
ElementName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
AspectName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
# Far beyond any picture, and a number that every later computation can hold.
_FARTHEST = 2**31 - 1
_Offset = Annotated[int, Field(ge=0, le=_FARTHEST)]
_Extent = Annotated[int, Field(gt=0, le=_FARTHEST)]
BoxField = tuple[_Offset, _Offset, _Extent, _Extent]
Row = tuple[float, float, float]  # of a matrix
