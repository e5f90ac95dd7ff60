"""Ray's dashboard: one that only plays its part, with answers as Ray 2.60 gave them, and a real one on own ports.
Both end with their `with` block."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import psutil
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.cluster.waiting import eventually
from tests.rigs.http_server import served
from tests.rigs.nodes import free_port

TOKEN: Final = "0123456789abcdef0123456789abcdef"


def application(name: str, config: dict[str, Any] | None, status: str = "RUNNING", at: float = 1.0) -> dict[str, Any]:
    """As Ray's dashboard tells of one; `config` None: deployed by no file."""
    return {
        "name": name,
        "status": status,
        "message": "",
        "last_deployed_time_s": at,
        "deployed_app_config": config,
        "source": "imperative" if config is None else "declarative",
        "deployments": {},
    }


def stage(status: str, running: int, wanted: int, message: str = "") -> dict[str, Any]:
    replicas = [{"state": "RUNNING" if index < running else "STARTING"} for index in range(wanted)]
    return {"status": status, "message": message, "target_num_replicas": wanted, "replicas": replicas}


@dataclass(slots=True)
class Actor:
    """Plays a dashboard. `then`: what `pairlens` is after each further look, once it was deployed."""

    version: str = "2.60.0"
    token: str | None = None
    gpus: float = 0
    applications: dict[str, Any] = field(default_factory=dict)
    http_options: dict[str, Any] | None = None
    refuses: str | None = None
    then: list[dict[str, Any]] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)

    def app(self) -> Starlette:
        routes = [
            Route("/api/ray/version", self._version),
            Route("/api/v0/nodes", self._nodes),
            Route("/api/serve/applications/", self._applications, methods=["GET", "PUT"]),
        ]
        return Starlette(routes=routes)

    def _turned_away(self, request: Request) -> Response | None:
        given = request.headers.get("Authorization")
        if self.token is None or given == f"Bearer {self.token}":
            return None
        if given is None:
            return PlainTextResponse("Unauthorized: Missing authentication token", 401)
        return PlainTextResponse("Forbidden: Invalid authentication token", 403)

    async def _version(self, request: Request) -> Response:
        return self._turned_away(request) or JSONResponse({"version": "4", "ray_version": self.version})

    async def _nodes(self, request: Request) -> Response:
        alive: dict[str, Any] = {"node_ip": "10.0.0.7", "is_head_node": True, "state": "ALIVE"}
        resources: dict[str, Any] = {"CPU": 8.0, **({"GPU": self.gpus} if self.gpus else {})}
        gone: dict[str, Any] = {**alive, "node_ip": "10.0.0.8", "state": "DEAD", "resources_total": {}}
        rows: list[dict[str, Any]] = [{**alive, "resources_total": resources}, gone]
        return self._turned_away(request) or JSONResponse({"data": {"result": {"result": rows}}})

    async def _applications(self, request: Request) -> Response:
        if request.method == "PUT":
            if self.refuses is not None:
                return PlainTextResponse(self.refuses, 400)
            self.sent.append(await request.json())
            return Response()
        if self.sent and self.then:
            self.applications["pairlens"] = self.then.pop(0) if len(self.then) > 1 else self.then[0]
        told: dict[str, Any] = {"applications": self.applications, "proxies": {}, "controller_info": {}}
        if self.http_options is not None:
            told |= {"http_options": self.http_options, "proxy_location": "HeadOnly"}
        return self._turned_away(request) or JSONResponse(told)


@contextmanager
def played(actor: Actor) -> Iterator[str]:
    with served(actor.app) as url:
        yield url


@contextmanager
def real(folder_prefix: str = "d") -> Iterator[str]:
    """The address of a real dashboard, which wants TOKEN. Nobody's Ray is joined."""
    folder = Path(tempfile.mkdtemp(prefix=folder_prefix, dir="/tmp"))  # short: sockets lie some 70 characters below it
    port = free_port()
    named = {
        "port": free_port(),
        "dashboard-port": port,
        "dashboard-agent-listen-port": free_port(),
        "metrics-export-port": free_port(),
        "ray-client-server-port": free_port(),
        "runtime-env-agent-port": free_port(),
        "num-cpus": 2,
        "object-store-memory": 100_000_000,
        "temp-dir": folder / "r",
    }
    options = [f"--{name}={value}" for name, value in named.items()]
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    log = (folder / "log").open("wb")
    ray = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: ray.poll() is not None or _answers(url), within_s=90)
        assert ray.poll() is None, (folder / "log").read_text()
        yield url
    finally:
        family = psutil.Process(ray.pid).children(recursive=True) if ray.poll() is None else []
        with log:
            ray.send_signal(signal.SIGTERM)
            _, alive = psutil.wait_procs(
                [psutil.Process(ray.pid), *family] if ray.poll() is None else family, timeout=15
            )
            for process in alive:
                process.kill()
            ray.wait(15)
        shutil.rmtree(folder, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        asked = httpx2.get(f"{url}/api/v0/nodes", headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False)
        return asked.status_code == 200 and bool(asked.json()["data"]["result"]["result"])
    except httpx2.TransportError:
        return False
