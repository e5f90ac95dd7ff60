"""The Helm chart, rendered by Helm's own engine, and the files that are made from it. Needs no cluster and no `helm`.
`python -m tests.rigs.chart` writes these files anew: both RayServices, and the names of our settings in the schema."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deployment/chart"
SCHEMA: Final = CHART / "values.schema.json"
# Files for those who use no Helm, each by the values that it is made of.
PLAIN: Final = {"rayservice.yaml": "plain", "rayservice-ha.yaml": "available"}
HEAD: Final = (
    "# Made from chart/ with chart/ci/{values}-values.yaml: python -m tests.rigs.chart. Change it there, or use Helm.\n"
    "# See README.md beside it.\n"
)


def names() -> list[str]:
    """Of the value files."""
    return sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))


def values(name: str) -> dict[str, Any]:
    given = yaml.safe_load((CHART / f"ci/{name}-values.yaml").read_text(encoding="utf-8"))
    assert isinstance(given, dict)
    return given


@functools.cache
def _loaded() -> Any:
    import helm_python  # 244 MB, in `dev` only

    return helm_python.Chart.load(CHART)


def defaults() -> dict[str, Any]:
    return dict(_loaded().values)


def render(given: dict[str, Any], release: str = "pairlens") -> dict[str, str]:
    """File of the chart to what came of it. Raises `helm_python.HelmError` with what is wrong about the values."""
    made = _loaded().render(given, name=release, namespace="default")
    return {path.removeprefix("pairlens/templates/"): text for path, text in made.items()}


def objects(given: dict[str, Any], release: str = "pairlens") -> list[dict[str, Any]]:
    """What a cluster would be sent."""
    texts = (text for path, text in render(given, release).items() if path.endswith(".yaml"))
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


def plain(file: str) -> str:
    """The text of one of the files for those who use no Helm: the RayService first."""
    made = render(values(PLAIN[file]))
    order = ("rayservice.yaml", "claims.yaml", "disruption.yaml", "network.yaml")
    assert {path for path, text in made.items() if text.strip()} <= {*order, "NOTES.txt"}
    parts = [part.strip() for path in order for part in made[path].split("\n---\n")]
    text = "\n---\n".join(part.removeprefix("---").strip() for part in parts if part)
    text = text.replace("  annotations:\n    helm.sh/resource-policy: keep\n", "")
    text = text.replace("    app.kubernetes.io/managed-by: Helm\n", "")
    return HEAD.format(values=PLAIN[file]) + "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def schema() -> dict[str, Any]:
    """values.schema.json as it must be: what is written there, and the names that the code and Serve know."""
    from ray.serve.schema import DeploymentSchema, HTTPOptionsSchema, LoggingConfig, TracingConfig

    from serve_app.settings import Settings

    written: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    ours = Settings.model_json_schema()
    kept = {name: each for name, each in written["$defs"].items() if name.islower()}
    named = {name: _bare(each) for name, each in ours.pop("$defs").items()}
    serve = {
        "serve_args": _bare(ours),
        "serve_deployment": _names_of(DeploymentSchema, without={"name"}),
        "serve_http": _names_of(HTTPOptionsSchema, without={"host", "port"}),
        "serve_logging": _names_of(LoggingConfig, without=set()),
        "serve_tracing": _names_of(TracingConfig, without=set()),
    }
    return {**written, "$defs": {**kept, **serve, **named}}


def _bare(given: Any) -> Any:
    """Without titles and defaults, which say nothing here."""
    if isinstance(given, list):
        return [_bare(each) for each in given]
    if not isinstance(given, dict):
        return given
    bare = {key: _bare(each) for key, each in given.items() if key not in ("title", "default")}
    if "properties" in given:
        bare["properties"] = {key: _bare(each) for key, each in given["properties"].items()}
    return bare


def _names_of(model: type[BaseModel], without: set[str]) -> dict[str, Any]:
    """Names on every level; Serve itself checks the values."""
    from ray.serve.config import AutoscalingConfig, RequestRouterConfig
    from ray.serve.schema import RayActorOptionsSchema

    inner: dict[str, type[BaseModel]] = {
        "autoscaling_config": AutoscalingConfig,
        "request_router_config": RequestRouterConfig,
        "ray_actor_options": RayActorOptionsSchema,
    }
    fields = sorted(model.model_fields.keys() - without)
    properties = {name: _names_of(inner[name], set()) if name in inner else {} for name in fields}
    return {"type": ["object", "null"], "additionalProperties": False, "properties": properties}


def written(given: dict[str, Any]) -> str:
    return json.dumps(given, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    SCHEMA.write_text(written(schema()), encoding="utf-8")
    for file in PLAIN:
        (ROOT / "deployment" / file).write_text(plain(file), encoding="utf-8")


if __name__ == "__main__":
    main()
