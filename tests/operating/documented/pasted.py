"""Runs a file as if pasted after what its page takes for given: `python -m tests.operating.documented.pasted FILE`.
`await` may stand outside a function; a file with tests is a file for pytest."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

import pairlens

SECRET = "whsec_" + "c2VjcmV0" * 4
BODY = '{"type": "job.succeeded", "data": {}}'


def given() -> dict[str, Any]:
    """Names that the pages use without making them."""
    now = datetime.now(UTC)
    signed = Webhook(SECRET).sign("msg_1", now, BODY)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signed}
    return {"pairlens": pairlens, "url": os.environ["PAIRLENS_TEST_URL"], "body": BODY, "headers": headers}


def run(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("whsec_…", SECRET)
    text = text.replace("http://127.0.0.1:8000", os.environ["PAIRLENS_TEST_URL"])
    if "def test_" in text:
        path.write_text(text, encoding="utf-8")
        options = ["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
        options.append("--pairlens-update=missing")  # a page has no baselines beside it
        sys.exit(pytest.main([str(path), *options]))
    names = given()
    ran = eval(compile(text, str(path), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    if inspect.isawaitable(ran):

        async def wait() -> None:
            await ran

        asyncio.run(wait())


if __name__ == "__main__":
    run(Path(sys.argv[1]))
