"""`pairlens deploy` as an operator meets it: against a dashboard that is played, and once against a real one."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from typer.testing import CliRunner

from serve_app.cli.main import app
from serve_app.operating import dashboard, rollout
from tests.rigs.dashboard import TOKEN, Actor, application, played, real, stage
from tests.rigs.http_server import served
from tests.rigs.nodes import free_port

SHIPPED = Path(__file__).parents[2] / "serve_config.yaml"
OTHER = {"name": "other", "route_prefix": "/other", "import_path": "other:app"}


@pytest.fixture(autouse=True)
def no_clusters_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAY_ADDRESS", "RAY_DASHBOARD_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(rollout, "POLL_S", 0.01)


def raw() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    return loaded


def as_serve_keeps_it() -> dict[str, Any]:
    config = raw()
    (ours,) = config["applications"]
    return {**ours, "logging_config": config["logging_config"]}


def deploy(actor: Actor, *options: str, config: Path = SHIPPED, stdin: str | None = None) -> tuple[int, str, str]:
    with played(actor) as url:
        ended = CliRunner().invoke(app, ["deploy", "--config", str(config), "--address", url, *options], input=stdin)
    return ended.exit_code, ended.stdout, ended.stderr


def test_a_first_deployment_says_where_and_what_and_waits_until_it_runs() -> None:
    starting = application("pairlens", {}, "DEPLOYING") | {"deployments": {"Ingress": stage("UPDATING", 1, 2)}}
    running = application("pairlens", {}, "RUNNING") | {"deployments": {"Ingress": stage("HEALTHY", 2, 2)}}
    actor = Actor(gpus=2, then=[starting, starting, running])
    code, out, _ = deploy(actor, "--yes")

    assert code == 0
    assert "Ray 2.60.0, 1 node, 8 CPUs, 2 GPUs" in out
    assert "10.0.0.7" in out
    assert "10.0.0.8" not in out, "a node that is gone"
    assert "pairlens         added" in out
    assert out.count("DEPLOYING: Ingress 1 of 2") == 1
    assert "RUNNING: Ingress 2 of 2" in out
    assert actor.sent == [raw()]


def test_a_dry_run_sends_nothing() -> None:
    actor = Actor(applications={"other": application("other", OTHER)})
    code, out, _ = deploy(actor, "--dry-run")
    assert (code, actor.sent) == (0, [])
    assert "other            DELETED" in out


def test_what_others_deployed_is_not_deleted_unasked() -> None:
    actor = Actor(applications={"other": application("other", OTHER)})
    code, _, err = deploy(actor, "--yes")
    assert (code, actor.sent) == (1, [])
    assert "This would delete other" in err


def test_what_others_deployed_is_sent_along_or_deleted_as_asked() -> None:
    running = [application("pairlens", {}, at=2)]
    kept = Actor(applications={"other": application("other", OTHER)}, then=running)
    code, out, _ = deploy(kept, "--yes", "--keep-others")
    assert (code, [each["name"] for each in kept.sent[0]["applications"]]) == (0, ["pairlens", "other"])
    assert kept.sent[0]["applications"][1] == OTHER
    assert "other            kept" in out

    replaced = Actor(applications={"other": application("other", OTHER)}, then=running)
    code, out, _ = deploy(replaced, "--yes", "--replace")
    assert (code, [each["name"] for each in replaced.sent[0]["applications"]]) == (0, ["pairlens"])


def test_what_no_file_deployed_is_left_alone_by_serve_itself() -> None:
    actor = Actor(applications={"notebook": application("notebook", None)}, then=[application("pairlens", {})])
    code, out, _ = deploy(actor, "--yes")
    assert code == 0
    assert "notebook         not touched" in out


def test_an_equal_file_deploys_nothing() -> None:
    actor = Actor(applications={"pairlens": application("pairlens", as_serve_keeps_it())})
    code, out, _ = deploy(actor, "--yes")
    assert (code, actor.sent) == (0, [])
    assert "Nothing to deploy." in out


def test_a_change_is_named_by_its_place_and_old_news_is_not_taken_for_new() -> None:
    there = copy.deepcopy(as_serve_keeps_it())
    there["args"]["jobs"]["max_queued"] = 1
    there["deployments"][0]["num_replicas"] = 7
    before = application("pairlens", there, at=1)
    actor = Actor(applications={"pairlens": before}, then=[before, application("pairlens", {}, "DEPLOYING", at=2)])
    code, out, err = deploy(actor, "--yes", "--timeout", "1")

    assert "pairlens         changed\n    args.jobs.max_queued\n    deployments.Ingress.num_replicas\n" in out
    assert code == 1
    assert "does not run after 1 s" in err


def test_what_serve_takes_only_at_its_start_is_said() -> None:
    actor = Actor(http_options={"host": "127.0.0.1", "port": 9000}, then=[application("pairlens", {})])
    _, out, _ = deploy(actor, "--yes")
    assert "http_options.port stays 9000, not 8000" in out
    assert "at port 9000" in out


def test_a_failed_deployment_ends_with_its_reason() -> None:
    failed = application("pairlens", {}, "DEPLOY_FAILED")
    failed["message"] = "Deploying failed:\nTraceback\n  File x\nProfileWrong: /nowhere can't be read.\n"
    code, _, err = deploy(Actor(then=[failed]), "--yes")
    assert code == 1
    assert "pairlens is DEPLOY_FAILED: ProfileWrong: /nowhere can't be read." in err


def test_an_application_that_stays_unhealthy_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "UNHEALTHY_S", 0.05)
    sick = application("pairlens", {}, "UNHEALTHY")
    sick["deployments"] = {"VLModel": stage("UNHEALTHY", 0, 1, "The replica died.\nOutOfMemoryError: 24 GB")}
    code, _, err = deploy(Actor(then=[sick]), "--yes")
    assert code == 1
    assert "pairlens is UNHEALTHY: OutOfMemoryError: 24 GB" in err


def test_rays_own_refusal_is_told() -> None:
    code, _, err = deploy(Actor(refuses="Traceback\nValueError: route_prefix / is taken"), "--yes")
    assert code == 1
    assert "Ray refused the deployment: ValueError: route_prefix / is taken" in err


@pytest.mark.parametrize(("version", "passes"), [("2.60.3", True), ("2.61.0", False), ("3.60.0", False)])
def test_another_ray_is_refused_by_its_number(version: str, passes: bool) -> None:
    code, _, err = deploy(Actor(version=version), "--dry-run")
    assert code == (0 if passes else 1)
    assert passes or f"The cluster runs Ray {version}, and this PairLens was made for 2.60" in err


def test_a_token_is_found_where_ray_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    actor = Actor(token=TOKEN)
    code, _, err = deploy(actor, "--dry-run")
    assert (code, "wants its token: export RAY_AUTH_MODE=token" in err) == (1, True)

    monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
    code, _, err = deploy(actor, "--dry-run")
    assert (code, "does not take this token" in err) == (1, True)
    assert "another" not in err.replace("another cluster's", "")

    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    assert deploy(actor, "--dry-run")[0] == 0
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text(TOKEN + "\n")
    assert deploy(actor, "--dry-run")[0] == 1, "Ray reads that file only in its mode `token`"
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert deploy(actor, "--dry-run")[0] == 0
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "missing"))
    assert "can't be read" in deploy(actor, "--dry-run")[2]


def test_addresses_are_rays_own_variables() -> None:
    assert dashboard.address(None, {}) == "http://127.0.0.1:8265"
    assert dashboard.address(None, {"RAY_ADDRESS": "10.0.0.1:6379"}) == "http://127.0.0.1:8265"
    assert dashboard.address(None, {"RAY_ADDRESS": "http://a:1/"}) == "http://a:1"
    assert dashboard.address(None, {"RAY_ADDRESS": "http://a:1", "RAY_DASHBOARD_ADDRESS": "http://b:2"}) == "http://b:2"
    assert dashboard.address("https://c", {"RAY_DASHBOARD_ADDRESS": "http://b:2"}) == "https://c"
    for wrong in ("ray://10.0.0.1:10001", "10.0.0.1:6379"):
        with pytest.raises(dashboard.ClusterFailed, match="is not the address of a dashboard"):
            dashboard.address(wrong, {})


def test_a_wrong_address_is_one_sentence() -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    ended = CliRunner().invoke(app, ["deploy", "--config", str(SHIPPED), "--address", nobody, "--yes"])
    assert (ended.exit_code, ended.stderr.count("\n")) == (1, 1)
    assert f"No dashboard of Ray answers at {nobody}" in ended.stderr


def test_a_server_that_is_no_dashboard_is_told_from_one() -> None:
    from starlette.applications import Starlette

    with served(Starlette) as url:
        ended = CliRunner().invoke(app, ["deploy", "--config", str(SHIPPED), "--address", url, "--yes"])
    assert ended.exit_code == 1
    assert "not as Ray's dashboard does" in ended.stderr


def test_a_wrong_file_is_refused_before_anyone_is_asked(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(SHIPPED.read_text().replace("max_queued:", "max_queue:"))
    actor = Actor()
    code, out, err = deploy(actor, "--yes", config=wrong)
    assert (code, out, actor.sent) == (1, "", [])
    assert "Did you mean `max_queued`?" in err


def test_nothing_is_deployed_where_nobody_can_say_yes() -> None:
    actor = Actor()
    code, _, err = deploy(actor)
    assert (code, actor.sent) == (1, [])
    assert "--yes deploys" in err


@pytest.mark.cluster
def test_on_a_real_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = raw()
    config["http_options"]["port"] = free_port()
    (ours,) = config["applications"]
    ours["args"]["jobs"]["enabled"] = False
    ours["deployments"] = [each for each in ours["deployments"] if each["name"] != "Jobs"]
    ours["deployments"][0]["num_replicas"] = 1
    ours["deployments"][1] |= {"autoscaling_config": {"min_replicas": 1, "max_replicas": 1}}
    file = tmp_path / "serve_config.yaml"

    def run(*options: str) -> tuple[int, str, str]:
        file.write_text(yaml.safe_dump(config))
        ended = CliRunner().invoke(app, ["deploy", "--config", str(file), "--address", url, "--yes", *options])
        return ended.exit_code, ended.stdout, ended.stderr

    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setattr(rollout, "POLL_S", 0.5)
    with real() as url:
        code, out, err = run("--timeout", "200")
        assert code == 0, out + err
        assert "pairlens         added" in out
        assert "RUNNING" in out
        ready = httpx2.get(f"http://127.0.0.1:{config['http_options']['port']}/readyz", timeout=60, trust_env=False)
        assert ready.status_code in (200, 503)
        assert "Nothing to deploy." in run()[1]

        ours["args"]["profiles_dir"] = "/nowhere"
        code, out, err = run("--timeout", "200")
        assert (code, "changed\n    args.profiles_dir\n" in out) == (1, True), out + err
        assert "DEPLOY_FAILED" in err
        assert "/nowhere" in err
        monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
        assert "does not take this token" in run()[2]
