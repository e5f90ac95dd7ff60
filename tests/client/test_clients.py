"""Both clients against a service that answers as told: what is sent, and what an answer becomes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

import pairlens
from pairlens import AsyncClient, Client, ComparisonError, ComparisonReport, ImageComparisonConfig, ServerFailed
from serve_app.client import patience
from serve_app.client.pictures import Picture
from serve_app.core.comparing import CantCompare
from serve_app.errors import BodyTooLarge, ImageTooLarge, InvalidConfig, Overloaded
from serve_app.schema import Envelope, ErrorReport
from tests.worlds.samples import card, encoded

Answer = Callable[[httpx2.Request], httpx2.Response]
Compare = Callable[..., ComparisonReport]


def waiting(answer: Answer, *, api_key: str | None = None) -> Compare:
    def compare(one: Picture, two: Picture, config: ImageComparisonConfig | None = None) -> ComparisonReport:
        with Client("http://host/", api_key=api_key, transport=httpx2.MockTransport(answer)) as client:
            return client.compare(one, two, config)

    return compare


def awaiting(answer: Answer, *, api_key: str | None = None) -> Compare:
    def compare(one: Picture, two: Picture, config: ImageComparisonConfig | None = None) -> ComparisonReport:
        async def compared() -> ComparisonReport:
            async with AsyncClient("http://host", api_key=api_key, transport=httpx2.MockTransport(answer)) as client:
                return await client.compare(one, two, config)

        return asyncio.run(compared())

    return compare


both = pytest.mark.parametrize("client", [waiting, awaiting])


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.001)
    monkeypatch.delenv("PAIRLENS_API_KEY", raising=False)


@pytest.fixture(scope="module")
def report() -> ComparisonReport:
    return pairlens.compare(encoded(card()), encoded(card()))


def refused(status: int, error: ErrorReport, **headers: str) -> Answer:
    envelope = Envelope[ComparisonReport](code=status, msg="no", data=None, error=error, request_id="r-7")
    return lambda request: httpx2.Response(status, content=envelope.model_dump_json(), headers=headers)


@both
def test_it_is_sent_both_images_the_config_and_the_key(
    client: Callable[..., Compare], report: ComparisonReport, tmp_path: Path
) -> None:
    sent: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        request.read()
        sent.append(request)
        envelope = Envelope[ComparisonReport](code=200, msg="ok", data=report, error=None, request_id="r")
        return httpx2.Response(200, content=envelope.model_dump_json())

    (tmp_path / "second.png").write_bytes(b"second")
    config = ImageComparisonConfig(similarity_threshold=0.5, processing_timeout=7)
    got = client(answer, api_key="k")(b"first", tmp_path / "second.png", config=config)

    assert got == report
    assert str(sent[0].url) == "http://host/v1/compare"
    assert sent[0].headers["authorization"] == "Bearer k"
    assert 21 < sent[0].extensions["timeout"]["read"] <= 7 + 15
    assert sent[0].headers["user-agent"].startswith("pairlens/")
    body = sent[0].content
    assert body.index(b"first") < body.index(b"second")
    assert b'"similarity_threshold":0.5' in body


@both
def test_without_a_key_none_is_sent(client: Callable[..., Compare]) -> None:
    sent: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(200)

    with pytest.raises(ServerFailed):
        client(answer)(b"", b"")
    assert "authorization" not in sent[0].headers


@both
@pytest.mark.parametrize(("given", "sent_as"), [(None, "Bearer of-environment"), ("k", "Bearer k"), ("", None)])
def test_the_key_of_the_environment_is_sent_where_none_was_given(
    client: Callable[..., Compare], given: str | None, sent_as: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAIRLENS_API_KEY", " of-environment\n")
    sent: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(200)

    with pytest.raises(ServerFailed):
        client(answer, api_key=given)(b"", b"")
    assert sent[0].headers.get("authorization") == sent_as


@both
def test_a_refusal_is_the_error_that_the_service_raised(client: Callable[..., Compare]) -> None:
    full = ErrorReport(type="overloaded", detail="The queue for the model is full.")
    with pytest.raises(Overloaded) as caught:
        client(refused(503, full, **{"Retry-After": "900"}))(b"", b"")
    assert (caught.value.detail, caught.value.retry_after_s, caught.value.request_id) == (full.detail, 900, "r-7")

    large = ErrorReport(type="image_too_large", detail="Too large.", image="candidate")
    with pytest.raises(ImageTooLarge) as refusal:
        client(refused(422, large))(b"", b"")
    assert (refusal.value.image, refusal.value.retry_after_s) == ("candidate", None)


@both
def test_a_type_that_is_not_known_here_is_still_a_refusal(client: Callable[..., Compare]) -> None:
    with pytest.raises(ComparisonError, match="Of a later version") as caught:
        client(refused(418, ErrorReport(type="teapot", detail="Of a later version.")))(b"", b"")
    assert (caught.value.type, caught.value.status) == ("teapot", 418)
    with pytest.raises(BodyTooLarge) as large:  # its status says what it is like
        client(refused(413, ErrorReport(type="picture_too_heavy", detail="Too heavy.")))(b"", b"")
    assert (large.value.type, BodyTooLarge.type) == ("picture_too_heavy", "body_too_large")


@both
def test_a_strangers_server_is_told_apart(client: Callable[..., Compare]) -> None:
    with pytest.raises(ServerFailed, match="answered 200, but not as PairLens does"):
        client(lambda request: httpx2.Response(200))(b"", b"")


@both
@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (httpx2.ReadTimeout("slow"), "did not answer in time"),
        (httpx2.ConnectError("refused"), "can't be reached: refused"),
        (httpx2.UnsupportedProtocol("ftp"), "is no URL of a server"),
    ],
)
def test_each_way_not_to_be_answered_has_its_sentence(
    client: Callable[..., Compare], raised: Exception, said: str
) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise raised

    with pytest.raises(CantCompare, match=said):
        client(answer)(b"", b"")


@both
def test_a_config_may_be_its_fields_and_is_checked_before_anything_is_sent(
    client: Callable[..., Compare], report: ComparisonReport
) -> None:
    sent: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.read())
        envelope = Envelope[ComparisonReport](code=200, msg="ok", data=report, error=None, request_id="r")
        return httpx2.Response(200, content=envelope.model_dump_json())

    client(answer)(b"", b"", {"similarity_threshold": 0.5, "ignore_regions": [(1, 2, 3, 4)]})
    assert b'"similarity_threshold":0.5' in sent[0]
    assert b"[[1,2,3,4]]" in sent[0]
    for wrong, field in (
        ({"similarity_threshold": 2}, "/config/similarity_threshold"),
        ({"thresh": 1}, "/config/thresh"),
    ):
        with pytest.raises(InvalidConfig) as caught:
            client(answer)(b"", b"", wrong)
        assert caught.value.field == field
    with pytest.raises(InvalidConfig):
        client(answer)(b"", b"", {"focus_elements": object()})
    assert len(sent) == 1


@both
def test_members_of_a_later_version_are_passed_over(client: Callable[..., Compare], report: ComparisonReport) -> None:
    told = report.model_dump(mode="json") | {"mood": "bright"}
    told["measurement"]["warmth"] = 3
    answer = {"code": 200, "msg": "ok", "data": told, "error": None, "request_id": "r", "later": 1}
    assert client(lambda request: httpx2.Response(200, json=answer))(b"", b"") == report


def test_a_pair_is_compared_here_from_paths_and_from_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(card()))
    found = pairlens.compare(str(tmp_path / "a.png"), encoded(card()))

    assert (found.verdict, found.measurement.identical) == ("match", True)
    with pytest.raises(FileNotFoundError):
        pairlens.compare(tmp_path / "none.png", b"")
