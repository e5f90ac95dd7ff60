"""What the modules of the service log, in Serve's log.
Knows none of them: all log under one name."""

from __future__ import annotations

import logging

# Ray Serve's logger: it writes JSON with the request's context to rotated files in the session folder.
logger = logging.getLogger("ray.serve")


class _ToServe(logging.Handler):
    """Hands what the stages' modules log to Serve's logger, so that it stands beside the request's line."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.handle(record)


def log_to_serve() -> None:
    """Call it once in each replica."""
    stages = logging.getLogger("pairlens")
    stages.setLevel(logging.INFO)
    stages.propagate = False
    stages.handlers = [_ToServe()]
