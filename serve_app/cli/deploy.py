"""`pairlens deploy`: the service on a Ray cluster that runs already."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.files import check_service, fail, say


def deploy(
    config: Annotated[Path, typer.Option(help="What the operator decides.")] = Path("serve_config.yaml"),
    address: Annotated[
        str | None,
        typer.Option(help="Of Ray's dashboard; else RAY_DASHBOARD_ADDRESS, RAY_ADDRESS, http://127.0.0.1:8265."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Serve this checkpoint: a folder or hub id.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    keep_others: Annotated[
        bool, typer.Option("--keep-others", help="What other Serve files deployed there stays as it is.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="What other Serve files deployed is deleted.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Until it runs, or has failed.")] = True,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that --wait waits: loading weights takes minutes.")
    ] = 1800,
) -> None:
    """Deploy a Serve file to a Ray cluster; says first what it would change there.

    PairLens and its extras must be installed on every node. The cluster's token is found as Ray finds it.
    """
    check_service()
    from serve_app.operating import dashboard, rollout, serve_file

    try:
        file = serve_file.load(config, model=model)
        key = dashboard.token(os.environ, Path.home())
        with dashboard.Dashboard(dashboard.address(address, os.environ), key) as cluster:
            version = cluster.ray_version()
            rollout.check_version(version, metadata.version("ray"))
            plan = rollout.plan(file, cluster.deployed(), keep_others=keep_others)
            say(rollout.described(plan, cluster.address, version, cluster.nodes(), file))
            if dry_run:
                return
            rollout.check_deleted(plan, replace=replace)
            if not plan.does_something:
                say("Nothing to deploy.")
                return
            if not yes:
                _ask(cluster.address)
            cluster.deploy(plan.config)
            if wait:
                rollout.wait(cluster, file, plan.deployed_at, timeout, say)
            else:
                say(f"Sent; `serve status --address {cluster.address}` says how far it is.")
    except (dashboard.ClusterFailed, serve_file.ServeFileError) as exc:
        fail(str(exc))


def _ask(address: str) -> None:
    if not sys.stdin.isatty():
        fail("Nobody is here to ask: --yes deploys.")
    if not typer.confirm(f"Deploy to {address}?"):
        fail("Nothing was deployed.")
