"""Reads `serve_config.yaml` strictly: a name that nobody knows is refused, with a sentence that says where.
Starts nothing. It exists because Ray Serve passes over unknown names at every level of this file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from serve_app.serving.deployments.names import JOBS, VL_MODEL
from serve_app.serving.exposure import is_loopback
from serve_app.settings import Settings

if TYPE_CHECKING:
    from ray.serve.schema import DeploymentSchema


class ServeFileError(Exception):
    """The file can't be served: sentences for the operator, one a line."""


@dataclass(frozen=True, slots=True)
class ServeFile:
    """A file that passed. `raw` is what Serve is given; `settings` what its one application will read."""

    raw: dict[str, Any]
    settings: Settings
    name: str
    host: str
    port: int
    route_prefix: str

    @property
    def url(self) -> str:
        """Where the service answers, seen from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{host}:{self.port}{self.route_prefix.rstrip('/')}"

    @property
    def gpus_wanted(self) -> float:
        """GPUs that the file asks for by number; 0 where it leaves the choice to the application."""
        stages = self.raw["applications"][0].get("deployments") or []
        options = [stage.get("ray_actor_options") or {} for stage in stages]
        pinned = self.settings.model.gpus_per_replica
        return max([0.0 if pinned == "auto" else pinned, *(float(each.get("num_gpus") or 0) for each in options)])


def load(path: Path, *, model: str | None = None, host: str | None = None, port: int | None = None) -> ServeFile:
    """`read`, then `check`. Raises ServeFileError."""
    return check(read(path, model=model, host=host, port=port))


def read(path: Path, *, model: str | None = None, host: str | None = None, port: int | None = None) -> dict[str, Any]:
    """The file as it stands, with what the command line says laid over it: `model` serves a checkpoint with
    engine `transformers`. Does not need Ray, whose environment may depend on it (`is_for_this_machine`).

    Raises ServeFileError.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ServeFileError(f"{path} can't be read: {exc.strerror}.") from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise ServeFileError(f"{path} is not valid YAML: {' '.join(str(exc).split())}") from exc
    if not isinstance(raw, dict):
        raise ServeFileError(f"{path} is empty or no mapping.")
    _override_http(raw, host, port)
    if model is not None:
        _override_model(raw, model)
    return raw


def is_for_this_machine(raw: dict[str, Any]) -> bool:
    """Whether the service listens on this machine's own address only."""
    http = raw.get("http_options")
    return isinstance(http, dict) and is_loopback(http.get("host"))


def check(raw: dict[str, Any]) -> ServeFile:
    """Refuse unknown names first, then wrong values. Raises ServeFileError with all that is wrong."""
    from ray.serve.schema import ServeDeploySchema

    problems = [*_unknown(raw, ServeDeploySchema, ""), *_missing(raw)]
    if problems:
        raise ServeFileError("\n".join(problems))
    try:
        config = ServeDeploySchema.model_validate(raw)
        application = config.applications[0]
        settings = Settings.model_validate(application.args)
    except ValidationError as exc:
        raise ServeFileError("\n".join(_wrong_values(exc))) from exc
    http = config.http_options
    _check_clock(settings, http.request_timeout_s)
    _check_model(settings, application.deployments)
    _check_jobs(settings, application.deployments)
    return ServeFile(raw, settings, application.name, http.host, http.port, application.route_prefix or "/")


def _unknown(raw: Any, model: type[BaseModel], where: str) -> Iterator[str]:
    """A sentence for each key of `raw`, at any depth, that is no field of `model`."""
    from ray.serve.config import AutoscalingConfig, RequestRouterConfig

    # Fields that Ray types as a dict as well as by a model: the model knows the names.
    named: dict[str, type[BaseModel]] = {
        "autoscaling_config": AutoscalingConfig,
        "request_router_config": RequestRouterConfig,
        "args": Settings,
    }
    if isinstance(raw, list):
        for index, item in enumerate(raw):
            yield from _unknown(item, model, f"{where}[{_label(item, index)}]")
        return
    if not isinstance(raw, dict):
        return
    for key, value in raw.items():
        path = f"{where}.{key}".lstrip(".")
        field = model.model_fields.get(key)
        if field is None:
            yield f"`{path}` is not a setting.{_suggestion(str(key), model)}"
            continue
        inner = named.get(key) or _model_in(field.annotation)
        if inner is not None and key not in named and get_origin(field.annotation) is dict:
            names = value if isinstance(value, dict) else {}  # the operator's own, as of profiles
            for name, each in names.items():
                yield from _unknown(each, inner, f"{path}.{name}")
        elif inner is not None:
            yield from _unknown(value, inner, path)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside `annotation`, if there is one: Optional[Model], List[Model], Model."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _label(item: Any, index: int) -> str:
    return str(item.get("name", index)) if isinstance(item, dict) else str(index)


def _suggestion(key: str, model: type[BaseModel]) -> str:
    close = difflib.get_close_matches(key, model.model_fields, n=1)
    return f" Did you mean `{close[0]}`?" if close else f" Known here: {', '.join(sorted(model.model_fields))}."


def _missing(raw: dict[str, Any]) -> Iterator[str]:
    http = raw.get("http_options")
    if not isinstance(http, dict) or not http.get("host"):
        yield "`http_options.host` is missing. Name it: without it Ray listens on all interfaces (0.0.0.0)."
    tracing = raw.get("tracing_config")
    if tracing is not None and not (isinstance(tracing, dict) and tracing.get("exporter_import_path")):
        yield (
            "`tracing_config.exporter_import_path` is missing: serve_app.serving.deployments.tracing:to_collector; "
            "Ray's own writes what callers typed into its logs."
        )
    applications = raw.get("applications")
    if not isinstance(applications, list) or len(applications) != 1:
        yield "`applications` must list exactly one application."


def _wrong_values(exc: ValidationError) -> Iterator[str]:
    for error in exc.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in error["loc"])
        message = error["msg"].removeprefix("Value error, ")
        yield f"`{where}`: {message}." if where else f"{message}."


def _check_clock(settings: Settings, request_timeout_s: float | None) -> None:
    ceiling = settings.limits.max_processing_timeout_s
    if request_timeout_s is not None and request_timeout_s <= ceiling:
        raise ServeFileError(
            f"`http_options.request_timeout_s` is {request_timeout_s:g}, but must be above "
            f"`limits.max_processing_timeout_s` ({ceiling:g}): Ray would cut off requests before our own 504."
        )


def _check_model(settings: Settings, deployments: Iterable[DeploymentSchema]) -> None:
    """How many jobs a model replica is sent at once follows from the engine: on a GPU there is never more than one."""
    at_once = settings.model.comparisons_at_once
    for stage in deployments:
        said = stage.max_ongoing_requests
        if stage.name == VL_MODEL and isinstance(said, int) and said != at_once:
            reason = (
                f"`model.server.parallel_comparisons` is {at_once}"
                if settings.model.engine == "openai"
                else f"engine {settings.model.engine} works on one comparison at a time"
            )
            raise ServeFileError(
                f"`applications[0].deployments[VLModel].max_ongoing_requests` is {said}, but {reason}: leave it out."
            )


def _check_jobs(settings: Settings, deployments: Iterable[DeploymentSchema]) -> None:
    """Serve refuses a deployment that the application has not, and tells neither why nor what to do."""
    stage = next((each for each in deployments if each.name == JOBS), None)
    if stage is None:
        return
    if not settings.jobs.enabled:
        raise ServeFileError(
            "`applications[0].deployments[Jobs]` is there, but jobs are off: take it out, or set `args.jobs.enabled`."
        )
    # As they were written: what was left out is a default of Ray's own kind.
    written = stage.model_dump(exclude_unset=True)
    if written.get("num_replicas") not in (1, None) or written.get("autoscaling_config") is not None:
        raise ServeFileError("`applications[0].deployments[Jobs]` must have one replica: it owns the queue of jobs.")


def _override_http(raw: dict[str, Any], host: str | None, port: int | None) -> None:
    given = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    if given:
        http = raw.get("http_options")
        raw["http_options"] = {**(http if isinstance(http, dict) else {}), **given}


def _override_model(raw: dict[str, Any], model: str) -> None:
    for application in raw.get("applications") or []:
        if isinstance(application, dict):
            args = application["args"] = dict(application.get("args") or {})
            args["model"] = {**(args.get("model") or {}), "engine": "transformers", "name": model}
