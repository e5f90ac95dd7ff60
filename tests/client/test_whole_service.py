"""Both clients against the service itself, over a real port: nothing is answered as a test says."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pairlens
from pairlens import AsyncClient, Client, Report, ServerFailed
from serve_app.client import asynchronous, sync
from serve_app.client.batches import form
from serve_app.errors import (
    AlreadyEnded,
    ApiKeyRequired,
    BodyTooLarge,
    IdempotencyConflict,
    ImageRejected,
    InvalidConfig,
    ManifestRejected,
    NotFound,
)
from serve_app.schema.stream import Measured, Progress
from serve_app.settings import Access
from tests.rigs.whole_service import whole_service
from tests.worlds.samples import card, encoded


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with whole_service(tmp_path_factory.mktemp("whole")) as address:
        yield address


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pictures")
    (made / "before").mkdir()
    (made / "after").mkdir()
    for name, square in ("same", None), ("other", "red"):
        card().save(made / "before" / f"{name}.png")
        card(square).save(made / "after" / f"{name}.png")
    return made


def test_a_pair_is_compared_as_it_is_here(url: str, folder: Path) -> None:
    pair = folder / "before" / "other.png", folder / "after" / "other.png"
    here = pairlens.compare(*pair)
    with Client(url) as client:
        for given in (pair, (card(), card("red")), (np.asarray(card()), pair[1].read_bytes())):
            found = client.compare(*given)
            assert (found.verdict, found.differences) == (here.verdict, here.differences)
            assert isinstance(found, Report)


def test_a_report_of_a_service_is_shown_with_what_was_sent(url: str, folder: Path, tmp_path: Path) -> None:
    with Client(url) as client:
        found = client.compare(folder / "before" / "other.png", card("red"))
    page = found.save_html(tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count('<img src="data:image/jpeg') == 2


def test_a_stream_tells_and_ends_with_the_report(url: str) -> None:
    with Client(url) as client:
        told = list(client.stream(card(), card("blue"), {"read_text": False}))
    assert [type(each) for each in told] == [Progress, Progress, Progress, Measured, Report]
    assert [each.state for each in told if isinstance(each, Progress)] == ["waiting", "working", "done"]


def test_a_job_is_left_and_waited_for(url: str, folder: Path) -> None:
    with Client(url) as client:
        job = client.jobs.create(folder / "before" / "other.png", card("red"), idempotency_key="order-1")
        assert job.wait(timeout=60).status == "succeeded"
        assert "<img" in job.report._repr_html_().replace("&lt;", "<")
        assert [event.status for event in job.events()][-1] == "succeeded"
        same = client.jobs.create(folder / "before" / "other.png", card("red"), idempotency_key="order-1")
        assert same.id == job.id
        with pytest.raises(IdempotencyConflict):
            client.jobs.create(card(), card(), idempotency_key="order-1")
        with pytest.raises(AlreadyEnded):
            job.cancel()
        assert job.id in [each.id for each in client.jobs.list("succeeded").jobs]
        failed = client.jobs.create(b"no picture", card()).wait(timeout=60)
        with pytest.raises(ImageRejected) as caught:
            failed.report  # noqa: B018
        assert caught.value.image == "reference"


def test_a_batch_is_left_in_each_form_and_its_rows_are_told(url: str, folder: Path) -> None:
    before, after = folder / "before", folder / "after"
    (folder / "pairs.csv").write_text("name,reference,candidate\nfirst,before/same.png,after/same.png\n")
    with Client(url) as client:
        batch = client.batches.create([(before / "same.png", after / "same.png"), (card(), card("red"))])
        rows = list(batch.results(timeout=60))
        assert [(row.number, row.report is not None) for row in rows] == [(1, True), (2, True)]
        assert rows[0].name == "after/same.png"
        assert isinstance(rows[1].report, Report)
        assert "<img" in rows[1].report._repr_html_().replace("&lt;", "<")
        assert batch.refresh().seen.num_done == 2
        assert [each.num_done for each in batch.events()][-1] == 2

        named = client.batches.create({"one": (card(), card()), "two": (card(), card("red"))}, {"max_differences": 0})
        assert named.wait(timeout=60).seen.outcomes.mismatch == 1
        assert [row.name for row in named.results("mismatch")] == ["two"]

        listed = client.batches.create(folder / "pairs.csv")
        assert [row.name for row in listed.results(timeout=60)] == ["first"]
        assert {listed.id, named.id} <= {each.id for each in client.batches.list().batches}
        with pytest.raises(AlreadyEnded):
            listed.cancel()


def test_a_list_with_faults_is_refused_before_anything_is_sent(url: str, folder: Path) -> None:
    (folder / "wrong.csv").write_text("reference,candidate\nbefore/none.png,after/same.png\n../x.png,after/none.png\n")
    with Client("http://127.0.0.1:9") as client:
        with pytest.raises(ManifestRejected, match=r"line 2: .*line 3: ") as caught:
            client.batches.create(folder / "wrong.csv")
        assert len(caught.value.faults or ()) == 3
        with pytest.raises(ManifestRejected, match="no pair"):
            client.batches.create([])


def test_a_picture_that_stands_in_many_pairs_is_sent_once(folder: Path) -> None:
    reference = encoded(card())
    made = form([(reference, folder / "after" / "same.png")] * 3 + [(reference, card())])
    assert len(made.files) == 3
    assert [line["name"] for line in made.lines] == [
        "after/same.png",
        "2/after/same.png",
        "3/after/same.png",
        "candidate.png",
    ]


def test_refusals_are_classes_with_all_that_was_said(url: str) -> None:
    with Client(url, max_retries=0) as client:
        with pytest.raises(ImageRejected) as unreadable:
            client.compare(card(), b"no picture")
        assert (unreadable.value.image, unreadable.value.status) == ("candidate", 415)
        assert str(unreadable.value.request_id) in unreadable.value.__notes__[0]
        with pytest.raises(NotFound):
            client.jobs.get("0" * 32)
        with pytest.raises(InvalidConfig) as wrong:
            client.compare(card(), card(), {"frame": 7})
        assert wrong.value.field is not None
        with pytest.raises(FileNotFoundError):
            client.compare("none.png", card())
        with pytest.raises((BodyTooLarge, ServerFailed)):  # refused while it is sent: the answer may be lost
            client.compare(bytes(65 * 2**20), card())


def test_a_key_is_sent_as_the_service_wants_it(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{hashlib.sha256(b'the-key').hexdigest()} shop\n")
    service = whole_service(tmp_path, access=Access(api_keys_file=str(keys)))
    with service as address, Client(address, api_key="the-key") as client:
        assert client.compare(card(), card()).verdict == "match"
        with pytest.raises(ApiKeyRequired):
            client.with_options(api_key=None).compare(card(), card())


def test_options_are_of_a_copy_and_the_connections_of_both(url: str) -> None:
    with Client(url) as client:
        impatient = client.with_options(timeout=0.000001, max_retries=5)
        with pytest.raises(ServerFailed):
            impatient.compare(card(), card())
        impatient.close()
        assert client.compare(card(), card()).verdict == "match"
        with pytest.raises(TypeError, match="There is no option patience"):
            client.with_options(patience=3)  # type: ignore[call-arg]


def test_an_event_loop_asks_for_all_of_it(url: str, folder: Path) -> None:
    async def asked() -> None:
        async with AsyncClient(url) as client:
            pairs = [client.compare(card(), folder / "after" / "other.png") for _ in range(4)]
            assert len({report.report_id for report in await asyncio.gather(*pairs)}) == 1
            told = [event async for event in client.stream(card(), card("red"))]
            assert isinstance(told[-1], Report)
            job = await client.jobs.create(card(), card())
            assert (await job.wait(timeout=60)).report.verdict == "match"
            assert [event.status async for event in job.events()][-1] == "succeeded"
            batch = await client.batches.create([(card(), card("red"))])
            assert [row.number async for row in batch.results(timeout=60)] == [1]
            assert [each.num_done async for each in batch.events()][-1] == 1
            assert (await client.with_options(timeout=50).compare(card(), card())).verdict == "match"

    asyncio.run(asked())


def test_a_call_that_is_cancelled_ends_at_once_and_leaves_the_client_as_it_was(url: str) -> None:
    async def asked() -> None:
        async with AsyncClient(url) as client:
            task = asyncio.create_task(client.jobs.wait("0" * 32, timeout=600))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await client.compare(card(), card())).verdict == "match"

    asyncio.run(asked())


def _asks(client: Client, told: object) -> None:
    inherited = client._pump._http
    told.put((client.compare(card(), card()).verdict, client._pump._http is inherited))  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_that_was_forked_asks_over_connections_of_its_own(url: str) -> None:
    context = multiprocessing.get_context("fork")
    with Client(url) as client:
        assert client.compare(card(), card()).verdict == "match"
        told = context.Queue()
        child = context.Process(target=_asks, args=(client, told))
        child.start()
        assert told.get(timeout=60) == ("match", False)
        child.join(60)
        assert (child.exitcode, client.compare(card(), card()).verdict) == (0, "match")


@pytest.mark.parametrize("name", ["Client", "Jobs", "Job", "Batches", "Batch"])
def test_both_clients_have_the_same_calls(name: str) -> None:
    def calls(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(value).parameters)
            for name, value in vars(kind).items()
            if not name.startswith("_") and callable(value)
        }

    assert calls(getattr(sync, name)) == calls(getattr(asynchronous, f"Async{name}"))
