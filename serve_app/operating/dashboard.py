"""A Ray cluster by the address of its dashboard: what it is, what is deployed there, and a Serve file put in its place.
Decides nothing: `rollout.py` does. Whatever goes wrong is one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx2

# As Ray's own `serve deploy`: RAY_DASHBOARD_ADDRESS; RAY_ADDRESS where it is a dashboard's.
DEFAULT: Final = "http://127.0.0.1:8265"
APPLICATIONS: Final = "/api/serve/applications/"
# Reading is quick. Serve is started by the first deployment, on a cluster that may have to find a place for it.
READ_S: Final = 20.0
DEPLOY_S: Final = 120.0


class ClusterFailed(Exception):
    """The cluster can't be asked, or refuses: one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of the cluster, and what it offers to Ray."""

    address: str
    is_head: bool
    cpus: float
    gpus: float


@dataclass(frozen=True, slots=True)
class Application:
    """One that is deployed. `config` is what a Serve file said of it; None where no file did (`serve run`), and then no
    file takes it away either. `deployments`: replicas that run and that there should be, status and message of each."""

    name: str
    status: str
    message: str
    deployed_at: float
    config: dict[str, Any] | None
    deployments: dict[str, tuple[int, int, str, str]]


@dataclass(frozen=True, slots=True)
class Deployed:
    """What Serve runs there now; `http_options` and `proxy_location` None where Serve doesn't run yet."""

    applications: dict[str, Application]
    http_options: dict[str, Any] | None
    proxy_location: str | None


def address(said: str | None, environment: Mapping[str, str]) -> str:
    """The dashboard's URL: what the command line said, or Ray's own variables. Raises ClusterFailed."""
    given = said or environment.get("RAY_DASHBOARD_ADDRESS") or _of_ray(environment) or DEFAULT
    if not given.startswith(("http://", "https://")):
        raise ClusterFailed(
            f"{given} is not the address of a dashboard: it begins with http:// or https://, its port is Ray's 8265."
        )
    return given.rstrip("/")


def _of_ray(environment: Mapping[str, str]) -> str | None:
    given = environment.get("RAY_ADDRESS", "")
    return given if given.startswith(("http://", "https://")) else None


def token(environment: Mapping[str, str], home: Path) -> str | None:
    """The key of the cluster, where Ray itself looks for it: RAY_AUTH_TOKEN, the file RAY_AUTH_TOKEN_PATH, and with
    RAY_AUTH_MODE=token the file ~/.ray/auth_token. Raises ClusterFailed."""
    mode = environment.get("RAY_AUTH_MODE", "").lower()
    if mode == "disabled":
        return None
    if environment.get("RAY_AUTH_TOKEN"):
        return environment["RAY_AUTH_TOKEN"].strip()
    named = environment.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else home / ".ray" / "auth_token"
    if not named and mode != "token":
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise ClusterFailed(f"The token of the cluster can't be read: {path}: {exc.strerror}.") from exc


class Dashboard:
    """Questions to one dashboard. `address` as `address()` gives it. Every method raises ClusterFailed."""

    def __init__(self, address: str, token: str | None) -> None:
        self.address = address
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._has_token = token is not None
        self._http = httpx2.Client(base_url=address, headers=headers, timeout=READ_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def ray_version(self) -> str:
        said = self._ask("/api/ray/version")
        if not isinstance(said, dict) or not isinstance(said.get("ray_version"), str):
            raise ClusterFailed(f"{self.address} answers, but not as Ray's dashboard does: is the port right?")
        return str(said["ray_version"])

    def nodes(self) -> list[Node]:
        """Those that live."""
        rows = self._ask("/api/v0/nodes")["data"]["result"]["result"]
        return [
            Node(
                address=row["node_ip"],
                is_head=bool(row["is_head_node"]),
                cpus=float(row["resources_total"].get("CPU", 0)),
                gpus=float(row["resources_total"].get("GPU", 0)),
            )
            for row in rows
            if row["state"] == "ALIVE"
        ]

    def deployed(self) -> Deployed:
        said = self._ask(APPLICATIONS)
        found = {name: _application(name, each) for name, each in said["applications"].items()}
        return Deployed(found, said.get("http_options"), said.get("proxy_location"))

    def deploy(self, config: dict[str, Any]) -> None:
        """Put this Serve file in the place of the one before: what a file deployed and this one has not is deleted."""
        answer = self._send("PUT", APPLICATIONS, json=config, timeout=DEPLOY_S)
        if answer.is_error:
            raise ClusterFailed(f"Ray refused the deployment: {last_line(answer.text)}")

    def _ask(self, path: str) -> Any:
        answer = self._send("GET", path)
        if answer.status_code == httpx2.codes.NOT_FOUND:
            raise ClusterFailed(f"{self.address} answers, but not as Ray's dashboard does: is the port right?")
        if answer.is_error:
            raise ClusterFailed(
                f"Ray's dashboard at {self.address} answers {answer.status_code}: {last_line(answer.text)}"
            )
        try:
            return answer.json()
        except ValueError as exc:
            raise ClusterFailed(f"{self.address} answers, but not as Ray's dashboard does: is the port right?") from exc

    def _send(self, method: str, path: str, **more: Any) -> httpx2.Response:
        try:
            answer = self._http.request(method, path, **more)
        except httpx2.TimeoutException as exc:
            raise ClusterFailed(f"Ray's dashboard at {self.address} does not answer in time.") from exc
        except (httpx2.TransportError, httpx2.InvalidURL) as exc:
            raise ClusterFailed(f"No dashboard of Ray answers at {self.address} ({type(exc).__name__}).") from exc
        if answer.status_code == httpx2.codes.UNAUTHORIZED and not self._has_token:
            raise ClusterFailed(
                f"The cluster at {self.address} wants its token: export RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or "
                "RAY_AUTH_TOKEN_PATH."
            )
        if answer.status_code in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
            raise ClusterFailed(f"The cluster at {self.address} does not take this token: it is another cluster's.")
        return answer


def _application(name: str, said: dict[str, Any]) -> Application:
    deployments = {
        stage: (
            sum(replica["state"] == "RUNNING" for replica in each["replicas"]),
            each["target_num_replicas"],
            each["status"],
            each["message"],
        )
        for stage, each in said["deployments"].items()
    }
    by_file = said["source"] == "declarative"
    config = said.get("deployed_app_config") if by_file else None
    return Application(
        name,
        said["status"],
        said["message"],
        said["last_deployed_time_s"],
        config or ({} if by_file else None),
        deployments,
    )


def last_line(text: str) -> str:
    """Of an error with a trace, what it comes to."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "no reason given")[:400]
