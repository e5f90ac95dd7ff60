"""A Serve file for a Ray cluster that others may use too: what would change there, whether it may, and when it has.
Speaks no HTTP: `dashboard.py` does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from serve_app.operating.dashboard import Application, ClusterFailed, Dashboard, Deployed, Node, last_line
from serve_app.operating.serve_file import ServeFile

Fate = Literal["added", "changed", "kept", "DELETED", "not touched"]
MOST_PATHS: Final = 8
POLL_S: Final = 1.0
# A replica that dies is replaced; only one that stays unhealthy this long is a failure.
UNHEALTHY_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Change:
    """What would become of one application, and where its file differs."""

    name: str
    fate: Fate
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """`config` is what would be sent; `unheard`: settings that Serve does not take while it runs; `deployed_at`: when
    our own application was deployed, where it is deployed anew now."""

    config: dict[str, Any]
    changes: tuple[Change, ...]
    unheard: tuple[str, ...]
    deployed_at: float | None

    @property
    def deleted(self) -> list[str]:
        return [each.name for each in self.changes if each.fate == "DELETED"]

    @property
    def does_something(self) -> bool:
        return any(each.fate in ("added", "changed", "DELETED") for each in self.changes)


def plan(file: ServeFile, deployed: Deployed, *, keep_others: bool = False) -> Plan:
    """What this file would do there. `keep_others`: those that other files deployed are sent along as they are."""
    (ours,) = file.raw["applications"]
    # Serve copies it into each application that has none.
    as_kept = {"logging_config": file.raw.get("logging_config"), **ours}
    others = {
        name: each.config
        for name, each in deployed.applications.items()
        if name != file.name and each.config is not None
    }
    sent = [ours, *(config for config in others.values() if config)] if keep_others else [ours]
    changes = [_change(as_kept, deployed.applications.get(file.name), file.name)]
    for name, each in sorted(deployed.applications.items()):
        if name != file.name:
            # Serve leaves alone what no file deployed.
            fate: Fate = "not touched" if each.config is None else "kept" if keep_others and each.config else "DELETED"
            changes.append(Change(name, fate))
    there = deployed.applications.get(file.name)
    deployed_at = there.deployed_at if there is not None and changes[0].fate == "changed" else None
    config = {**file.raw, "applications": sent}
    return Plan(config, tuple(changes), tuple(_unheard(file.raw, deployed)), deployed_at)


def _change(ours: dict[str, Any], there: Application | None, name: str) -> Change:
    if there is None:
        return Change(name, "added")
    paths = tuple(sorted(_differing(_normal(ours), _normal(there.config or {}))))
    return Change(name, "changed" if paths else "kept", paths)


def _normal(config: dict[str, Any]) -> dict[str, Any]:
    """As Serve would keep it: numbers and lists alike, nothing that was not said, deployments by name."""
    from ray.serve.schema import ServeApplicationSchema

    if not config:
        return {}
    said: dict[str, Any] = ServeApplicationSchema.model_validate(config).model_dump(mode="json", exclude_unset=True)
    if not said.get("logging_config"):
        said.pop("logging_config", None)
    said["deployments"] = {each.pop("name"): each for each in said.get("deployments", [])}
    return said


def _differing(here: Any, there: Any, where: str = "") -> Iterator[str]:
    if isinstance(here, dict) and isinstance(there, dict):
        for key in here.keys() | there.keys():
            path = f"{where}.{key}".lstrip(".")
            if key not in here or key not in there:
                yield path
            else:
                yield from _differing(here[key], there[key], path)
    elif here != there:
        yield where


def _unheard(raw: dict[str, Any], deployed: Deployed) -> Iterator[str]:
    """Fixed when Serve starts, until `serve shutdown`."""
    for key, value in (raw.get("http_options") or {}).items():
        if deployed.http_options is not None and key in deployed.http_options and deployed.http_options[key] != value:
            yield f"http_options.{key} stays {deployed.http_options[key]}, not {value}"
    said = raw.get("proxy_location")
    if deployed.proxy_location is not None and said is not None and said != deployed.proxy_location:
        yield f"proxy_location stays {deployed.proxy_location}, not {said}"


def described(plan: Plan, address: str, ray_version: str, nodes: list[Node], file: ServeFile) -> str:
    """For a person who decides, the cluster first."""
    gpus = sum(node.gpus for node in nodes)
    lines = [
        f"Cluster {address}: Ray {ray_version}, {len(nodes)} node{'s' if len(nodes) != 1 else ''}, "
        f"{sum(node.cpus for node in nodes):g} CPUs, {gpus:g} GPUs",
        *(
            f"  {node.address:<16} {node.cpus:g} CPUs, {node.gpus:g} GPUs{' (head)' if node.is_head else ''}"
            for node in nodes
        ),
        "Applications:",
    ]
    for change in plan.changes:
        lines.append(f"  {change.name:<16} {change.fate}")
        lines += [f"    {path}" for path in change.paths[:MOST_PATHS]]
        if len(change.paths) > MOST_PATHS:
            lines.append(f"    and {len(change.paths) - MOST_PATHS} more")
    lines += [f"Serve runs there already: {each} until `serve shutdown`." for each in plan.unheard]
    if file.gpus_wanted > max([node.gpus for node in nodes], default=0):
        lines.append(f"A replica wants {file.gpus_wanted:g} GPU, which no node has now: it waits for one.")
    return "\n".join(lines)


def check_version(theirs: str, ours: str) -> None:
    """Raises ClusterFailed where the cluster's Ray is another one: its nodes could not run this application."""
    if theirs.split(".")[:2] != ours.split(".")[:2]:
        raise ClusterFailed(
            f"The cluster runs Ray {theirs}, and this PairLens was made for {ours}: install the same PairLens on its "
            "nodes and start Ray from there."
        )


def check_deleted(plan: Plan, *, replace: bool) -> None:
    """Raises ClusterFailed where others would lose theirs and nobody said so."""
    if plan.deleted and not replace:
        raise ClusterFailed(
            f"This would delete {', '.join(plan.deleted)}: a Serve file replaces what other files deployed. "
            "--keep-others sends them along as they are, --replace deletes them."
        )


def wait(
    dashboard: Dashboard, file: ServeFile, since: float | None, timeout_s: float, say: Callable[[str], None]
) -> None:
    """Until the application runs as it was deployed; each step is said once. `since`: when it was deployed before.

    Raises ClusterFailed with the reason where it does not come up, or not within `timeout_s`.
    """
    end = time.monotonic() + timeout_s
    name, told, sick_since = file.name, "", None
    while True:
        deployed = dashboard.deployed()
        there = deployed.applications.get(name)
        now = time.monotonic()
        if there is not None and there.deployed_at != since:
            step = progress(there)
            if step != told:
                say(step)
                told = step
            if there.status == "RUNNING":
                port = (deployed.http_options or {}).get("port", file.port)
                say(f"{name} runs. Ask /readyz at port {port} of its proxies whether a comparison is answered.")
                return
            sick_since = (sick_since or now) if there.status == "UNHEALTHY" else None
            if there.status == "DEPLOY_FAILED" or (sick_since is not None and now - sick_since > UNHEALTHY_S):
                raise ClusterFailed(f"{name} is {there.status}: {reason(there)}")
        if now > end:
            raise ClusterFailed(
                f"{name} does not run after {timeout_s:g} s ({told or 'not deployed'}). It is still being deployed."
            )
        time.sleep(POLL_S)


def progress(there: Application) -> str:
    stages = ", ".join(f"{stage} {runs} of {wanted}" for stage, (runs, wanted, _, _) in there.deployments.items())
    return f"{there.status}: {stages or 'no replicas yet'}"


def reason(there: Application) -> str:
    """Of what does not run: the application's own, else that of its sick deployments. The last line of a trace."""
    sick = [
        f"{stage}: {message}"
        for stage, (_, _, status, message) in there.deployments.items()
        if status != "HEALTHY" and message
    ]
    return last_line(there.message or "; ".join(sick))
