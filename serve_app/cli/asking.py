"""What commands that compare have in common: the config that is asked, where it is asked, and exit codes."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from serve_app.cli.files import CommandFailed, fail, read
from serve_app.comparison.profiles import thresholds
from serve_app.core.comparing import Comparing
from serve_app.errors import ComparisonError
from serve_app.schema import ImageComparisonConfig, PdfOptions, Verdict
from serve_app.settings import ModelSettings, Settings
from serve_app.storage import profiles

# What a script can tell apart; 2 is a wrong command line, as everywhere.
EXIT_CODES: Final[dict[Verdict, int]] = {"match": 0, "mismatch": 22, "uncertain": 23}


def refuse_both(server: str | None, model: str | None) -> None:
    """Ends the command where both are named."""
    if server is not None and model is not None:
        fail("--model is for comparing here; with --server the server's own model is asked.")


def opened(server: str | None, model: str | None) -> AbstractAsyncContextManager[Comparing]:
    """Each way imports what it needs: numpy and the decoders here, an HTTP client there."""
    if server is not None:
        from serve_app.client.asynchronous import AsyncClient

        return AsyncClient(server)
    from serve_app.local import open_here

    return open_here(Settings() if model is None else Settings(model=ModelSettings(engine="transformers", name=model)))


def told(refusal: ComparisonError) -> str:
    if refusal.request_id is None:
        return refusal.detail
    about = f" [{refusal.image or refusal.field}]" if refusal.image or refusal.field else ""
    return f"{refusal.detail} ({refusal.status} {refusal.type}{about}, request {refusal.request_id})"


def config_of(given: str | None, options: dict[str, Any], profile: str | None = None) -> ImageComparisonConfig:
    """The API's config from JSON or a file of it, with the convenient options laid over it. `profile`: a file, whose
    thresholds lie under both; else a name that whoever compares knows."""
    fields: Any = {} if given is None else _json(given)
    if not isinstance(fields, dict):
        raise CommandFailed("The config must be a JSON object.")
    if profile is not None:
        fields = {**_of_profile(profile), **fields}
    try:
        return ImageComparisonConfig.model_validate_json(json.dumps({**fields, **options}))
    except ValidationError as exc:
        raise CommandFailed(f"The config is wrong. {_problems(exc)}.") from exc


def _of_profile(given: str) -> dict[str, Any]:
    if not profiles.is_file_name(given):
        return {"profile": given}
    try:
        return thresholds(profiles.read(Path(given)))
    except profiles.ProfileWrong as exc:
        raise CommandFailed(str(exc)) from exc


def pdf_options(dpi: int | None, page_regions: str | None) -> PdfOptions | None:
    """None where neither is given."""
    if dpi is None and page_regions is None:
        return None
    fields: dict[str, Any] = {} if dpi is None else {"dpi": dpi}
    if page_regions is not None:
        fields["page_regions"] = _json(page_regions)
    try:
        return PdfOptions.model_validate_json(json.dumps(fields))
    except ValidationError as exc:
        raise CommandFailed(f"--dpi or --page-regions is wrong. {_problems(exc)}.") from exc


def _problems(exc: ValidationError) -> str:
    told = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in exc.errors(include_input=False))
    return "; ".join(told)


def _json(given: str) -> Any:
    text = given if given.lstrip().startswith("{") else read(Path(given)).decode("utf-8", "replace")
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        raise CommandFailed(f"The config is not valid JSON: {exc}.") from exc
