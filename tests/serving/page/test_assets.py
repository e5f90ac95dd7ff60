"""The files that browsers load: sent under the policy, as they were published, and in the wheel."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from setuptools import Distribution  # type: ignore[import-untyped]

from serve_app.serving.api.pages.assets import VIEWS, shelf
from serve_app.settings import Settings
from tests.serving.page.conftest import app_of

ROOT = Path(__file__).parents[3]
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app_of(Settings()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


async def test_every_file_is_sent_under_the_policy_and_once(client: httpx2.AsyncClient) -> None:
    assert {"icon.svg", "swagger-ui-bundle.js", "redoc.standalone.js"} <= shelf().keys()
    for name, file in shelf().items():
        first = await client.get(f"/assets/{name}")
        assert (first.status_code, first.content) == (200, file.read_bytes())
        assert first.headers["content-security-policy"] == POLICY
        assert first.headers["x-content-type-options"] == "nosniff"
        assert first.headers["referrer-policy"] == "no-referrer"
        again = await client.get(f"/assets/{name}", headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "..%2f__init__.py", "SHA256SUMS", "%2e%2e%2fterminal.py"])
async def test_no_other_file_is_sent(client: httpx2.AsyncClient, name: str) -> None:
    answer = await client.get(f"/assets/{name}")
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_both_pages_of_the_api_run_only_our_own_scripts(client: httpx2.AsyncClient, path: str) -> None:
    page = await client.get(path)
    policy = page.headers["content-security-policy"]
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "http" not in policy + page.text
    assert "<script>" not in page.text


def test_what_others_made_is_as_they_published_it() -> None:
    folder = VIEWS / "vendored"
    lines = (line.split() for line in (folder / "SHA256SUMS").read_text("utf-8").splitlines())
    noted = {name: digest for digest, name in lines}
    assert noted == {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
        if file.suffix in (".js", ".css", ".txt")
    }
    told = (folder / "README.md").read_text("utf-8")
    assert all(f"`{name}`" in told for name in noted)


def test_every_file_is_in_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    project = Distribution()
    project.parse_config_files()
    project.include_package_data = False  # else it writes a list of all files into the tree first
    build = project.get_command_obj("build_py")
    build.ensure_finalized()
    packed = {Path(folder, name) for _, folder, _, names in build.data_files for name in names}
    mine = {file.relative_to(ROOT) for part in ("page", "viewer", "vendored") for file in (VIEWS / part).iterdir()}
    mine.add(Path("serve_app/serving/api/pages/example.json"))
    assert mine <= packed
