"""A cluster of three GPU nodes under load, in a process of its own: what happened, as one line of JSON.
Judges nothing: `test_nodes.py` does. A second Ray can't live beside the one of the other cluster tests."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final

from serve_app.serving import proxy
from tests.rigs import load, nodes

JOB_S: Final = 1.0  # so long that callers wait for models, and not for the cores of a machine that tests share
CALLERS: Final = 8
PATIENCE_S: Final = 120  # a replica starts in 15 s on a quiet machine, in over 40 on one that tests have to share
SCALING: Final = {
    "min_replicas": 1,
    "max_replicas": 3,
    "upscale_delay_s": 1,
    "downscale_delay_s": 2,
    "look_back_period_s": 2,
    "metrics_interval_s": 0.5,
}
STAGES: Final[dict[str, dict[str, Any]]] = {
    "VLModel": {
        "autoscaling_config": SCALING,
        "ray_actor_options": {"num_cpus": 0, "num_gpus": 0.9},
        "graceful_shutdown_timeout_s": 5,
    },
    # Beside the models: the node that is lost takes one of those along that the other models work for.
    "Ingress": {"num_replicas": 2, "max_replicas_per_node": 1, "ray_actor_options": {"num_cpus": 0, "num_gpus": 0.01}},
    "Preprocessor": {"autoscaling_config": {"min_replicas": 2, "max_replicas": 2}},
}


def is_swift(under_way: load.Load) -> bool:
    """Whether each caller's last answer came while the proxy would still have asked another ingress replica."""
    last = under_way.answers[-CALLERS:]
    return len(last) == CALLERS and all(answer.took_s < proxy.REPEAT_WITHIN_S - JOB_S for answer in last)


def main() -> dict[str, Any]:
    with nodes.started(gpu_nodes=3) as cluster:
        cluster.deploy(nodes.config(delay_s=JOB_S, gpus=1, stages=STAGES))
        seen: dict[str, Any] = {"ready_s": nodes.eventually(cluster.is_ready, within_s=PATIENCE_S, what="ready")}

        def models(number: int) -> bool:
            return len(cluster.replicas("VLModel")) == number

        seen["models_before"] = len(cluster.replicas("VLModel"))
        with load.callers(cluster.url, CALLERS) as under_way:
            seen["up_s"] = nodes.eventually(lambda: models(3), within_s=PATIENCE_S, what="three replicas")
            # What waited for these replicas is too old to be asked again: it is answered before one of them is lost.
            nodes.eventually(lambda: is_swift(under_way), within_s=PATIENCE_S, what="swift answers")
            before = {each.id: each.node for each in cluster.replicas("VLModel")}
            seen["nodes_used"] = len(set(before.values()))
            lost = cluster.replicas("Ingress")[0].node
            killed = time.monotonic()
            cluster.kill_node(lost)
            seen["noticed_s"] = nodes.eventually(lambda: models(2), within_s=PATIENCE_S, what="two replicas")
            fresh = cluster.add_gpu_node()
            seen["back_s"] = nodes.eventually(lambda: models(3), within_s=PATIENCE_S, what="three replicas again")
            after = {each.id: each.node for each in cluster.replicas("VLModel")}
            seen["came_back_on_the_new_node"] = fresh in after.values()
            seen["survivors_kept"] = len(before.keys() & after.keys()) == 2
            seen["gap_s"] = load.longest_gap(under_way.answers, killed, time.monotonic())
        seen["down_s"] = nodes.eventually(lambda: models(1), within_s=PATIENCE_S, what="one replica")
        answers = under_way.answers
        seen["answers"] = len(answers)
        seen["outcomes"] = load.outcomes(answers)
        seen["not_200"] = sum(each.status != 200 for each in answers)
        seen["failed_badly"] = sum(each.failed_badly for each in answers)
        return seen


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main()) + "\n")
