"""Jobs as rows of a table: what is kept of each.
Reads and writes nothing itself."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from serve_app.jobs.job import Job
from serve_app.storage.database import METADATA

JOBS: Final = sa.Table(
    "pairlens_jobs",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("caller", sa.Text, nullable=False),
    sa.Column("body_hash", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("num_events", sa.Integer, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("reference", sa.String(64), nullable=False),
    sa.Column("candidate", sa.String(64), nullable=False),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("stage", sa.String(16)),
    sa.Column("started", sa.Float),
    sa.Column("ended", sa.Float),
    sa.Column("expires", sa.Float),
    sa.Column("is_expired", sa.Boolean, nullable=False),
    sa.Column("stored_bytes", sa.BigInteger, nullable=False, server_default="0"),  # of the quota, beside the images
    sa.Column("image_bytes", sa.BigInteger, nullable=False, server_default="0"),  # of both, whoever else has left them
    sa.Column("report", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("webhook", sa.Text),
    sa.Index("pairlens_jobs_by_status", "status", "created"),
    sa.Index("pairlens_jobs_by_caller", "caller", "created"),
    sa.Index("pairlens_jobs_by_expiry", "is_expired", "expires"),
    sa.Index("pairlens_jobs_by_share", "caller", "is_expired", "stored_bytes", "image_bytes"),
)
# What a `Job` says, but its report: a list leaves that where it is.
SUMMARY: Final = tuple(
    column
    for column in JOBS.c
    if column.name not in ("body_hash", "num_events", "is_expired", "stored_bytes", "image_bytes", "report")
)


def job_of(row: Any) -> Job:
    return Job(**{column.name: row._mapping[column] for column in SUMMARY})
