"""The file for Ray's launcher of virtual machines: Ray's own schema knows it, its commands are ours and Ray's.
No machine is started."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml

from serve_app.operating import own_ray
from serve_app.serving import proxy
from serve_app.settings import Limits

ROOT = Path(__file__).parents[2]
FILE = yaml.safe_load((ROOT / "deployment/cluster.yaml").read_text(encoding="utf-8"))
SCHEMA = json.loads((Path(ray.__file__).parent / "autoscaler/ray-schema.json").read_text(encoding="utf-8"))
STARTS = [*FILE["head_start_ray_commands"], *FILE["worker_start_ray_commands"]]


def test_rays_own_schema_knows_every_field() -> None:
    jsonschema.validate(FILE, SCHEMA)


@pytest.mark.parametrize(
    "place", [(), ("provider",), ("available_node_types", "gpu")], ids=["file", "provider", "type"]
)
def test_a_wrong_field_is_found(place: tuple[str, ...]) -> None:
    spoilt: Any = copy.deepcopy(FILE)
    inner = spoilt
    for step in place:
        inner = inner[step]
    if place == ("provider",):
        del inner["type"]
    else:
        inner["max_worker"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spoilt, SCHEMA)


def test_start_commands_have_options_that_ray_knows() -> None:
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    given = {option for command in STARTS for option in re.findall(r"(--[a-z-]+)", command)}
    assert {"--head", "--address", "--metrics-export-port"} <= given <= known


def test_every_node_starts_with_what_serve_reads() -> None:
    (command,) = (each for each in FILE["setup_commands"] if each.endswith("> ~/ray.env"))
    code = re.fullmatch(r"~/venv/bin/python -c '(.+)' > ~/ray\.env", command)
    assert code is not None
    told = subprocess.run([sys.executable, "-c", code[1]], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = {**own_ray.SERVE_ENVIRONMENT, **proxy.environment(Limits()), "RAY_AUTH_MODE": "token"}
    lines = dict(line.removeprefix("export ").split("=", 1) for line in told.splitlines())
    assert wanted.items() <= lines.items()
    assert all(". ~/ray.env;" in each for each in STARTS if "ray start" in each)


def test_the_head_does_no_work_and_shows_its_dashboard_to_itself_alone() -> None:
    types = FILE["available_node_types"]
    assert types[FILE["head_node_type"]]["resources"] == {"CPU": 0}
    assert types["gpu"]["resources"] == {"CPU": 0, "GPU": 1}
    assert types["cpu"]["min_workers"] >= 2
    assert "--dashboard-host=127.0.0.1" in STARTS[1]
    assert sum(each.get("max_workers", 0) for each in types.values()) <= FILE["max_workers"]
    assert "/home/ubuntu/.ray/auth_token" in FILE["file_mounts"]


def test_extras_and_versions_are_ours() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "deployment/cluster.yaml").read_text(encoding="utf-8")
    (extras,) = re.findall(r"'\.\[([a-z,]+)\]'", text)
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()
    assert f"ray[default]=={ray.__version__}" in text
