"""`pairlens eval` and `pairlens calibrate`: labelled pairs in; how right the answers are, and thresholds, out.
The same command goes on where it was ended."""

from __future__ import annotations

import asyncio
import datetime
import io
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from serve_app import __version__
from serve_app.cli.asking import config_of, opened, refuse_both
from serve_app.cli.files import EXIT_ERROR, CommandFailed, fail, say
from serve_app.cli.progress import progress
from serve_app.core.comparing import CantCompare
from serve_app.errors import ComparisonError
from serve_app.settings import Settings
from serve_app.storage.manifest import ManifestWrong

if TYPE_CHECKING:
    from serve_app.evaluation.choosing import Choice, Goal
    from serve_app.evaluation.figures import Figures
    from serve_app.evaluation.observed import Observation
    from serve_app.evaluation.pairs import LabelledPair
    from serve_app.schema import ImageComparisonConfig

EXIT_STOPPED: Final = 130  # as shells have it for Ctrl-C

PairsArgument = Annotated[
    Path,
    typer.Argument(
        help="A .csv or .jsonl of reference, candidate, label[, kind, name]; or a folder of match/, mismatch/."
    ),
]
ConfigOption = Annotated[str | None, typer.Option(help="The config of the API: JSON, or a file of it.")]
ServerOption = Annotated[str | None, typer.Option(help="Ask this server, such as http://127.0.0.1:8000.")]
ModelOption = Annotated[str | None, typer.Option(help="Assess with this checkpoint: a folder or hub id.")]
PrecisionOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Thresholds for it: so many of what is called a mismatch are one.")
]
RecallOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Or for this: so many of the mismatches are called one.")
]
ResultsOption = Annotated[
    Path | None, typer.Option(help="Where answers are kept; the same again goes on. PAIRS.results.jsonl, here.")
]
AtOnceOption = Annotated[int, typer.Option(min=1, max=64, help="Pairs under way together.")]
OrdersOption = Annotated[
    bool, typer.Option("--both-orders/--one-order", help="Ask a model with the pictures exchanged, too.")
]


@dataclass(frozen=True, slots=True)
class Question:
    """Which pairs are asked, how, where, and what for."""

    pairs: Path
    config: ImageComparisonConfig
    server: str | None
    model: str | None
    goal: Goal
    results: Path
    at_once: int
    both_orders: bool


def evaluate(
    pairs: PairsArgument,
    config: ConfigOption = None,
    profile: Annotated[
        str | None, typer.Option(help="Thresholds to try: a file of calibrate, or a name at the server.")
    ] = None,
    server: ServerOption = None,
    model: ModelOption = None,
    precision: PrecisionOption = None,
    recall: RecallOption = None,
    html: Annotated[Path | None, typer.Option(help="Write tables, plots and wrong pairs as one HTML file.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Write the plots as PNG into this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, and nothing else.")] = False,
    results: ResultsOption = None,
    at_once: AtOnceOption = 2,
    both_orders: OrdersOption = True,
) -> None:
    """How right the answers are on labelled pairs: ROC, thresholds, reliability, by kind and aspect."""
    where = (server, model, precision, recall, results, at_once, both_orders)
    if html is not None and not html.absolute().parent.is_dir():  # said now, not after the work
        fail(f"{html} can't be written: {html.parent} is no folder.")
    try:
        found = _evaluated(_question(pairs, config, profile, *where))
        if plots is not None:
            _write_plots(found, plots)
        if html is not None:
            _written(html, _page(found, pairs.name, html.absolute().parent).encode())
    except CommandFailed as exc:
        fail(str(exc))
    _show(found, as_json=as_json)
    if found.failed:
        raise typer.Exit(EXIT_ERROR)


def calibrate(
    pairs: PairsArgument,
    name: Annotated[str, typer.Option(help="Of the profile: what a config's `profile` will say.")],
    save: Annotated[Path | None, typer.Option(help="Where it is written; profiles/NAME.yaml.")] = None,
    config: ConfigOption = None,
    server: ServerOption = None,
    model: ModelOption = None,
    precision: PrecisionOption = None,
    recall: RecallOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, and nothing else.")] = False,
    results: ResultsOption = None,
    at_once: AtOnceOption = 2,
    both_orders: OrdersOption = False,
) -> None:
    """Choose thresholds on labelled pairs and save them as a profile."""
    from serve_app.storage import profiles

    try:
        path = _profile_path(name, save)
        where = (server, model, precision, recall, results, at_once, both_orders)
        found = _evaluated(_question(pairs, config, None, *where))
        choice = _chosen(found)
        profiles.save(path, _profile(found, choice))
    except (CommandFailed, profiles.ProfileWrong) as exc:
        fail(str(exc))
    except OSError as exc:
        fail(f"{exc.filename} can't be written: {exc.strerror}.")
    _show(found, as_json=as_json)
    told = sys.stderr if as_json else sys.stdout
    told.write(_how_to_use(path, name))


def _profile_path(name: str, save: Path | None) -> Path:
    """Raises `CommandFailed`, `ProfileWrong`."""
    from serve_app.storage import profiles

    path = save or Path("profiles") / f"{profiles.checked_name(name)}.yaml"
    if path.stem != name or not profiles.is_file_name(path.name):
        raise CommandFailed(f"A file's name is the profile's: save {name} as {name}.yaml.")
    return path


def _question(
    pairs: Path,
    config: str | None,
    profile: str | None,
    server: str | None,
    model: str | None,
    precision: float | None,
    recall: float | None,
    results: Path | None,
    at_once: int,
    both_orders: bool,
) -> Question:
    """Raises `CommandFailed`."""
    from serve_app.evaluation.choosing import Goal

    refuse_both(server, model)
    if precision is not None and recall is not None:
        raise CommandFailed("Name --precision or --recall, not both.")
    asked = config_of(config, {}, profile)
    if asked.visuals:
        raise CommandFailed("Leave visuals out of the config: no picture is kept.")
    kept = results or Path(f"{pairs.resolve().stem}.results.jsonl")
    return Question(pairs, asked, server, model, Goal(precision, recall), kept, at_once, both_orders)


def _evaluated(question: Question) -> Figures:
    """All figures of the pairs. Raises `CommandFailed`."""
    from serve_app.evaluation import pairs
    from serve_app.evaluation.figures import figures
    from serve_app.evaluation.observed import Kept, NotResults

    try:
        labelled = pairs.read(question.pairs)
        with Kept(question.results) as kept:
            rows = _observed(question, labelled, kept)
    except ManifestWrong as exc:
        told = "\n".join(exc.faults)
        raise CommandFailed(f"{question.pairs} can't be used, and nothing was compared:\n{told}") from exc
    except (CantCompare, NotResults) as exc:
        raise CommandFailed(str(exc)) from exc
    except ComparisonError as exc:
        raise CommandFailed(exc.detail) from exc
    except OSError as exc:
        raise CommandFailed(f"{exc.filename or question.pairs} can't be used: {exc.strerror}.") from exc
    if not any(row.answer for row in rows):
        raise CommandFailed(f"No pair was answered; {rows[0].name}: {rows[0].error}")
    return figures(rows, question.goal)


def _observed(question: Question, labelled: Sequence[LabelledPair], kept: Any) -> list[Observation]:
    from serve_app.evaluation.run import Asking, observe

    logging.getLogger("pairlens").setLevel(logging.CRITICAL)  # what failed is a row
    done = 0

    async def run(step: Any) -> list[Observation]:
        def on_done() -> None:
            nonlocal done
            done += 1
            step()

        most = Settings().limits.max_image_bytes
        asking = Asking(question.config, question.at_once, question.both_orders, most, on_done)
        async with opened(question.server, question.model) as comparing:
            return await observe(labelled, comparing, asking, kept)

    with progress(len(labelled)) as step:
        try:
            return asyncio.run(run(step))
        except KeyboardInterrupt:
            say(f"Stopped; {done} of {len(labelled)} pairs are kept: the same command goes on from there.")
            raise typer.Exit(EXIT_STOPPED) from None


def _chosen(found: Figures) -> Choice:
    from serve_app.evaluation import telling

    if found.choice is None:
        raise CommandFailed(f"{telling.unmet(found)} No profile was written.")
    return found.choice


def _profile(found: Figures, choice: Choice) -> Any:
    from serve_app.evaluation import telling
    from serve_app.settings import Profile

    def reached(prefix: str, counted: Any) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for what, share in (("precision", counted.right), ("recall", counted.found)):
            if share.value is not None:
                told[f"{prefix}{what}"] = round(share.value, 4)
                told[f"{prefix}{what}_low"], told[f"{prefix}{what}_high"] = (round(end, 4) for end in share.interval)
        return told

    made = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "pairlens": __version__,
        "engine": ", ".join(found.asked.engines),
        "versions": ", ".join(found.asked.versions),
        "goal": str(found.goal),
        **{f"labelled_{label}": number for label, number in found.labels.items()},
        **reached("", choice.counted),
        **(reached("held_out_", choice.held_out) if choice.held_out is not None else {}),
    }
    return Profile.model_validate({**telling.fields(choice.thresholds), "made": made})


def _how_to_use(path: Path, name: str) -> str:
    return (
        f"Saved {path}. Here: pairlens compare a.png b.png --profile {path}\n"
        f"At a service: put it into the folder that args.profiles_dir of serve_config.yaml names, change args.rev,\n"
        f'and ask with {{"profile": "{name}"}}. To see what it does: pairlens eval PAIRS --profile {path}\n'
    )


def _show(found: Figures, *, as_json: bool) -> None:
    from serve_app.evaluation import telling

    if as_json:
        say(json.dumps(telling.values(found), indent=2))
        return
    from rich.console import Console

    from serve_app.views.tables import show

    say(telling.headline(found) + "\n")
    show([*telling.tables(found), telling.wrong(found)], Console(highlight=False))


def _write_plots(found: Figures, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise CommandFailed(f"{folder} can't be made: {exc.strerror}.") from exc
    for name, png in _pngs(found).items():
        _written(folder / f"{name}.png", png)


def _pngs(found: Figures) -> dict[str, bytes]:
    from serve_app.evaluation.plots import plots

    made = {}
    for name, image in plots(found).items():
        out = io.BytesIO()
        image.save(out, "PNG", optimize=True)
        made[name] = out.getvalue()
    return made


def _page(found: Figures, name: str, folder: Path) -> str:
    from serve_app.evaluation import telling
    from serve_app.views.evaluation_page import WrongPair, evaluation_html

    wrong = [
        WrongPair(
            row.name,
            row.kind,
            row.label,
            row.answer.verdict,
            row.answer.similarity,
            row.answer.summary,
            row.reference,
            row.candidate,
        )
        for row in found.wrong
        if row.answer is not None
    ]
    return evaluation_html(
        f"{name}: {found.num_pairs} labelled pairs",
        telling.headline(found),
        telling.tables(found),
        _pngs(found),
        wrong,
        folder,
    )


def _written(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as exc:
        raise CommandFailed(f"{path} can't be written: {exc.strerror}.") from exc
