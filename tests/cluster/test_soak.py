"""Ten minutes of mixed load, faults and callers who leave: nothing may grow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.on_demand
@pytest.mark.timeout(1000)
def test_nothing_grows_in_ten_minutes() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.soak", "--minutes", "10"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
