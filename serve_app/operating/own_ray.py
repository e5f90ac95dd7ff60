"""A Ray of our own for as long as one `pairlens serve` runs: its folder, its key, its processes.
Knows nothing of comparisons. It never joins, stops or disturbs another Ray on the machine."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from serve_app.settings import MIB

# Ray's sockets lie some 70 characters below its folder, and a socket's path has at most 107.
LONGEST_PARENT: Final = 24
# Ray's own processes end within 3 s of its shutdown (measured); what is left after this is killed.
LAST_PROCESS_S: Final = 10.0
# What Ray Serve, and the C library of its processes, read from the environment of every node, once.
SERVE_ENVIRONMENT: Final = {
    # Our words, and one more try, where Serve's proxy itself has to answer.
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve_app.serving.proxy:middlewares",
    # A dead proxy is missed after a second. Ray's 10 s made 26 s of refused connections (benchmarks/results/chaos.md).
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    # Calls between replicas go straight over gRPC. As Ray's actor calls they end in a blocking wait for the caller's
    # acknowledgement: a node lost with an ingress replica on it stopped every model replica it had called for 10 to
    # 12 s, until Ray missed the node, and beyond 10 s they failed their health checks (benchmarks/results/chaos.md).
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    # gRPC's 4 MiB is less than a photograph; what may pass is decided by our own limits, at the entrance.
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2**31 - 1),
    # glibc keeps an arena a thread, and images of many sizes leave holes in each: an ingress replica settled at 137
    # instead of 250 MiB, a preprocessor at 263 instead of 391 and growing (benchmarks/results/soak.md).
    "MALLOC_ARENA_MAX": "2",
    # By itself glibc raises its threshold for a mapping of its own to 32 MiB, and the blocks of large pictures lie in
    # heaps with holes: a worker kept 1.1 GiB of them, now 40 MiB. 8 MiB leaves what one megapixel needs in the heap: at
    # 1 MiB its pages came anew with each array, half as much time again for a pair (benchmarks/results/soak.md).
    "MALLOC_MMAP_THRESHOLD_": str(8 * MIB),
    "MALLOC_TRIM_THRESHOLD_": str(32 * MIB),
}


# Ray's own; `dashboard_ports` go on from there, so far.
DASHBOARD_PORT: Final = 8265
NUM_PORTS_TRIED: Final = 100


class RayFailed(Exception):
    """Ray did not start: one sentence for the operator."""


@dataclass(slots=True)
class Session:
    """Where this Ray keeps its files, and the key without which none of its ports obeys."""

    folder: Path
    token: str
    keep: bool = False
    processes: dict[int, psutil.Process] = field(default_factory=dict)

    @property
    def token_file(self) -> Path:
        return self.folder / "auth_token"

    @property
    def logs(self) -> Path:
        return self.folder / "session_latest" / "logs" / "serve"

    def remember_processes(self) -> None:
        """Note every process below this one, so that `end` finds those that lose their parent on the way."""
        for process in psutil.Process().children(recursive=True):
            self.processes.setdefault(process.pid, process)

    def end_processes(self) -> None:
        """Wait for all noted processes to end by themselves; kill those that don't."""
        self.remember_processes()
        _, alive = psutil.wait_procs(list(self.processes.values()), timeout=LAST_PROCESS_S)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=LAST_PROCESS_S)


def port_is_free(host: str, port: int) -> bool:
    """Whether this process could listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are still fading is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


@contextmanager
def claimed(ports: Iterable[int]) -> Iterator[int | None]:
    """The first of these ports of 127.0.0.1 that nobody listens at, nor has claimed; for the block no other `pairlens
    serve` takes it. None: all are taken.

    From the choice on until Ray's dashboard listens there seconds pass, in which a second service would find the port
    free. So it is held by a name in Linux's abstract socket namespace, which belongs to the same network namespace as
    ports, to all users, and ends with the process, however that ends. Elsewhere nothing is held.
    """
    for port in ports:
        with _claim(port) as is_ours:
            if is_ours and port_is_free("127.0.0.1", port):
                yield port
                return
    yield None


@contextmanager
def _claim(port: int) -> Iterator[bool]:
    if sys.platform != "linux":
        yield True
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as claim:
        try:
            claim.bind(f"\0pairlens-dashboard-{port}")
        except OSError:
            yield False
            return
        yield True


def dashboard_ports(first: int, *, but: int) -> Iterator[int]:
    """Where a dashboard may listen, the usual port first. `but`: the service will listen there."""
    return (port for port in range(first, min(first + NUM_PORTS_TRIED, 2**16)) if port != but)


def set_environment(*, this_machine_only: bool) -> None:
    """Ray takes these from the environment only, hands them to its processes, and reads some of them once, when
    it is first imported: call this before.

    `this_machine_only`: its own ports, that of the metrics among them, which asks for no key, listen on 127.0.0.1.
    """
    for stranger in ("RAY_ADDRESS", "RAY_AUTH_TOKEN"):
        os.environ.pop(stranger, None)
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is reported to anyone
    os.environ.update(SERVE_ENVIRONMENT)
    # Serve's proxy imports the first of them, also where PairLens runs from its folder without being installed.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # else a warning on each start without a GPU
    # On a machine at load 20 Ray was ready after 91 s; by itself it gives up after 30.
    os.environ["RAY_raylet_start_wait_time_s"] = "180"  # noqa: SIM112 - Ray spells it so
    # The name tells where Ray has this by default: a node that is known, and listens, as 127.0.0.1.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0" if this_machine_only else "1"


def tracing_environment(config: Mapping[str, Any] | None) -> dict[str, str]:
    """The same as the file's `tracing_config`. Serve 2.60 hands that to replicas alone: its proxy, where a trace begins
    and where a caller's own is taken up, reads these."""
    if not config or not config.get("enabled", True):
        return {}
    told = {"RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH": str(config["exporter_import_path"])}
    if "sampling_ratio" in config:
        told["RAY_SERVE_TRACING_SAMPLING_RATIO"] = str(config["sampling_ratio"])
    return told


@contextmanager
def started(dashboard_port: int, metrics_port: int | None = None) -> Iterator[Session]:
    """A fresh Ray on this machine, its dashboard on 127.0.0.1; everything is gone when the block ends.
    `metrics_port` None: a free one, which Ray writes into prom_metrics_service_discovery.json in the session's folder.

    Ray's control ports listen on all interfaces and run code for whoever may speak to them, so it demands a
    key made for this session, kept in the session's folder (mode 0700), not in the home directory.
    `set_environment` must have been called.
    """
    session = _new_session()
    try:
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(session.token_file)
        # What its processes leave behind when they are killed goes with the folder.
        os.environ["TMPDIR"] = str(session.folder)
        _init(session, dashboard_port, metrics_port)
        session.remember_processes()
        yield session
    finally:
        _shut_down(session)
        if not session.keep:
            shutil.rmtree(session.folder, ignore_errors=True)


def parent_folder() -> Path:
    """Where a session's folder is made."""
    parent = tempfile.gettempdir()
    return Path(parent if len(parent) <= LONGEST_PARENT else "/tmp")


def _new_session() -> Session:
    folder = Path(tempfile.mkdtemp(prefix="pairlens-", dir=parent_folder()))
    session = Session(folder, secrets.token_hex(32))
    session.token_file.touch(mode=0o600)
    session.token_file.write_text(session.token)
    return session


def _init(session: Session, dashboard_port: int, metrics_port: int | None) -> None:
    import ray

    # A terminal sends Ctrl-C to every process in front of it. What Ray starts inherits that it is ignored (and
    # blocked, but Python's multiprocessing unblocks it); for this process alone it is kept until Ray stands.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ray.init(
            address="local",
            namespace="serve",
            include_dashboard=True,
            dashboard_host="127.0.0.1",
            dashboard_port=dashboard_port,
            log_to_driver=False,  # its processes write to the session's folder
            logging_level="ERROR",
            _temp_dir=str(session.folder),
            _metrics_export_port=metrics_port,
        )
    except Exception as exc:  # Ray raises bare ones when a process of its own does not start
        session.keep = True
        (session.folder / "start_failed.log").write_text(str(exc), encoding="utf-8")
        raise RayFailed(f"Ray did not start. Details: {session.folder / 'start_failed.log'}") from exc
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _shut_down(session: Session) -> None:
    import ray
    from ray import serve

    session.remember_processes()
    if ray.is_initialized():
        with suppress(KeyboardInterrupt):  # a second Ctrl-C: don't wait for requests under way
            serve.shutdown()
    ray.shutdown()
    session.end_processes()
