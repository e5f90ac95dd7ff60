"""No GPU node until there is work: demand brings nodes, idleness takes them away. One line of JSON tells what happened.
The nodes are processes of this machine, from Ray's own stand-in for a cloud. `test_nodes.py` judges."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final

from tests.rigs import load, nodes

CALLERS: Final = 6
STAGES: Final[dict[str, dict[str, Any]]] = {
    "VLModel": {
        "autoscaling_config": {
            "min_replicas": 0,
            "max_replicas": 3,
            "upscale_delay_s": 1,
            "downscale_delay_s": 5,
            "downscale_to_zero_delay_s": 8,
            "look_back_period_s": 2,
            "metrics_interval_s": 0.5,
        },
        "ray_actor_options": {"num_cpus": 0, "num_gpus": 1},
        "graceful_shutdown_timeout_s": 5,
    },
    "Preprocessor": {"autoscaling_config": {"min_replicas": 2, "max_replicas": 2}},
}


def main() -> dict[str, Any]:
    with nodes.started_with_autoscaler(max_gpu_nodes=3) as cluster:
        cluster.deploy(nodes.config(delay_s=0.3, gpus=1, stages=STAGES))
        nodes.eventually(lambda: len(cluster.replicas()) >= 3, within_s=60, what="the stages on the head")
        seen: dict[str, Any] = {"nodes_before": nodes.gpu_nodes_alive()}
        began = time.monotonic()
        with load.callers(cluster.url, CALLERS, config={"processing_timeout": 100}, patience_s=110) as under_way:
            seen["first_node_s"] = nodes.eventually(lambda: nodes.gpu_nodes_alive() > 0, within_s=60, what="a node")
            nodes.eventually(lambda: bool(under_way.answers), within_s=60, what="an answer")
            seen["first_answer_s"] = time.monotonic() - began
            nodes.eventually(lambda: len(cluster.replicas("VLModel")) == 3, within_s=90, what="three replicas")
            seen["three_replicas_s"] = time.monotonic() - began
            seen["nodes_at_most"] = nodes.gpu_nodes_alive()
        ended = time.monotonic()
        nodes.eventually(lambda: not cluster.replicas("VLModel"), within_s=60, what="no replica")
        seen["no_replica_s"] = time.monotonic() - ended
        nodes.eventually(lambda: nodes.gpu_nodes_alive() == 0, within_s=90, what="no node")
        seen["no_node_s"] = time.monotonic() - ended
        seen["nodes_after"] = nodes.gpu_nodes_alive()
        seen["outcomes"] = load.outcomes(under_way.answers)
        seen["failed_badly"] = sum(each.failed_badly for each in under_way.answers)
        return seen


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main()) + "\n")
