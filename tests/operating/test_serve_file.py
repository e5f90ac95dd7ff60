"""The strict check of serve_config.yaml: the shipped file passes, a misspelt name at any level does not."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from serve_app.operating import serve_file
from serve_app.operating.serve_file import ServeFileError
from serve_app.settings import Settings

SHIPPED = Path(__file__).parents[2] / "serve_config.yaml"


@pytest.fixture
def raw() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    return copy.deepcopy(loaded)


def test_shipped_file_passes_and_stays_on_this_machine() -> None:
    file = serve_file.load(SHIPPED)

    assert (file.host, file.port, file.url) == ("127.0.0.1", 8000, "http://127.0.0.1:8000")
    assert file.settings.model.engine == "none"
    assert file.gpus_wanted == 0


@pytest.mark.parametrize(
    ("host", "is_local"), [(None, True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("10.0.0.7", False)]
)
def test_who_listens_for_others_is_told_from_who_does_not(host: str | None, is_local: bool) -> None:
    assert serve_file.is_for_this_machine(serve_file.read(SHIPPED, host=host)) == is_local
    assert not serve_file.is_for_this_machine({"http_options": None})


def test_a_file_is_read_before_ray_is_imported() -> None:
    """Ray reads its environment then, and what that has to say depends on the file."""
    imported = "import sys, serve_app.cli.serve, serve_app.operating.own_ray, serve_app.operating.serve_file"
    done = f"{imported}; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", done], check=False, cwd=SHIPPED.parent).returncode == 0


def test_shipped_deployments_outlive_the_longest_request(raw: dict[str, Any]) -> None:
    ceiling = serve_file.check(raw).settings.limits.max_processing_timeout_s

    for stage in raw["applications"][0]["deployments"]:
        if stage["name"] != "Jobs":  # answers no request
            assert stage["graceful_shutdown_timeout_s"] > ceiling


@pytest.mark.parametrize(
    ("enabled", "changes", "said"),
    [
        (False, {}, "jobs are off"),
        (True, {"num_replicas": 2}, "one replica"),
        (True, {"num_replicas": "auto"}, "one replica"),
        (True, {"num_replicas": None, "autoscaling_config": {"min_replicas": 1, "max_replicas": 2}}, "one replica"),
    ],
)
def test_the_queue_of_jobs_has_one_owner_where_it_is_on(
    raw: dict[str, Any], enabled: bool, changes: dict[str, Any], said: str
) -> None:
    application = raw["applications"][0]
    (stage,) = (each for each in application["deployments"] if each["name"] == "Jobs")
    application["args"]["jobs"]["enabled"] = enabled
    stage.update(changes)
    with pytest.raises(ServeFileError, match=said):
        serve_file.check(raw)


def test_jobs_that_are_off_have_no_deployment(raw: dict[str, Any]) -> None:
    application = raw["applications"][0]
    application["args"]["jobs"]["enabled"] = False
    application["deployments"] = [each for each in application["deployments"] if each["name"] != "Jobs"]
    assert not serve_file.check(raw).settings.jobs.enabled


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ((), "aplications"),
        (("http_options",), "hots"),
        (("logging_config",), "encodin"),
        (("applications", 0), "route_prefx"),
        (("applications", 0, "args"), "limts"),
        (("applications", 0, "args", "limits"), "max_pixel"),
        (("applications", 0, "args", "model"), "nam"),
        (("applications", 0, "deployments", 0), "max_ongoing_request"),
        (("applications", 0, "deployments", 1, "ray_actor_options"), "num_cpu"),
        (("applications", 0, "deployments", 1, "autoscaling_config"), "min_replica"),
        (("applications", 0, "deployments", 2, "request_router_config"), "max_backof_s"),
    ],
)
def test_unknown_name_is_refused_at_every_level(raw: dict[str, Any], path: tuple[str | int, ...], name: str) -> None:
    place: Any = raw
    for step in path:
        place = place[step]
    place[name] = 1

    with pytest.raises(ServeFileError, match=rf"`([^`]+\.)?{name}` is not a setting\. Did you mean"):
        serve_file.check(raw)


def test_all_unknown_names_are_told_at_once(raw: dict[str, Any]) -> None:
    raw["foo"] = raw["http_options"]["bar"] = 1

    with pytest.raises(ServeFileError) as refusal:
        serve_file.check(raw)

    assert len(str(refusal.value).splitlines()) == 2


def test_a_profile_has_a_name_of_its_own_and_only_known_thresholds(raw: dict[str, Any]) -> None:
    raw["applications"][0]["args"]["profiles"] = {"shop": {"similarity_threshold": 0.93}}
    assert serve_file.check(raw).settings.profiles["shop"].similarity_threshold == 0.93

    raw["applications"][0]["args"]["profiles"]["shop"]["threshold"] = 0.9
    with pytest.raises(ServeFileError, match=r"args\.profiles\.shop\.threshold` is not a setting"):
        serve_file.check(raw)


def test_missing_host_is_refused(raw: dict[str, Any]) -> None:
    del raw["http_options"]["host"]

    with pytest.raises(ServeFileError, match=r"`http_options\.host` is missing"):
        serve_file.check(raw)


def test_wrong_value_is_named_without_a_trace(raw: dict[str, Any]) -> None:
    raw["applications"][0]["args"]["limits"]["max_pixels"] = -3

    with pytest.raises(ServeFileError, match=r"^`limits\.max_pixels`: Input should be greater than 0\.$"):
        serve_file.check(raw)


def test_timeout_of_ray_must_be_above_our_own(raw: dict[str, Any]) -> None:
    raw["http_options"]["request_timeout_s"] = 120

    with pytest.raises(ServeFileError, match="must be above"):
        serve_file.check(raw)


def test_options_of_the_command_line_are_laid_over_the_file() -> None:
    file = serve_file.load(SHIPPED, model="/models/tiny", host="0.0.0.0", port=9000)

    assert file.url == "http://127.0.0.1:9000"
    assert (file.settings.model.engine, file.settings.model.name) == ("transformers", "/models/tiny")
    assert file.raw["http_options"]["host"] == "0.0.0.0"


def test_gpus_pinned_by_number_are_known(raw: dict[str, Any]) -> None:
    raw["applications"][0]["deployments"][2]["ray_actor_options"] = {"num_gpus": 2}

    assert serve_file.check(raw).gpus_wanted == 2


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "applications: []\nhttp_options: {host: 127.0.0.1}"])
def test_broken_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text(text)

    with pytest.raises(ServeFileError) as refusal:
        serve_file.load(path)

    assert "Traceback" not in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ServeFileError, match="No such file"):
        serve_file.load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("model", "said", "why"),
    [
        ({"engine": "none"}, 2, "engine none works on one comparison at a time"),
        ({"engine": "openai", "name": "x", "server": {"base_url": "http://x/v1"}}, 1, "parallel_comparisons` is 8"),
    ],
)
def test_jobs_sent_to_a_model_at_once_are_those_that_its_engine_takes(
    raw: dict[str, Any], model: dict[str, Any], said: int, why: str
) -> None:
    application = raw["applications"][0]
    application["args"]["model"] = model
    stage = next(each for each in application["deployments"] if each["name"] == "VLModel")
    stage["max_ongoing_requests"] = said
    with pytest.raises(ServeFileError, match=f"max_ongoing_requests` is {said}, but .*{why}.*leave it out"):
        serve_file.check(raw)
    stage["max_ongoing_requests"] = Settings.model_validate(application["args"]).model.comparisons_at_once
    serve_file.check(raw)
