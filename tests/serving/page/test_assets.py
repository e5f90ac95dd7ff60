"""The files that browsers load: sent under the policy, as they were published, and in the wheel."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from setuptools import Distribution  # type: ignore[import-untyped]

from serve_app.serving.api.pages.assets import VIEWS, asset, shelf
from serve_app.settings import Settings
from tests.serving.page.conftest import app_of

ROOT = Path(__file__).parents[3]
NO_CODE = ("//", "/**", "import", "export")
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
    assert {"icon.svg", "swagger-ui-bundle.js", "redoc.standalone.js"} <= shelf()
    for name in shelf():
        first = await client.get(f"/assets/{name}")
        assert (first.status_code, first.content) == (200, asset(name).content)
        assert first.headers["content-security-policy"] == POLICY
        assert first.headers["x-content-type-options"] == "nosniff"
        assert first.headers["referrer-policy"] == "no-referrer"
        again = await client.get(f"/assets/{name}", headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_the_page_is_one_script_and_one_style_with_every_part_once() -> None:
    script, style = (asset(f"page.{kind}").content.decode() for kind in ("js", "css"))
    parts = [each for part in ("page", "viewer") for each in (VIEWS / part).iterdir() if each.name not in shelf()]
    assert {each.name for each in parts} >= {"viewer.js", "viewer.css", "asking.js", "work.js"}
    for each in parts:
        whole = style if each.suffix == ".css" else script
        lines = [line for line in each.read_text("utf-8").splitlines() if not line.lstrip().startswith(NO_CODE)]
        assert whole.count(max(lines, key=len)) == 1
    assert "\nimport " not in script
    assert "\nexport " not in script
    assert {f"assets/{name}" for name in ("page.js", "page.css", "icon.svg")} == linked(asset("index.html").content)


def linked(page: bytes) -> set[str]:
    return set(re.findall(r'(?:src|href)="(assets/[^"]+)"', page.decode()))


@pytest.mark.parametrize(
    ("accepted", "code"), [(None, "en"), ("de-DE,de;q=0.9", "en"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh")]
)
async def test_the_words_of_the_browsers_language_are_asked_for_with_the_script(
    client: httpx2.AsyncClient, accepted: str | None, code: str
) -> None:
    page = await client.get("/", headers={} if accepted is None else {"Accept-Language": accepted})
    link = re.fullmatch(r'<(assets/[^>]+)>; rel="modulepreload".*', page.headers["link"])
    assert link is not None
    assert link[1] == f"assets/words_{code}.js"
    assert (await client.get(f"/{link[1]}")).status_code == 200


@pytest.mark.parametrize(
    "name", ["nothing.js", "viewer.js", "viewer.css", "..%2f__init__.py", "SHA256SUMS", "%2e%2e%2fterminal.py"]
)
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


async def test_who_takes_gzip_gets_gzip_under_another_tag(client: httpx2.AsyncClient) -> None:
    whole = await client.get("/assets/page.js", headers={"accept-encoding": "identity"})
    packed = await client.get("/assets/page.js", headers={"accept-encoding": "gzip, br"})
    assert "content-encoding" not in whole.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < int(whole.headers["content-length"]) / 3
    assert packed.content == whole.content
    assert packed.headers["etag"] != whole.headers["etag"]
    assert "Accept-Encoding" in packed.headers["vary"]
    again = await client.get(
        "/assets/page.js", headers={"accept-encoding": "identity", "if-none-match": packed.headers["etag"]}
    )
    assert again.status_code == 200  # the other form is not what this browser has


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
