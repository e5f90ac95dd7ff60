"""A batch: many pairs under one config, its states those of a job.
No I/O and no pixels: a picture is the digest of its file and, in a PDF, a page."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, get_args

from serve_app.jobs.job import ENDED
from serve_app.schema import ImageComparisonConfig, JobStatus, PairOutcome

# Written in one transaction, and at most compared again where the process died that had them in work.
STEP_PAIRS: Final = 100
OUTCOMES: Final[tuple[PairOutcome, ...]] = get_args(PairOutcome)


@dataclass(frozen=True, slots=True)
class Picture:
    """`digest` of a file; `page` of it, from 1, where it is a PDF. `said`: what callers call it."""

    digest: str
    said: str
    page: int | None = None


@dataclass(frozen=True, slots=True)
class BatchPair:
    """`number` counts from 1. One side is None where a page is on the other only. `ignore_regions`: of this pair
    alone, beside the config's, as JSON."""

    number: int
    name: str
    reference: Picture | None
    candidate: Picture | None
    ignore_regions: str | None = None


@dataclass(frozen=True, slots=True)
class PairResult:
    """What came of a pair: JSON as it is stored."""

    number: int
    outcome: PairOutcome
    report: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch as it stands. Times are `time.time()` seconds; `dpi`: at which pages are rendered; `version` counts its
    changes, from 1."""

    id: str
    caller: str
    status: JobStatus
    created: float
    num_pairs: int
    config: str  # JSON, as it was asked
    dpi: int | None
    outcomes: Mapping[PairOutcome, int]
    version: int
    started: float | None = None
    ended: float | None = None
    expires: float | None = None
    error: str | None = None
    position: int | None = None

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def num_done(self) -> int:
        return sum(self.outcomes.values())


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What a caller asks to be done, its files stored under their digests, and a name for the whole."""

    id: str
    caller: str
    config: ImageComparisonConfig
    pairs: Sequence[BatchPair]
    file_bytes: int
    dpi: int | None = None

    @classmethod
    def of(
        cls,
        caller: str,
        key: str | None,
        config: ImageComparisonConfig,
        pairs: Sequence[BatchPair],
        *,
        file_bytes: int,
        dpi: int | None = None,
    ) -> BatchRequest:
        """`key`: the caller's Idempotency-Key; the same names the same batch again. `file_bytes`: of all its files."""
        said = f"{caller}\0{key}"
        named = uuid.uuid4().hex if key is None else hashlib.sha256(said.encode()).hexdigest()[:32]
        return cls(named, caller, config, pairs, file_bytes, dpi)

    @property
    def digests(self) -> set[str]:
        """Of all its files."""
        return {side.digest for pair in self.pairs for side in (pair.reference, pair.candidate) if side is not None}

    @property
    def body_hash(self) -> str:
        """Of what is asked, however it was written down."""
        hashed = hashlib.sha256(f"{self.dpi}\0{self.config.model_dump_json()}".encode())
        for pair in self.pairs:
            hashed.update(json.dumps(asdict(pair)).encode())
        return hashed.hexdigest()


def num_steps(num_pairs: int) -> int:
    return -(-num_pairs // STEP_PAIRS)
