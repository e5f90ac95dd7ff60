"""PairLens on a Ray of several nodes that are processes of this machine, with logical GPUs.
Knows no load. Its ports, folder and processes are its own; it ends what it started and touches nothing else.

Start it in a process that has not imported `ray` yet: Ray reads its environment once.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import psutil
import yaml

from serve_app.operating.own_ray import SERVE_ENVIRONMENT

ROOT: Final = Path(__file__).parents[2]
APP: Final = "pairlens"
FAKE_HEAD: Final = "f" * 51 + "00000"  # the id by which Ray's stand-in for a cloud knows its head


@dataclass(frozen=True, slots=True)
class Replica:
    """One running replica."""

    stage: str
    id: str
    pid: int
    node: str


@dataclass(slots=True)
class Nodes:
    """A head with processor cores, and nodes with one GPU each."""

    cluster: Any
    url: str
    folder: Path
    gpu_nodes: list[Any] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def add_gpu_node(self) -> str:
        """One more node; its id. It has no core, so only who asks for the GPU comes there."""
        node = self.cluster.add_node(num_cpus=0, num_gpus=1, object_store_memory=80_000_000)
        self.gpu_nodes.append(node)
        return str(node.node_id)

    def kill_node(self, node_id: str) -> None:
        """SIGKILL for every process of this node, as when its machine ends."""
        node, family = self._node(node_id), self._processes(node_id)
        self.gpu_nodes.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)
        for process in family:  # those that were frozen don't see that their raylet is gone
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def freeze_node(self, node_id: str) -> None:
        """SIGSTOP for every process of this node: it holds its connections and answers nothing on them, as a machine
        that lost its power or network."""
        self.lost.append(node_id)
        for process in self._processes(node_id):
            process.suspend()

    def drain_node(self, node_id: str, within_s: int) -> None:
        """Ask Ray to move everything away from this node, as `deployment/drain.py` does."""
        subprocess.run(
            [
                *(str(Path(sys.executable).with_name("ray")), "drain-node", "--address", self.cluster.address),
                *("--node-id", node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "planned"),
                *("--deadline-remaining-seconds", str(within_s)),
            ],
            check=True,
            capture_output=True,
        )
        self.lost.append(node_id)

    def end_lost_nodes(self) -> None:
        """Kill those that were drained or frozen."""
        while self.lost:
            self.kill_node(self.lost.pop())

    def restore_gpu_nodes(self, number: int) -> None:
        """Take lost nodes away and add fresh ones, up to `number`."""
        self.end_lost_nodes()
        while len(self.gpu_nodes) < number:
            self.add_gpu_node()

    def deploy(self, config: dict[str, Any]) -> None:
        """Apply this Serve file (`serve_config.yaml` with changes), as `serve deploy` would; don't wait."""
        from ray.serve.schema import ServeDeploySchema

        self._client().deploy_apps(ServeDeploySchema.model_validate(config))

    def replicas(self, stage: str | None = None) -> list[Replica]:
        """The running ones."""
        app = self._details()["applications"].get(APP, {"deployments": {}})
        return [
            Replica(name, each["replica_id"], each["pid"], each["node_id"])
            for name, deployment in app["deployments"].items()
            for each in deployment["replicas"]
            if each["state"] == "RUNNING" and stage in (None, name)
        ]

    def controller_pids(self) -> list[int]:
        """None while it is being replaced."""
        return self._pids_of_actors("SERVE_CONTROLLER_ACTOR")

    def proxy_pids(self) -> list[int]:
        return self._pids_of_actors("SERVE_PROXY_ACTOR")

    def kill(self, pid: int, kind: signal.Signals = signal.SIGKILL) -> None:
        """A signal for one process of this cluster."""
        os.kill(pid, kind)

    def is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False

    def _node(self, node_id: str) -> Any:
        return next(each for each in self.gpu_nodes if each.node_id == node_id)

    def _processes(self, node_id: str) -> list[psutil.Process]:
        roots = [
            psutil.Process(info.process.pid) for infos in self._node(node_id).all_processes.values() for info in infos
        ]
        return [process for root in roots for process in (root, *root.children(recursive=True))]

    def _client(self) -> Any:
        from ray.serve.context import _get_global_client

        return _get_global_client()

    def _details(self) -> dict[str, Any]:
        details: dict[str, Any] = self._client().get_serve_details()
        return details

    def _pids_of_actors(self, prefix: str) -> list[int]:
        from ray._private.state import actors

        alive = (each for each in actors().values() if each["State"] == "ALIVE")
        return [int(each["Pid"]) for each in alive if each["Name"].startswith(prefix)]


def set_environment(folder: Path) -> None:
    """What Ray reads once, when it is first imported, and hands to its processes."""
    for stranger in ("RAY_ADDRESS", "RAY_AUTH_TOKEN"):
        os.environ.pop(stranger, None)
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ.update(SERVE_ENVIRONMENT)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    os.environ["PYTHONPATH"] = str(ROOT)
    # What waits is told to the autoscaler each second rather than each ten.
    os.environ["RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S"] = "1"
    os.environ["RAY_TMPDIR"] = str(folder)


@contextmanager
def started(*, gpu_nodes: int, head_cpus: int = 8, own_tmp: bool = False, doors: str = "HeadOnly") -> Iterator[Nodes]:
    """A fresh cluster with Serve on it, its HTTP on a free port of 127.0.0.1.

    `doors`: where Serve's proxies stand; with EveryNode they share the port, as the kernel deals connections out.
    `own_tmp`: its processes make their temporary files in `folder / "tmp"`.
    """
    folder = Path(tempfile.mkdtemp(prefix="pl-", dir="/tmp"))  # short: sockets live under it, 107 bytes at most
    set_environment(folder)
    if own_tmp:
        (folder / "tmp").mkdir()
        os.environ["TMPDIR"] = str(folder / "tmp")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": head_cpus, "num_gpus": 0, "object_store_memory": 200_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        with _connected(cluster.address, doors) as url:
            nodes = Nodes(cluster, url, folder)
            for _ in range(gpu_nodes):
                nodes.add_gpu_node()
            try:
                yield nodes
            finally:
                nodes.end_lost_nodes()
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def started_with_autoscaler(*, max_gpu_nodes: int) -> Iterator[Nodes]:
    """A head alone; Ray's node autoscaler adds GPU nodes while something waits for a GPU, and removes idle ones."""
    folder = Path(tempfile.mkdtemp(prefix="pl-", dir="/tmp"))
    set_environment(folder)
    port = free_port()
    (folder / "autoscaler.json").write_text(json.dumps(_fake_cloud(f"{_host_ip()}:{port}", max_gpu_nodes)))
    head = subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=8", "--num-gpus=0"),
            *(f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false"),
            *("--object-store-memory=200000000", f"--autoscaling-config={folder / 'autoscaler.json'}"),
        ],
        env={
            **os.environ,
            "RAY_FAKE_CLUSTER": "1",
            "RAY_enable_autoscaler_v2": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with _connected(f"{_host_ip()}:{port}") as url:
            yield Nodes(None, url, folder)
    finally:
        _end(head)
        shutil.rmtree(folder, ignore_errors=True)


def gpu_nodes_alive() -> int:
    import ray

    return sum(bool(node["Alive"] and node["Resources"].get("GPU")) for node in ray.nodes())


@contextmanager
def _connected(address: str, doors: str = "HeadOnly") -> Iterator[str]:
    """This process as a driver of that Ray, Serve started there; yields the URL of its proxy."""
    import ray
    from ray import serve

    try:
        ray.init(address=address, namespace="serve", log_to_driver=False, logging_level="ERROR")
        port = free_port()
        serve.start(proxy_location=doors, http_options={"host": "127.0.0.1", "port": port, "request_timeout_s": 150})
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(Exception):  # whatever was killed before: the processes are ended by the caller all the same
            serve.shutdown()
        ray.shutdown()


def _end(head: subprocess.Popen[bytes]) -> None:
    """The head and all that it, or its autoscaler, has started."""
    family = psutil.Process(head.pid).children(recursive=True)
    head.terminate()
    head.wait(30)
    _, alive = psutil.wait_procs(family, timeout=10)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _fake_cloud(gcs_address: str, max_gpu_nodes: int) -> dict[str, Any]:
    """Ray's own stand-in for a cloud: each node it grants is one more raylet on this machine."""
    return {
        "cluster_name": "fake",
        "max_workers": max_gpu_nodes + 1,
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "gcs_address": gcs_address,
            "launch_multiple": True,
            "head_node_id": FAKE_HEAD,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 8}, "node_config": {}, "max_workers": 0},
            "gpu_node": {
                "resources": {"CPU": 0, "GPU": 1, "object_store_memory": 100_000_000},
                "node_config": {},
                "min_workers": 0,
                "max_workers": max_gpu_nodes,
            },
        },
        "head_node_type": "ray.head.default",
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 0.1,
        "file_mounts_sync_continuously": False,
        **{key: {} for key in ("auth", "docker", "file_mounts")},
        **{key: [] for key in ("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands")},
        **{f"{each}_commands": [] for each in ("setup", "head_setup", "worker_setup")},
        **{f"{each}_start_ray_commands": [] for each in ("head", "worker")},
    }


def _host_ip() -> str:
    import ray

    return str(ray.util.get_node_ip_address())


def config(
    *, delay_s: float, gpus: float, stages: dict[str, dict[str, Any]], jobs: Path | None = None, **args: Any
) -> dict[str, Any]:
    """The shipped `serve_config.yaml` with the scripted engine; `stages` are changes by deployment, `args` of args.

    `jobs`: where jobs lie; None turns them off, for they keep what they have on disk.
    """
    raw: dict[str, Any] = copy.deepcopy(yaml.safe_load((ROOT / "serve_config.yaml").read_text(encoding="utf-8")))
    raw.pop("http_options")
    raw.pop("proxy_location")
    (application,) = raw["applications"]
    application["args"]["model"] = {"engine": "scripted", "gpus_per_replica": gpus, "scripted": {"delay_s": delay_s}}
    application["args"]["jobs"] |= {"enabled": jobs is not None, "folder": str(jobs)}
    if jobs is None:
        application["deployments"] = [stage for stage in application["deployments"] if stage["name"] != "Jobs"]
    for name, value in args.items():
        application["args"][name] = value if isinstance(value, str) else {**application["args"].get(name, {}), **value}
    for stage in application["deployments"]:
        for key, value in stages.get(stage["name"], {}).items():
            if value is None:
                stage.pop(key, None)
            else:
                stage[key] = {**stage.get(key, {}), **value} if isinstance(value, dict) else value
    return raw


def eventually(condition: Callable[[], bool], *, within_s: float, what: str) -> float:
    """Poll until true; the seconds it took. Raises TimeoutError after `within_s`."""
    began = time.monotonic()
    pause = threading.Event()
    while not condition():
        if time.monotonic() - began > within_s:
            raise TimeoutError(f"{what}: not within {within_s:g} s")
        pause.wait(0.1)
    return time.monotonic() - began


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
