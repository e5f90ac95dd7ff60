"""What all commands share: a file read, a line said, a failure of one sentence."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn

import typer

from serve_app.settings import Settings

EXIT_ERROR: Final = 1
# What the extra `serve` brings, by the names that are imported.
OF_SERVE: Final = (
    "ray",
    "fastapi",
    "python_multipart",
    "grpc",
    "dbos",
    "sqlalchemy",
    "cachetools",
    "fsspec",
    "standardwebhooks",
)


class CommandFailed(Exception):
    """The command can't do what it was asked: one sentence."""


def read(path: Path) -> bytes:
    limit = Settings().limits.max_image_bytes
    try:
        if path.stat().st_size > limit:
            raise CommandFailed(f"{path} has {path.stat().st_size} bytes; at most {limit} are read.")
        return path.read_bytes()
    except FileNotFoundError as exc:
        raise CommandFailed(f"{path} does not exist.") from exc
    except IsADirectoryError as exc:
        raise CommandFailed(f"{path} is a folder, not an image.") from exc
    except OSError as exc:
        raise CommandFailed(f"{path} can't be read: {exc.strerror}.") from exc


def check_service() -> None:
    """Fails where the extra `serve` is not installed, or only in parts."""
    missing = [name for name in OF_SERVE if find_spec(name) is None]
    if missing:
        fail(f"The service is not installed here ({', '.join(missing)}): pip install 'pairlens[serve]'.")


def say(line: str) -> None:
    # Flushed: whoever reads a pipe wants to know now that the service is ready.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def fail(sentence: str) -> NoReturn:
    from serve_app.views import terminal  # with rich, which only printing needs

    sys.stderr.write(f"pairlens: {terminal.plain(sentence)}\n")
    raise typer.Exit(EXIT_ERROR)
