"""The steps of usual comparisons, recorded before one comes."""

from __future__ import annotations

import logging
import time

from serve_app.vlm.local.decoding.compiled import Step
from serve_app.vlm.local.decoding.prefix import Prefix

logger = logging.getLogger("pairlens.vlm")
# Of a comparison with two pictures and up to four pairs of crops: some 8 to 16 texts, that end one after the other.
_LENGTHS = (4096, 3072, 2048, 1536)
_ROWS = (16, 12, 8, 4, 2)


def record(step: Step, begun: Prefix) -> None:
    """Have the steps of usual comparisons recorded before one comes. `begun`: any prefix; not where it can't batch.

    The largest first: buffers that grow are others, and all is recorded anew.
    """
    started = time.perf_counter()
    for length in _LENGTHS:
        stretched = begun.stretched(length)
        for rows in _ROWS:
            if not step.is_on:
                return
            branches = stretched.branch([0] * rows, step=step)
            branches.feed([[0, 0]] * rows)
            branches.feed([[0]] * rows)
    how = "compiled and recorded" if step.is_fused else "recorded"
    logger.info("decode steps %s in %d shapes: %.1f s", how, step.num_recorded, time.perf_counter() - started)
