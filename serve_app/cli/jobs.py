"""`pairlens jobs`: left at a server, listed, looked at, waited for, cancelled; and a caller's webhook secret."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar, get_args

import typer

from serve_app.cli.asking import EXIT_CODES, config_of, told
from serve_app.cli.files import CommandFailed, check_service, fail, read, say
from serve_app.errors import ComparisonError
from serve_app.schema import JobReport, JobStatus

if TYPE_CHECKING:
    from serve_app.client.sync import Client

T = TypeVar("T")
STATUSES: Final[tuple[JobStatus, ...]] = get_args(JobStatus)

jobs = typer.Typer(help="Comparisons that outlive their request, at a server.", no_args_is_help=True)

Server = Annotated[str, typer.Option(help="The server, such as http://127.0.0.1:8000.")]
KeyFile = Annotated[Path | None, typer.Option(help="A file that holds the API key and nothing else.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait at most.")]


@jobs.command()
def submit(
    reference: Annotated[Path, typer.Argument(help="The image to compare with.")],
    candidate: Annotated[Path, typer.Argument(help="The image to judge.")],
    server: Server,
    config: Annotated[str | None, typer.Option(help="The config of the API: JSON, or a file of it.")] = None,
    key: Annotated[str | None, typer.Option(help="The same key and images are the same job again.")] = None,
    webhook_url: Annotated[str | None, typer.Option(help="An https URL that is told of the job's end.")] = None,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Leave two image files to be compared; prints the job's id."""

    def created(client: Client) -> JobReport:
        pair = read(reference), read(candidate)
        return client.jobs.create(*pair, config_of(config, {}), idempotency_key=key, webhook_url=webhook_url).seen

    job = _asked(server, key_file, created)
    say(job.model_dump_json(indent=2) if as_json else job.id)


@jobs.command("list")
def list_(
    server: Server,
    status: Annotated[list[str] | None, typer.Option(help=f"{', '.join(STATUSES)}. Repeatable.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    cursor: Annotated[str | None, typer.Option(help="As the page before has named it.")] = None,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """One's own jobs, newest first."""
    wanted = [known for known in STATUSES if known in (status or [])]
    if len(wanted) < len(set(status or [])):
        fail(f"--status is one of {', '.join(STATUSES)}.")
    page = _asked(server, key_file, lambda client: client.jobs.list(*wanted, limit=limit, cursor=cursor))
    if as_json:
        say(page.model_dump_json(indent=2))
        return
    for job in page.jobs:
        say(_line(job))
    if page.next_cursor is not None:
        sys.stderr.write(f"pairlens: there are more: --cursor {page.next_cursor}\n")


@jobs.command()
def show(job: JobId, server: Server, key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """How far a job is, and its report."""
    _show(_asked(server, key_file, lambda client: client.jobs.get(job).seen), as_json=as_json)


@jobs.command()
def wait(
    job: JobId, server: Server, timeout: Timeout = 600.0, key_file: KeyFile = None, as_json: AsJson = False
) -> None:
    """Until a job has ended. Exit code as of `compare`: 0 match, 22 mismatch, 23 uncertain, 1 error."""
    found = _asked(server, key_file, lambda client: client.jobs.wait(job, timeout).seen)
    _show(found, as_json=as_json)
    if found.report is None:
        raise typer.Exit(1)
    raise typer.Exit(EXIT_CODES[found.report.verdict])


@jobs.command()
def cancel(job: JobId, server: Server, key_file: KeyFile = None) -> None:
    """End a job that has not ended."""
    say(_line(_asked(server, key_file, lambda client: client.jobs.cancel(job).seen)))


@jobs.command()
def retry(job: JobId, server: Server, key_file: KeyFile = None) -> None:
    """Begin a failed or cancelled job anew."""
    say(_line(_asked(server, key_file, lambda client: client.jobs.retry(job).seen)))


@jobs.command()
def secret(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the caller's API key, as in args.access.")],
    secret_file: Annotated[Path, typer.Option(help="As args.jobs.webhooks.secret_file names it.")],
) -> None:
    """Print the secret that one caller verifies its webhooks with: for the operator."""
    check_service()
    from serve_app.jobs import webhook

    try:
        say(webhook.written(webhook.key_of(webhook.secret(read(secret_file).decode("utf-8", "replace").strip()), name)))
    except CommandFailed as exc:
        fail(str(exc))
    except ValueError as exc:
        fail(f"{str(exc).rstrip('.')} (in {secret_file}).")


def _asked(server: str, key_file: Path | None, ask: Callable[[Client], T]) -> T:
    from serve_app.client.sync import Client  # with an HTTP client, which no other command needs

    with _one_sentence():
        key = None if key_file is None else read(key_file).decode("utf-8", "replace").strip()
        with Client(server, api_key=key) as client:
            return ask(client)


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Each way not to get what was asked for is one, and exit code 1."""
    from serve_app.client.failures import StillAtWork
    from serve_app.core.comparing import CantCompare

    try:
        yield
    except ComparisonError as exc:
        fail(told(exc))
    except (CantCompare, CommandFailed, StillAtWork) as exc:
        fail(str(exc))


def _show(job: JobReport, *, as_json: bool) -> None:
    if as_json:
        say(job.model_dump_json(indent=2))
        return
    from rich.console import Console  # not needed by scripts, which read JSON

    from serve_app.views import terminal

    say(_line(job))
    if job.error is not None:
        say(terminal.plain(f"{job.error.type}: {job.error.detail}"))
    if job.webhook is not None:
        about = f"webhook: {job.webhook.status} after {job.webhook.tries} tries. {job.webhook.said or ''}"
        say(terminal.plain(about).rstrip())
    if job.report is not None:
        terminal.show(job.report, Console())


def _line(job: JobReport) -> str:
    from serve_app.views import terminal

    more = f"  {job.position} in the queue" if job.position is not None else f"  {job.stage}" if job.stage else ""
    return f"{terminal.plain(job.id)}  {job.status:<9}  {job.created.astimezone():%Y-%m-%d %H:%M:%S}{more}"
