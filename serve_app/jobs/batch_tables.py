"""The three tables of batches: themselves, their pairs, what came of these; rows to values and back.
Opens nothing."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from serve_app.jobs.batch import OUTCOMES, Batch, BatchPair, BatchRequest, Picture
from serve_app.storage.database import METADATA

BATCHES: Final = sa.Table(
    "pairlens_batches",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("caller", sa.Text, nullable=False),
    sa.Column("body_hash", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("num_pairs", sa.Integer, nullable=False),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("dpi", sa.Integer),
    *(sa.Column(outcome, sa.Integer, nullable=False) for outcome in OUTCOMES),  # how many pairs
    sa.Column("started", sa.Float),
    sa.Column("ended", sa.Float),
    sa.Column("expires", sa.Float),
    sa.Column("is_expired", sa.Boolean, nullable=False),
    sa.Column("stored_bytes", sa.BigInteger, nullable=False),  # of the quota, beside the files
    sa.Column("file_bytes", sa.BigInteger, nullable=False),  # of all its files, whoever else has left them
    sa.Column("error", sa.Text),
    sa.Index("pairlens_batches_by_status", "status", "created"),
    sa.Index("pairlens_batches_by_caller", "caller", "created"),
    sa.Index("pairlens_batches_by_expiry", "is_expired", "expires"),
    sa.Index("pairlens_batches_by_share", "caller", "is_expired", "stored_bytes", "file_bytes"),
)
SUMMARY: Final = tuple(
    column for column in BATCHES.c if column.name not in ("body_hash", "is_expired", "stored_bytes", "file_bytes")
)
PAIRS: Final = sa.Table(
    "pairlens_batch_pairs",
    METADATA,
    sa.Column("batch_id", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("reference", sa.String(64)),  # digests of the files
    sa.Column("candidate", sa.String(64)),
    sa.Column("reference_said", sa.Text),
    sa.Column("candidate_said", sa.Text),
    sa.Column("reference_page", sa.Integer),
    sa.Column("candidate_page", sa.Integer),
    sa.Column("ignore_regions", sa.Text),
)
# What callers decide the length of.
NAMES: Final = ("name", "reference_said", "candidate_said", "ignore_regions")
RESULTS: Final = sa.Table(
    "pairlens_batch_results",
    METADATA,
    sa.Column("batch_id", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("report", sa.Text),
    sa.Column("error", sa.Text),
)


def row_of(request: BatchRequest, now: float, stored_bytes: int) -> dict[str, Any]:
    return {
        "id": request.id,
        "caller": request.caller,
        "body_hash": request.body_hash,
        "status": "queued",
        "version": 1,
        "created": now,
        "num_pairs": len(request.pairs),
        "config": request.config.model_dump_json(),
        "dpi": request.dpi,
        **dict.fromkeys(OUTCOMES, 0),
        "is_expired": False,
        "stored_bytes": stored_bytes,
        "file_bytes": request.file_bytes,
    }


def batch_of(row: Any) -> Batch:
    told = dict(row._mapping)
    return Batch(outcomes={outcome: told.pop(outcome) for outcome in OUTCOMES}, **told)


def pair_row(batch_id: str, pair: BatchPair) -> dict[str, Any]:
    row: dict[str, Any] = {"batch_id": batch_id, "number": pair.number, "name": pair.name}
    for side, picture in (("reference", pair.reference), ("candidate", pair.candidate)):
        row[side] = picture.digest if picture is not None else None
        row[f"{side}_said"] = picture.said if picture is not None else None
        row[f"{side}_page"] = picture.page if picture is not None else None
    return {**row, "ignore_regions": pair.ignore_regions}


def pair_of(row: Any) -> BatchPair:
    told = row._mapping
    sides = {
        side: Picture(told[side], told[f"{side}_said"], told[f"{side}_page"]) if told[side] is not None else None
        for side in ("reference", "candidate")
    }
    return BatchPair(row.number, row.name, sides["reference"], sides["candidate"], row.ignore_regions)
