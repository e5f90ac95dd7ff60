"""The composition root, without a cluster: what Serve needs of it, and that the config file fits it."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import yaml
from ray.serve import Application

from serve_app.app import build, gpus_per_replica
from serve_app.settings import JobSettings, ModelSettings, ServerSettings, Settings

CONFIG = yaml.safe_load((Path(__file__).parents[2] / "serve_config.yaml").read_text(encoding="utf-8"))


def test_serve_can_read_the_type_of_the_argument() -> None:
    assert inspect.signature(build).parameters["settings"].annotation is Settings


def test_the_graph_is_built_of_three_deployments() -> None:
    assert isinstance(build(Settings(model=ModelSettings(gpus_per_replica=0))), Application)


def test_the_config_file_names_these_deployments_and_valid_settings() -> None:
    (application,) = CONFIG["applications"]
    Settings.model_validate(application["args"])
    assert {each["name"] for each in application["deployments"]} == {"Ingress", "Preprocessor", "Jobs", "VLModel"}
    assert CONFIG["http_options"]["request_timeout_s"] > application["args"]["limits"]["max_processing_timeout_s"]


@pytest.mark.parametrize("enabled", [True, False])
def test_jobs_are_deployed_only_where_they_are_on(enabled: bool) -> None:
    ingress = build(Settings(jobs=JobSettings(enabled=enabled)))._bound_deployment
    assert {name: each._bound_deployment.name for name, each in ingress.init_kwargs.items()} == (
        {"jobs": "Jobs"} if enabled else {}
    )
    if enabled:
        assert ingress.init_kwargs["jobs"]._bound_deployment.num_replicas == 1


SERVER = ServerSettings(base_url="http://127.0.0.1:8001/v1", parallel_comparisons=5)


@pytest.mark.parametrize(
    ("model", "at_once"),
    [
        (ModelSettings(engine="openai", name="x", server=SERVER), 5),
        (ModelSettings(engine="openai", name="x", server=ServerSettings(base_url=SERVER.base_url)), 8),
        (ModelSettings(engine="transformers", name="x", server=SERVER, gpus_per_replica=0), 1),
        (ModelSettings(engine="scripted", server=SERVER), 1),
    ],
)
def test_only_a_server_is_sent_several_comparisons_at_once(model: ModelSettings, at_once: int) -> None:
    ingress = build(Settings(model=model))._bound_deployment
    stages = {each._bound_deployment.name: each._bound_deployment for each in ingress.init_args[1:]}
    assert stages["VLModel"].max_ongoing_requests == at_once


def test_the_config_file_leaves_that_number_to_the_engine() -> None:
    (application,) = CONFIG["applications"]
    (stage,) = (each for each in application["deployments"] if each["name"] == "VLModel")
    assert "max_ongoing_requests" not in stage


@pytest.mark.parametrize(("asked", "gpus"), [(0, 0.0), (0.5, 0.5), (1, 1.0)])
def test_an_operators_word_on_gpus_stands(asked: float, gpus: float) -> None:
    assert gpus_per_replica(ModelSettings(engine="scripted", gpus_per_replica=asked)) == gpus


def test_an_engine_without_torch_takes_no_gpu() -> None:
    assert gpus_per_replica(ModelSettings(engine="none")) == 0.0
