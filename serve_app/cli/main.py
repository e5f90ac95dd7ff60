"""The `pairlens` command: compare two files here or on a server, serve, say the version.
Decides nothing about images: it reads options, calls, prints and sets the exit code."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from pydantic import ValidationError

from serve_app import __version__
from serve_app.errors import ComparisonError
from serve_app.schema import ComparisonReport, ImageComparisonConfig, Verdict, VisualKind
from serve_app.settings import ModelSettings, Settings

# Before numpy is first imported: its products here are small, and a pool of threads for them costs 50 ms at the start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# What a script can tell apart; 2 is a wrong command line, as everywhere.
EXIT_CODES: Final[dict[Verdict, int]] = {"match": 0, "mismatch": 22, "uncertain": 23}
EXIT_ERROR: Final = 1
VISUALS: Final[tuple[VisualKind, ...]] = ("overlay", "heatmap", "side_by_side")

app = typer.Typer(
    help="Compares two images and says, with evidence, whether and where they differ.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class CommandFailed(Exception):
    """The command can't do what it was asked: one sentence."""


@app.command()
def compare(
    reference: Annotated[Path, typer.Argument(help="The image to compare with.")],
    candidate: Annotated[Path, typer.Argument(help="The image to judge.")],
    config: Annotated[str | None, typer.Option(help="The config of the API: JSON, or a file of it.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Similarity from which it is a match, 0..1.")] = None,
    aspect: Annotated[list[str] | None, typer.Option(help="A quality to compare, such as color. Repeatable.")] = None,
    focus: Annotated[list[str] | None, typer.Option(help="A thing to look at, such as logo. Repeatable.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="X,Y,WIDTH,HEIGHT to leave out. Repeatable.")] = None,
    language: Annotated[str | None, typer.Option(help="en or zh.")] = None,
    visual: Annotated[list[str] | None, typer.Option(help="KIND=FILE.png: overlay, heatmap or side_by_side.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, and nothing else.")] = False,
    server: Annotated[str | None, typer.Option(help="Ask this server, such as http://127.0.0.1:8000.")] = None,
    model: Annotated[str | None, typer.Option(help="Assess with this checkpoint: a folder or hub id.")] = None,
) -> None:
    """Compare two image files. Exit code: 0 match, 22 mismatch, 23 uncertain, 1 error."""
    try:
        files = _visual_files(visual or [])
        options = {
            "similarity_threshold": threshold,
            "comparison_aspects": aspect,
            "focus_elements": focus,
            "ignore_regions": [_region(text) for text in ignore] if ignore else None,
            "language": language,
            "visuals": list(files) or None,
        }
        wanted = _config(config, {name: value for name, value in options.items() if value is not None})
        report = _report(_read(reference), _read(candidate), wanted, server, model)
        _save_visuals(report, files)
    except CommandFailed as exc:
        _fail(str(exc))
    _print(report, as_json=as_json)
    raise typer.Exit(EXIT_CODES[report.verdict])


@app.command()
def serve(
    config: Annotated[Path, typer.Option(help="What the operator decides.")] = Path("serve_config.yaml"),
    model: Annotated[str | None, typer.Option(help="Serve this checkpoint: a folder or hub id.")] = None,
    host: Annotated[str | None, typer.Option(help="Listen here instead of http_options.host.")] = None,
    port: Annotated[int | None, typer.Option(help="Listen here instead of http_options.port.")] = None,
    dashboard_port: Annotated[int, typer.Option(help="Where Ray's dashboard listens, on 127.0.0.1.")] = 8265,
) -> None:
    """Serve the HTTP API in the foreground; Ctrl-C ends all that it started."""
    from serve_app.operating import own_ray, serve_file

    try:
        raw = serve_file.read(config, model=model, host=host, port=port)
    except serve_file.ServeFileError as exc:
        _fail(str(exc))
    own_ray.set_environment(this_machine_only=serve_file.is_for_this_machine(raw))
    # Ray reads its environment when it is imported. It takes a second, and the other commands don't need it.
    from serve_app.operating import launch

    try:
        launch.serve(serve_file.check(raw), dashboard_port=dashboard_port, say=_say)
    except (launch.LaunchFailed, serve_file.ServeFileError) as exc:
        _fail(str(exc))


@app.command()
def size(
    model_s: Annotated[float, typer.Option(min=0, help="Seconds of a replica for one comparison; 0 without a model.")],
    cpu_s: Annotated[float, typer.Option(min=0, help="Core seconds to decode and measure one pair.")],
    per_second: Annotated[float | None, typer.Option(min=0, help="Comparisons a second, on average.")] = None,
    per_day: Annotated[float | None, typer.Option(min=0, help="Or: comparisons a day.")] = None,
    peak: Annotated[float, typer.Option(min=1, help="The busiest minutes, as a multiple of the average.")] = 3.0,
    deadline: Annotated[float, typer.Option(min=0, help="Seconds that callers wait at most.")] = 60.0,
    utilisation: Annotated[float, typer.Option(min=0.01, max=0.99, help="Highest at the peak.")] = 0.8,
    spares: Annotated[int, typer.Option(min=0, help="Replicas beside those: for updates and lost nodes.")] = 1,
    gpu_price: Annotated[float, typer.Option(min=0, help="One GPU for an hour, in any currency.")] = 0.0,
    core_price: Annotated[float, typer.Option(min=0, help="One core for an hour.")] = 0.0,
) -> None:
    """Compute replicas, GPUs and cost for a load from measured times; docs/scaling.md says how to measure them."""
    from serve_app.operating import sizing

    if (per_second or 0) <= 0 and (per_day or 0) <= 0:
        _fail("Say the load: --per-second or --per-day, above 0.")
    rate = per_second if per_second else (per_day or 0.0) / sizing.SECONDS_A_DAY
    demand = sizing.Demand(
        per_second=rate,
        model_s=model_s,
        cpu_s=cpu_s,
        peak=peak,
        deadline_s=deadline,
        utilisation=utilisation,
        spares=spares,
    )
    price = sizing.Price(gpu_price, core_price)
    try:
        _say(sizing.described(demand, sizing.size(demand, price), price))
    except sizing.NoSize as exc:
        _fail(str(exc))


@app.command()
def version() -> None:
    """Print the version."""
    _say(f"pairlens {__version__}")


def _report(
    reference: bytes, candidate: bytes, config: ImageComparisonConfig, server: str | None, model: str | None
) -> ComparisonReport:
    if server is None:
        return asyncio.run(_compare_here(reference, candidate, config, model))
    if model is not None:
        raise CommandFailed("--model is for comparing here; with --server the server's own model is asked.")
    # httpx: 40 ms that comparing here doesn't wait for.
    from serve_app.client import sync

    try:
        return sync.compare(server, reference, candidate, config)
    except sync.ServerFailed as exc:
        raise CommandFailed(str(exc)) from exc


async def _compare_here(
    reference: bytes, candidate: bytes, config: ImageComparisonConfig, model: str | None
) -> ComparisonReport:
    """The service's own pipeline, in this process and without Ray."""
    # numpy and the decoders: not needed to ask a server.
    from serve_app import vlm
    from serve_app.comparison import pipeline
    from serve_app.core.measured import Upload

    logging.getLogger("pairlens").setLevel(logging.CRITICAL)  # what failed is printed as one sentence
    settings = Settings() if model is None else Settings(model=ModelSettings(engine="transformers", name=model))
    try:
        async with pipeline.open_local(settings) as local:
            return await local.compare(Upload(reference), Upload(candidate), config, local.deadline(config))
    except vlm.ModelUnavailable as exc:
        raise CommandFailed(str(exc)) from exc
    except ComparisonError as exc:
        raise CommandFailed(exc.detail) from exc


def _read(path: Path) -> bytes:
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


def _config(given: str | None, options: dict[str, Any]) -> ImageComparisonConfig:
    """The API's config from JSON or a file of it, with the convenient options laid over it."""
    fields: Any = {} if given is None else _json(given)
    if not isinstance(fields, dict):
        raise CommandFailed("The config must be a JSON object.")
    try:
        return ImageComparisonConfig.model_validate_json(json.dumps({**fields, **options}))
    except ValidationError as exc:
        problems = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in exc.errors(include_input=False))
        raise CommandFailed(f"The config is wrong. {'; '.join(problems)}.") from exc


def _json(given: str) -> Any:
    text = given if given.lstrip().startswith("{") else _read(Path(given)).decode("utf-8", "replace")
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        raise CommandFailed(f"The config is not valid JSON: {exc}.") from exc


def _region(text: str) -> list[int]:
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError as exc:
        raise CommandFailed(f"--ignore takes X,Y,WIDTH,HEIGHT in pixels, not {text!r}.") from exc
    return [x, y, width, height]


def _visual_files(wanted: list[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for text in wanted:
        kind, _, name = text.partition("=")
        if kind not in VISUALS or not name:
            raise CommandFailed(f"--visual takes KIND=FILE.png with one of {', '.join(VISUALS)}, not {text!r}.")
        files[kind] = Path(name)
    return files


def _save_visuals(report: ComparisonReport, files: dict[str, Path]) -> None:
    for picture in report.visuals:
        path = files.get(picture.kind)
        if path is None:
            continue
        try:
            path.write_bytes(base64.b64decode(picture.image.partition(",")[2]))
        except OSError as exc:
            raise CommandFailed(f"{path} can't be written: {exc.strerror}.") from exc


def _print(report: ComparisonReport, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(report.model_dump_json(indent=2) + "\n")
        return
    # rich: not needed by scripts, which read JSON.
    from rich.console import Console

    from serve_app.views import terminal

    terminal.show(report, Console())


def _say(line: str) -> None:
    # Flushed: whoever reads a pipe wants to know now that the service is ready.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _fail(sentence: str) -> NoReturn:
    from serve_app.views import terminal  # with rich, which only printing needs

    sys.stderr.write(f"pairlens: {terminal.plain(sentence)}\n")
    raise typer.Exit(EXIT_ERROR)
