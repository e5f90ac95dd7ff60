"""Before a pod ends: hand this node's Serve replicas over to other nodes and wait until they have gone.
Knows nothing of comparisons. Kubernetes runs it in the pod (preStop) and kills the pod when it returns.

Without it a deleted pod takes its replicas along in the middle of their work. Serve starts the replacements
first, where there is room, then lets the old replicas finish what they have begun.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Final

import psutil

REPLICA: Final = "ray::ServeReplica:"
POLL_S: Final = 0.5


def main(limit_s: int) -> int:
    """0 once no replica runs here; 1 if some still do after `limit_s`, or if Ray refuses."""
    drained = subprocess.run(
        [
            *("ray", "drain-node", "--reason", "DRAIN_NODE_REASON_PREEMPTION"),
            *("--reason-message", "its pod is being deleted", "--deadline-remaining-seconds", str(limit_s)),
        ],
        check=False,
    )
    if drained.returncode != 0:
        return 1
    end = time.monotonic() + limit_s
    while replicas_here() and time.monotonic() < end:
        time.sleep(POLL_S)
    return 1 if replicas_here() else 0


def replicas_here() -> list[int]:
    """Process ids of the replicas that run in this container."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        title = " ".join(process.info["cmdline"] or ())
        if title.startswith(REPLICA):
            found.append(process.pid)
    return found


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
