"""Several nodes: replicas follow the load, and a node that dies takes no caller's answer with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


def told_by(script: str, *, within_s: float) -> dict[str, Any]:
    """What a script with a Ray of its own has seen."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", f"tests.cluster.nodes.{script}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


def test_replicas_spread_over_nodes_and_survive_the_loss_of_one() -> None:
    seen = told_by("nodes_script", within_s=280)

    assert seen["models_before"] == 1
    assert seen["nodes_used"] == 3, "load should have brought three replicas onto three nodes"
    assert seen["survivors_kept"], seen
    assert seen["came_back_on_the_new_node"]
    assert seen["failed_badly"] == 0, seen["outcomes"]
    assert seen["not_200"] <= 0.01 * seen["answers"], seen["outcomes"]
    assert seen["gap_s"] < 3, "two of three model replicas and one ingress replica were alive all the time"


@pytest.mark.on_demand
def test_nodes_come_with_the_load_and_go_after_it() -> None:
    seen = told_by("autoscaler_script", within_s=280)

    assert seen["nodes_before"] == 0
    assert seen["nodes_at_most"] == 3
    assert seen["nodes_after"] == 0
    assert seen["failed_badly"] == 0, seen["outcomes"]
