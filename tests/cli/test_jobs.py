"""`pairlens jobs` as a person or a script meets it: against a service that answers as told."""

from __future__ import annotations

import json
from functools import partialmethod
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner, Result

from serve_app.cli.main import app
from serve_app.client import service as core
from serve_app.client.sync import Client
from serve_app.jobs import webhook
from serve_app.schema import ErrorReport, JobList, JobReport, WebhookReport
from tests.client.test_jobs import JOB, Service, refused, seen, told
from tests.worlds.jobs import made_report

SERVER = ("--server", "http://host")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    answering = Service(httpx2.Response(500))
    transport = httpx2.MockTransport(answering)
    monkeypatch.setattr(Client, "__init__", partialmethod(Client.__init__, transport=transport))
    monkeypatch.setattr(core, "FIRST_PAUSE_S", 0.001)
    return answering


def pairlens(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["jobs", *(str(each) for each in arguments)])


def answering(service: Service, *answers: Any) -> None:
    service.answers = list(answers)


def test_a_job_is_left_and_its_id_is_all_that_is_printed(service: Service, tmp_path: Path) -> None:
    answering(service, told(seen(position=1), 202))
    for name in ("a.png", "b.png", "key"):
        (tmp_path / name).write_text(f"{name} inside\n")
    more = ("--key", "order-7", "--config", '{"language": "zh"}', "--webhook-url", "https://shop.example/")
    result = pairlens("submit", tmp_path / "a.png", tmp_path / "b.png", *SERVER, "--key-file", tmp_path / "key", *more)
    assert (result.exit_code, result.stdout) == (0, f"{JOB}\n")
    (request,) = service.asked
    assert request.headers["authorization"] == "Bearer key inside"
    assert request.headers["idempotency-key"] == "order-7"
    assert request.content.index(b"a.png inside") < request.content.index(b"b.png inside")
    assert b'"language":"zh"' in request.content
    assert b"https://shop.example/" in request.content


def test_a_list_has_a_line_a_job_and_says_where_the_next_page_is(service: Service) -> None:
    answering(service, told(JobList(jobs=(seen(position=4), seen("running", stage="assess")), next_cursor="abc")))
    result = pairlens("list", *SERVER, "--status", "running", "--status", "queued")
    queued, running = result.stdout.splitlines()
    assert queued.startswith(f"{JOB}  queued")
    assert queued.endswith("4 in the queue")
    assert running.endswith("assess")
    assert "--cursor abc" in result.stderr
    assert service.asked[0].url.query == b"limit=20&status=queued&status=running"
    listed = json.loads(pairlens("list", *SERVER, "--json").stdout)
    assert [job["id"] for job in listed["jobs"]] == [JOB, JOB]
    assert "--status is one of" in pairlens("list", *SERVER, "--status", "done").stderr


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (seen("succeeded", report=made_report()), {"match": 0, "mismatch": 22, "uncertain": 23}[made_report().verdict]),
        (seen("failed", error=ErrorReport(type="image_unreadable", detail="Cut off.")), 1),
        (seen("cancelled"), 1),
    ],
)
def test_a_wait_ends_with_the_exit_code_of_a_comparison(service: Service, ended: JobReport, code: int) -> None:
    answering(service, told(seen("running")), told(ended))
    result = pairlens("wait", JOB, *SERVER)
    assert (result.exit_code, len(service.asked)) == (code, 2)
    assert ended.status in result.stdout
    if ended.error is not None:
        assert "image_unreadable: Cut off." in result.stdout


def test_a_wait_for_too_long_is_one_sentence(service: Service) -> None:
    answering(service, told(seen("running")))
    result = pairlens("wait", JOB, *SERVER, "--timeout", "0.05")
    assert (result.exit_code, result.stderr) == (1, f"pairlens: The job {JOB} has not ended within 0.05 s.\n")


def test_a_job_is_shown_with_its_report_and_its_webhook(service: Service) -> None:
    hook = WebhookReport(url="https://shop.example/", status="pending", tries=2, said="It said \x1b[2Jno.")
    answering(service, told(seen("succeeded", report=made_report(), webhook=hook)))
    result = pairlens("show", JOB, *SERVER)
    assert result.exit_code == 0
    assert "webhook: pending after 2 tries." in result.stdout
    assert "\x1b[2J" not in result.stdout
    assert made_report().summary[:20] in result.stdout
    assert JobReport.model_validate_json(pairlens("show", JOB, *SERVER, "--json").stdout).webhook == hook


@pytest.mark.parametrize(("command", "method"), [("cancel", "DELETE"), ("retry", "POST")])
def test_a_job_is_ended_and_begun_anew(service: Service, command: str, method: str) -> None:
    answering(service, told(seen("cancelled")), refused(409, "already_ended"))
    assert "cancelled" in pairlens(command, JOB, *SERVER).stdout
    assert service.asked[0].method == method
    result = pairlens(command, JOB, *SERVER)
    assert (result.exit_code, result.stderr) == (1, "pairlens: No. (409 already_ended, request r)\n")


def test_a_server_that_is_none_is_one_sentence(service: Service) -> None:
    answering(service, httpx2.ConnectError("refused"))
    result = pairlens("show", JOB, *SERVER)
    assert (result.exit_code, result.stderr) == (1, "pairlens: http://host can't be reached: refused.\n")
    assert pairlens("show", JOB, *SERVER, "--key-file", "/no/such").exit_code == 1


def test_an_operator_reads_a_callers_own_secret_off(tmp_path: Path) -> None:
    master = bytes(range(32))
    (tmp_path / "secret").write_text(webhook.written(master) + "\n")
    (tmp_path / "none").write_text("whsec_")
    said = pairlens("secret", "shop", "--secret-file", tmp_path / "secret").stdout.strip()
    assert webhook.secret(said) == webhook.key_of(master, "shop")
    for name in ("none", "missing"):
        result = pairlens("secret", "shop", "--secret-file", tmp_path / name)
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
