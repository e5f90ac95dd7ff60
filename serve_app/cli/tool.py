"""`pairlens mcp`: the comparison as a tool for agents, over stdin and stdout."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.asking import opened
from serve_app.cli.files import fail
from serve_app.settings import Settings

INTERRUPTED = 130  # as a shell names Ctrl-C


def mcp(
    server: Annotated[str | None, typer.Option(help="Compare there, and not in this process: a base URL.")] = None,
    model: Annotated[str | None, typer.Option(help="Ask this checkpoint: a folder or hub id.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Read pictures in this folder only.")] = None,
) -> None:
    """Serve the tool compare_images by the Model Context Protocol on stdin and stdout, for an agent that starts it."""
    if server is not None and model is not None:
        fail("--model is for comparing here; with --server the server's own model is asked.")
    if folder is not None and not folder.is_dir():
        fail(f"{folder} is no folder.")
    if find_spec("mcp") is None:
        fail("The Model Context Protocol is not installed here: pip install 'pairlens[mcp]'.")
    from serve_app.plugins import mcp_tool  # a second, with the protocol's library

    logging.basicConfig(format="pairlens: %(message)s")  # on stderr
    logging.getLogger("pairlens").setLevel(logging.ERROR)
    limits = Settings().limits
    try:
        mcp_tool.run(opened(server, model), mcp_tool.Files(limits, folder), limits)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
