"""What runs PairLens elsewhere, parsed: the image and the Kubernetes service fit the code they ship.
Nothing is built here: no container engine and no cluster is needed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from deployment import drain
from serve_app import __version__
from serve_app.cli import main
from serve_app.operating import own_ray, serve_file
from serve_app.serving import proxy
from serve_app.settings import JobSettings, Limits

ROOT = Path(__file__).parents[2]
OBJECTS = list(yaml.safe_load_all((ROOT / "deployment/rayservice.yaml").read_text(encoding="utf-8")))
(SERVICE,) = (each for each in OBJECTS if each["kind"] == "RayService")
CLAIM, JOBS_CLAIM = (each for each in OBJECTS if each["kind"] == "PersistentVolumeClaim")
CLUSTER = SERVICE["spec"]["rayClusterConfig"]
CONFIG = yaml.safe_load(SERVICE["spec"]["serveConfigV2"])
SHIPPED = yaml.safe_load((ROOT / "serve_config.yaml").read_text(encoding="utf-8"))
GUIDE = (ROOT / "deployment/README.md").read_text(encoding="utf-8")
PODS = {
    "head": CLUSTER["headGroupSpec"]["template"]["spec"],
    **{group["groupName"]: group["template"]["spec"] for group in CLUSTER["workerGroupSpecs"]},
}

# Where the cluster's Serve block may differ from serve_config.yaml, which is one for a machine without a GPU.
DIFFERENCES = {
    "proxy_location": "a door on each worker",
    "http_options.host": "a pod is reached from outside",
    "applications.pairlens.args.model": "an engine that uses the GPU",
    "applications.pairlens.args.jobs.folder": "a volume that all pods see",
    "applications.pairlens.args.jobs.database_url": "SQLite is for one machine",
    "applications.pairlens.deployments.Jobs.ray_actor_options": "not on the head",
    "applications.pairlens.deployments.Ingress.ray_actor_options": "not on the head",
    "applications.pairlens.deployments.Preprocessor.ray_actor_options": "a whole core",
    "applications.pairlens.deployments.Preprocessor.autoscaling_config.max_replicas": "more cores",
    "applications.pairlens.deployments.VLModel.ray_actor_options": "a GPU, and no core beside it",
    "applications.pairlens.deployments.VLModel.max_surge_percent": "a spare GPU is there",
}


def leaves(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its path; the items of a list under their names."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = {item["name"]: {key: inner for key, inner in item.items() if key != "name"} for item in value}
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{where}.{key}".lstrip("."))
    else:
        yield where, value


def stages(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {stage["name"]: stage for stage in config["applications"][0]["deployments"]}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, arguments), continued lines joined."""
    text = (ROOT / "deployment/Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines.splitlines() if line)]


def arguments(name: str) -> list[str]:
    return [rest for each, rest in instructions() if each == name]


# --- the Kubernetes service


def test_the_cluster_serves_the_same_file_but_for_named_differences() -> None:
    here, there = dict(leaves(SHIPPED)), dict(leaves(CONFIG))
    differing = {path for path in here.keys() | there.keys() if here.get(path) != there.get(path)}

    unnamed = {
        path for path in differing if not any(path == name or path.startswith(f"{name}.") for name in DIFFERENCES)
    }
    assert not unnamed
    for name in DIFFERENCES:
        assert any(path == name or path.startswith(f"{name}.") for path in differing), f"{name} doesn't differ"


def test_every_name_in_the_clusters_serve_file_exists_in_the_code() -> None:
    file = serve_file.check(CONFIG)

    assert file.settings.model.engine == "transformers"
    assert stages(CONFIG).keys() == stages(SHIPPED).keys()


def test_the_serve_file_reaches_kuberay_as_text() -> None:
    assert isinstance(SERVICE["spec"]["serveConfigV2"], str)


def test_start_parameters_are_text_and_options_of_ray() -> None:
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    for group in (CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]):
        assert {f"--{name}" for name in group["rayStartParams"]} <= known
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_the_head_does_no_work() -> None:
    assert CLUSTER["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert SERVICE["spec"]["excludeHeadPodFromServeSvc"] is True
    for stage in stages(CONFIG).values():
        options = stage["ray_actor_options"]
        assert options["num_cpus"] or options["num_gpus"], f"{stage['name']} asks for nothing and could go to the head"


def test_one_gpu_pod_holds_one_model_and_nothing_else() -> None:
    (group,) = (each for each in CLUSTER["workerGroupSpecs"] if each["groupName"] == "gpu")
    model = stages(CONFIG)["VLModel"]

    assert PODS["gpu"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert model["ray_actor_options"] == {"num_cpus": 0, "num_gpus": 1}
    assert group["rayStartParams"]["num-cpus"] == "0", "others could take a place there"
    assert group["maxReplicas"] > model["autoscaling_config"]["max_replicas"], "no spare GPU for an update"
    assert group["minReplicas"] >= model["autoscaling_config"]["min_replicas"]


def test_the_cpu_pods_have_room_for_all_cpu_replicas() -> None:
    (group,) = (each for each in CLUSTER["workerGroupSpecs"] if each["groupName"] == "cpu")
    ingress, preprocessor, jobs = (stages(CONFIG)[name] for name in ("Ingress", "Preprocessor", "Jobs"))

    cores = group["maxReplicas"] * float(PODS["cpu"]["containers"][0]["resources"]["limits"]["cpu"])
    wanted = ingress["num_replicas"] * ingress["ray_actor_options"]["num_cpus"]
    wanted += jobs["ray_actor_options"]["num_cpus"]
    wanted += preprocessor["autoscaling_config"]["max_replicas"] * preprocessor["ray_actor_options"]["num_cpus"]
    assert wanted <= cores


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_each_pods_door_knows_the_limits_of_bodies(name: str) -> None:
    told = {one["name"]: one.get("value") for one in PODS[name]["containers"][0]["env"]}
    limits = Limits.model_validate(CONFIG["applications"][0]["args"]["limits"])
    assert proxy.environment(limits).items() <= told.items()


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_a_pod_outlives_its_drain_and_the_drain_the_longest_request(name: str) -> None:
    drain_s = int(PODS[name]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1])
    slowest_stage_s = max(stage["graceful_shutdown_timeout_s"] for stage in stages(CONFIG).values())
    longest_request_s = CONFIG["applications"][0]["args"]["limits"]["max_processing_timeout_s"]

    assert PODS[name]["terminationGracePeriodSeconds"] > drain_s > slowest_stage_s > longest_request_s


@pytest.mark.parametrize("name", PODS)
def test_no_pod_has_privileges(name: str) -> None:
    (container,) = PODS[name]["containers"]

    assert PODS[name]["securityContext"]["runAsUser"] == 1000
    assert container["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["requests"] == container["resources"]["limits"]
    mounts, volumes = ({each["name"] for each in some} for some in (container["volumeMounts"], PODS[name]["volumes"]))
    assert mounts == volumes
    assert any(mount["mountPath"] == "/dev/shm" for mount in container["volumeMounts"])


def test_the_control_ports_want_a_token() -> None:
    assert CLUSTER["authOptions"] == {"mode": "token"}


def test_weights_are_kept_on_the_claimed_volume() -> None:
    (volume,) = (each for each in PODS["gpu"]["volumes"] if each["name"] == "models")
    (mount,) = (each for each in PODS["gpu"]["containers"][0]["volumeMounts"] if each["name"] == "models")
    env = {each["name"]: each.get("value") for each in PODS["gpu"]["containers"][0]["env"]}

    assert volume["persistentVolumeClaim"]["claimName"] == CLAIM["metadata"]["name"]
    assert str(env["HF_HOME"]).startswith(mount["mountPath"])


def test_jobs_lie_on_the_claimed_volume_and_in_a_database_with_a_secret() -> None:
    (volume,) = (each for each in PODS["cpu"]["volumes"] if each["name"] == "jobs")
    (mount,) = (each for each in PODS["cpu"]["containers"][0]["volumeMounts"] if each["name"] == "jobs")
    (secret,) = (each for each in PODS["cpu"]["containers"][0]["env"] if each["name"] == "PGPASSWORD")
    jobs = JobSettings.model_validate(CONFIG["applications"][0]["args"]["jobs"])

    assert volume["persistentVolumeClaim"]["claimName"] == JOBS_CLAIM["metadata"]["name"]
    assert JOBS_CLAIM["spec"]["accessModes"] == ["ReadWriteMany"]
    assert jobs.folder == mount["mountPath"]
    assert jobs.database.startswith("postgresql://")
    assert ":" not in jobs.database.removeprefix("postgresql://").partition("@")[0], "a password in the file"
    assert "secretKeyRef" in secret["valueFrom"]
    assert stages(CONFIG)["Jobs"]["num_replicas"] == 1
    wanted_bytes = int(JOBS_CLAIM["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) * 2**30
    assert wanted_bytes > jobs.max_stored_bytes


def test_versions_are_those_of_the_package_and_its_pins() -> None:
    pinned = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))

    assert CLUSTER["rayVersion"] == pinned["ray"]
    images = {name: pod["containers"][0]["image"].rpartition(":")[2] for name, pod in PODS.items()}
    assert images == {"head": f"{__version__}-cpu", "cpu": f"{__version__}-cpu", "gpu": f"{__version__}-gpu"}


def test_a_pod_waits_for_its_replicas() -> None:
    titled = ["ray::ServeReplica:pairlens:VLModel", "-c", "print(flush=True); input()"]
    pipe = subprocess.PIPE
    with subprocess.Popen(titled, executable=sys.executable, stdin=pipe, stdout=pipe) as replica:
        assert replica.stdout is not None
        replica.stdout.readline()  # before it runs it has its parent's title, or none
        assert replica.pid in drain.replicas_here()
        replica.communicate(b"\n")
    assert replica.pid not in drain.replicas_here()
    assert PODS["cpu"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1] == "/app/drain.py"


# --- the image


def test_every_base_image_is_pinned_or_a_stage_of_the_file() -> None:
    stages_so_far: set[str] = set()
    for given in arguments("FROM"):
        image, name = re.fullmatch(r"(\S+) AS (\S+)", given).groups()  # type: ignore[union-attr] # else the test fails
        if image not in stages_so_far and image != "torch-${VARIANT}":
            assert re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+\S*", image), f"{image} is not pinned by its version"
        stages_so_far.add(name)
    assert {"torch-cpu", "torch-gpu"} <= stages_so_far


def test_the_image_has_the_python_that_the_pins_were_frozen_with() -> None:
    (version,) = {each.split(" ")[0].split(":")[1] for each in arguments("FROM") if each.startswith("python:")}
    assert f"Python {version.rpartition('.')[0]}" in (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_what_is_copied_exists_and_reaches_the_builder() -> None:
    let_in = {line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    for given in arguments("COPY"):
        if given.startswith("--from="):
            continue
        for source in given.split()[:-1]:
            assert (ROOT / source).exists()
            assert source in let_in or any(source.startswith(f"{each}/") for each in let_in), f"{source} is kept out"


def test_every_package_of_ours_is_in_the_image() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    ours = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert ours <= {given.split()[0] for given in arguments("COPY")}


def test_the_folders_of_volumes_are_the_users_own() -> None:
    made = " ".join(each for each in arguments("RUN") if each.startswith("mkdir"))
    home = "/home/pairlens"
    assert JobSettings().folder.replace("~", home) in made
    told = (ROOT / "deployment/README.md").read_text(encoding="utf-8")
    mounted = set(re.findall(r"-v \w+:(\S+)", told))
    assert mounted == {f"{home}/models", f"{home}/.local/state/pairlens"}
    assert all(folder in made for folder in mounted)


def test_packages_are_installed_under_the_constraints() -> None:
    installs = [each for each in arguments("RUN") if "pip install" in each]
    assert len(installs) == 2
    assert all("-c constraints.txt" in each or "--no-deps" in each for each in installs)


def test_the_container_runs_without_root_and_says_whether_it_lives() -> None:
    names = [name for name, _ in instructions()]
    assert arguments("USER") == ["1000"]
    assert names.index("USER") < names.index("CMD")
    assert "useradd --uid 1000" in " ".join(arguments("RUN"))
    (check,) = arguments("HEALTHCHECK")
    assert "http://127.0.0.1:8000/livez" in check


def test_the_image_sets_what_serve_reads_from_the_environment() -> None:
    given = " ".join(arguments("ENV"))
    for name, value in own_ray.SERVE_ENVIRONMENT.items():
        assert f"{name}={value}" in given


def test_the_command_of_the_image_is_one_of_ours() -> None:
    name, command, *options = yaml.safe_load(arguments("CMD")[0])
    assert (name, command) == ("pairlens", "serve")
    program = typer.main.get_command(main.app)
    context = program.commands["serve"].make_context("serve", options)  # type: ignore[attr-defined]
    assert context.params["host"] == "0.0.0.0"
    assert context.params["config"] == Path("/app/serve_config.yaml")


def test_the_guide_builds_as_the_file_says() -> None:
    text = (ROOT / "deployment/Dockerfile").read_text(encoding="utf-8")
    commands = re.findall(r"^#     (docker build .+)$", text, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        assert command in GUIDE
        assert f":{__version__}-" in command
