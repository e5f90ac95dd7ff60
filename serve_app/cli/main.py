"""The `pairlens` command: names its commands, one file each.
Decides nothing about images.
"""

from __future__ import annotations

import os

import typer

from serve_app import __version__
from serve_app.cli.batch import batch
from serve_app.cli.bench import bench
from serve_app.cli.compare import compare
from serve_app.cli.deploy import deploy
from serve_app.cli.doctor import doctor
from serve_app.cli.evaluate import calibrate, evaluate
from serve_app.cli.files import say
from serve_app.cli.jobs import jobs
from serve_app.cli.serve import serve
from serve_app.cli.size import size
from serve_app.cli.tool import mcp

# Before numpy is first imported: its products here are small, and a pool of threads for them costs 50 ms at the start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

app = typer.Typer(
    help="Compares two images and says, with evidence, whether and where they differ.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.command()(compare)
app.command()(batch)
app.command(name="eval")(evaluate)
app.command()(calibrate)
app.command()(serve)
app.command()(deploy)
app.command()(size)
app.command()(doctor)
app.command()(bench)
app.command()(mcp)
app.add_typer(jobs, name="jobs")


@app.command()
def version() -> None:
    """Print the version."""
    say(f"pairlens {__version__}")
