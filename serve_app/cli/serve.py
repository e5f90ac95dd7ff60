"""`pairlens serve`: the service in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.files import check_service, fail, say


def serve(
    config: Annotated[Path, typer.Option(help="What the operator decides.")] = Path("serve_config.yaml"),
    model: Annotated[str | None, typer.Option(help="Serve this checkpoint: a folder or hub id.")] = None,
    host: Annotated[str | None, typer.Option(help="Listen here instead of http_options.host.")] = None,
    port: Annotated[int | None, typer.Option(help="Listen here instead of http_options.port.")] = None,
    dashboard_port: Annotated[
        int | None, typer.Option(help="Where Ray's dashboard listens, on 127.0.0.1; 8265 or the next that is free.")
    ] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Where Prometheus finds the metrics; a free one.")] = None,
) -> None:
    """Serve the HTTP API in the foreground; Ctrl-C ends all that it started."""
    check_service()
    from serve_app.operating import own_ray, serve_file

    try:
        raw = serve_file.read(config, model=model, host=host, port=port)
    except serve_file.ServeFileError as exc:
        fail(str(exc))
    own_ray.set_environment(this_machine_only=serve_file.is_for_this_machine(raw))
    # Ray reads its environment when it is imported. It takes a second, and the other commands don't need it.
    from serve_app.operating import launch

    try:
        launch.serve(serve_file.check(raw), dashboard_port=dashboard_port, metrics_port=metrics_port, say=say)
    except (launch.LaunchFailed, serve_file.ServeFileError) as exc:
        fail(str(exc))
