"""SIGKILL for each kind of process under constant load, planned changes too: what callers saw and how long it took.
Two VLModel replicas on nodes of their own and a spare node; scripted engine; every fault on the same running service.

    python -m benchmarks.chaos [--only NAME ...] [--seconds 30]

It kills processes of the cluster that it has started itself, found through Ray's own tables, and nothing else.
`worst gap` is the longest time in which nobody got a report; `back` is when all replicas ran and /readyz said 200.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import psutil
import yaml

from tests.rigs import edge, load, nodes

JOB_S: Final = 0.2
CALLERS: Final = 6
MODELS: Final = 2
BACK_WITHIN_S: Final = 90.0
STAGES: Final[dict[str, dict[str, Any]]] = {
    # Beside the models, where a lost node takes one of both: a share of the GPU that leaves the model its own.
    "Ingress": {"num_replicas": 2, "max_replicas_per_node": 1, "ray_actor_options": {"num_cpus": 0, "num_gpus": 0.01}},
    "Preprocessor": {"autoscaling_config": {"min_replicas": 2, "max_replicas": 2}},
    "VLModel": {
        "autoscaling_config": None,
        "num_replicas": MODELS,
        "max_surge_percent": 50,
        "ray_actor_options": {"num_cpus": 0, "num_gpus": 0.9},
    },
}

Condition = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Fault:
    """`strike` does the damage and returns when all is well again, as a condition."""

    name: str
    strike: Callable[[nodes.Nodes], Condition]
    behind_nginx: bool = False


def config(rev: str = "1", **stages: dict[str, Any]) -> dict[str, Any]:
    merged = {name: {**STAGES.get(name, {}), **stages.get(name, {})} for name in STAGES.keys() | stages.keys()}
    return nodes.config(delay_s=JOB_S, gpus=1, stages=merged, rev=rev)


def replica(stage: str) -> Callable[[nodes.Nodes], Condition]:
    def strike(cluster: nodes.Nodes) -> Condition:
        before = cluster.replicas(stage)
        victim = before[0]
        cluster.kill(victim.pid)

        def back() -> bool:
            now = cluster.replicas(stage)
            return len(now) == len(before) and victim.id not in {each.id for each in now}

        return back

    return strike


def controller(cluster: nodes.Nodes) -> Condition:
    (victim,) = cluster.controller_pids()
    cluster.kill(victim)
    return lambda: (
        len(cluster.controller_pids()) == 1
        and victim not in cluster.controller_pids()
        and len(cluster.replicas("VLModel")) == MODELS
    )


def proxy(cluster: nodes.Nodes) -> Condition:
    before = cluster.proxy_pids()
    victim = max(before, key=lambda pid: len(psutil.Process(pid).net_connections()))  # that with the most callers
    cluster.kill(victim)
    return lambda: len(cluster.proxy_pids()) == len(before) and victim not in cluster.proxy_pids()


def node(lose: Callable[[nodes.Nodes, str], None]) -> Callable[[nodes.Nodes], Condition]:
    def strike(cluster: nodes.Nodes) -> Condition:
        before = cluster.replicas()
        lost = next(each.node for each in before if each.stage == "Ingress")
        lose(cluster, lost)

        def back() -> bool:
            now = cluster.replicas()
            return len(now) == len(before) and lost not in {each.node for each in now}

        return back

    return strike


def drained_node(cluster: nodes.Nodes) -> Condition:
    """What `deployment/drain.py` asks for before a pod ends."""
    leaving = cluster.replicas("VLModel")[0].node
    cluster.drain_node(leaving, within_s=60)

    def left() -> bool:
        now = cluster.replicas("VLModel")
        return len(now) == MODELS and leaving not in {each.node for each in now}

    return left


def update(rev: str, **stages: dict[str, Any]) -> Callable[[nodes.Nodes], Condition]:
    def strike(cluster: nodes.Nodes) -> Condition:
        before = {each.id for each in cluster.replicas()}
        cluster.deploy(config(rev, **stages))
        count = len(before)

        def done() -> bool:
            now = {each.id for each in cluster.replicas()}
            return len(now) == count and not now & before

        return done

    return strike


FAULTS: Final = (
    Fault("kill -9 a model replica", replica("VLModel")),
    Fault("kill -9 a preprocessor replica", replica("Preprocessor")),
    Fault("kill -9 an ingress replica", replica("Ingress")),
    Fault("kill -9 the controller", controller),
    Fault("kill -9 the proxy", proxy),
    Fault("kill -9 the proxy, behind nginx", proxy, behind_nginx=True),
    Fault("kill -9 a GPU node with an ingress replica", node(nodes.Nodes.kill_node)),
    Fault("a GPU node with an ingress replica falls silent", node(nodes.Nodes.freeze_node)),
    Fault("drain a GPU node", drained_node),
    Fault("rolling update, a spare GPU", update("2")),
    Fault("rolling update, no spare GPU", update("3", VLModel={"max_surge_percent": 0})),
)
# On a cluster with a proxy on each node that has a replica.
FAULTS_OF_DOORS: Final = (
    Fault("kill -9 one of three proxies", proxy),
    Fault("kill -9 one of three proxies, behind nginx", proxy, behind_nginx=True),
)


def suffer(cluster: nodes.Nodes, fault: Fault, seconds: float) -> dict[str, Any]:
    """One row: load, the fault in the middle of it, load until all is well and at least `seconds` have passed."""
    nodes.eventually(lambda: well(cluster), within_s=BACK_WITHIN_S, what="a healthy service to begin with")
    with (
        entrance(cluster, fault) as url,
        load.callers(url, CALLERS, config={"processing_timeout": 20}, patience_s=30) as under_way,
    ):
        time.sleep(3)
        struck = time.monotonic()
        is_back = fault.strike(cluster)
        unready = Unready(cluster)
        back_s: float | None = None
        with suppress(TimeoutError):
            back_s = nodes.eventually(
                lambda: quietly(is_back) and cluster.is_ready(), within_s=BACK_WITHIN_S, what=fault.name
            )
        time.sleep(max(0.0, struck + seconds - time.monotonic()))
        unready.stop.set()
        ended = time.monotonic()
    answers = under_way.since(struck - 1)
    bad = [each for each in answers if each.failed_badly]
    return {
        "fault": fault.name,
        "requests": len(answers),
        "ok": sum(each.status == 200 for each in answers),
        "refused": len(answers) - len(bad) - sum(each.status == 200 for each in answers),
        "bad": load.outcomes(bad),
        "bad_share": len(bad) / max(1, len(answers)),
        "not_200_share": sum(each.status != 200 for each in answers) / max(1, len(answers)),
        "worst_gap_s": load.longest_gap(answers, struck, ended),
        "slowest_s": max((each.took_s for each in answers), default=0.0),
        "unready_s": unready.seconds,
        "back_s": back_s,
    }


@contextmanager
def entrance(cluster: nodes.Nodes, fault: Fault) -> Iterator[str]:
    """Where callers ask: Serve's proxies themselves, or the shipped nginx in front of them.

    The proxies share one port, so its list of doors has that port once for each.
    """
    if not fault.behind_nginx:
        yield cluster.url
        return
    port = httpx2.URL(cluster.url).port
    assert port is not None
    with edge.in_front_of([port] * max(2, len(cluster.proxy_pids()))) as url:
        yield url


def under_faults(faults: Sequence[Fault], doors: str, seconds: float) -> list[dict[str, Any]]:
    """These faults one after another on one cluster."""
    rows = []
    with nodes.started(gpu_nodes=MODELS + 1, doors=doors) as cluster:
        cluster.deploy(config())
        for fault in faults:
            rows.append(suffer(cluster, fault, seconds))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
            cluster.restore_gpu_nodes(MODELS + 1)
    return rows


class Unready:
    """Asks /readyz ten times a second; how long it did not say 200."""

    def __init__(self, cluster: nodes.Nodes) -> None:
        self.seconds = 0.0
        self.stop = threading.Event()
        self._cluster = cluster
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        last = time.monotonic()
        while not self.stop.wait(0.1):
            ready, now = self._cluster.is_ready(), time.monotonic()
            self.seconds += 0.0 if ready else now - last
            last = now


def quietly(condition: Condition) -> bool:
    """False while Serve's controller itself can't be asked."""
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    try:
        return condition()
    except (RayError, RayServeException, KeyError):
        return False


def well(cluster: nodes.Nodes) -> bool:
    return quietly(lambda: len(cluster.replicas("VLModel")) == MODELS) and cluster.is_ready()


def sigterm(workers: int = 6) -> dict[str, Any]:
    """`pairlens serve` gets SIGTERM while it works: what those who had asked before got."""
    with tempfile.TemporaryDirectory(prefix="pl-", dir="/tmp") as folder:
        port, dashboard = nodes.free_port(), nodes.free_port()
        raw = nodes.config(delay_s=1.0, gpus=0, stages={})
        raw["http_options"] = {"host": "127.0.0.1", "port": port, "request_timeout_s": 150}
        path = Path(folder) / "serve.yaml"
        path.write_text(yaml.safe_dump(raw), encoding="utf-8")
        served = subprocess.Popen(
            [
                *(sys.executable, "-c", "from serve_app.cli.main import app; app()", "serve", "--config", str(path)),
                *("--dashboard-port", str(dashboard)),
            ],
            env={key: value for key, value in os.environ.items() if not key.startswith("RAY_")},
            stdout=subprocess.DEVNULL,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            nodes.eventually(lambda: _ready(url), within_s=120, what="the service")
            with load.callers(url, workers) as under_way:
                time.sleep(2.5)
                under_way.stop.set()  # each caller waits for the answer that it has asked for
                asked = time.monotonic()
                served.send_signal(signal.SIGTERM)
            served.wait(150)
            ended = time.monotonic()
        finally:
            if served.poll() is None:
                served.kill()
    late = [each for each in under_way.answers if each.sent + each.took_s > asked]
    return {
        "fault": f"SIGTERM for `pairlens serve`, {len(late)} requests under way",
        "requests": len(late),
        "ok": sum(each.status == 200 for each in late),
        "refused": sum(each.status != 200 and not each.failed_badly for each in late),
        "bad": load.outcomes([each for each in late if each.failed_badly]),
        "bad_share": sum(each.failed_badly for each in late) / max(1, len(late)),
        "not_200_share": sum(each.status != 200 for each in late) / max(1, len(late)),
        "worst_gap_s": 0.0,
        "slowest_s": max((each.took_s for each in late), default=0.0),
        "unready_s": 0.0,
        "back_s": ended - asked,
    }


def _ready(url: str) -> bool:
    with suppress(httpx2.TransportError):
        return httpx2.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == 200
    return False


def table(rows: list[dict[str, Any]]) -> str:
    head: tuple[str, ...] = ("fault", "requests", "200", "503 + Retry-After", "anything else", "not 200")
    head += ("worst gap s", "slowest s", "not ready s", "back s")
    lines = [head, ("---",) * len(head)]
    for row in rows:
        others = ", ".join(f"{number} x {kind}" for kind, number in row["bad"].items()) or "0"
        seconds = (row["worst_gap_s"], row["slowest_s"], row["unready_s"], row["back_s"])
        counted = (str(row[key]) for key in ("requests", "ok", "refused"))
        shown = ("-" if each is None else f"{each:.1f}" for each in seconds)
        lines.append((row["fault"], *counted, others, f"{row['not_200_share']:.1%}", *shown))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=None, help="parts of names")
    parser.add_argument("--seconds", type=float, default=30.0)
    asked = parser.parse_args()

    def wanted(name: str) -> bool:
        return asked.only is None or any(part in name for part in asked.only)

    rows: list[dict[str, Any]] = []
    for doors, faults in (("HeadOnly", FAULTS), ("EveryNode", FAULTS_OF_DOORS)):
        chosen = [fault for fault in faults if wanted(fault.name)]
        if chosen:
            rows += under_faults(chosen, doors, asked.seconds)
    if wanted("SIGTERM"):
        rows.append(sigterm())
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; ", end="")
    print(f"{CALLERS} callers without pause, {JOB_S:g} s a job\n\n{table(rows)}\n{json.dumps(rows)}")


if __name__ == "__main__":
    main()
