"""Fuzzing guided by coverage (atheris): bytes that reach new lines of ours are changed further.

    python -m benchmarks.hostile.guided decode|config|body|doors SECONDS SEED FOLDER

Whatever they are, what comes is a picture, a config, an answer or a refusal of ours; nothing is started or called.
It ends at the first exception of another kind, with a trace and exit code 77, and leaves the bytes in FOLDER.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, get_args

import atheris
import httpx2

from serve_app.local import open_pipeline

with atheris.instrument_imports(include=["serve_app", "PIL", "starlette", "python_multipart"]):
    from serve_app import imaging
    from serve_app.comparison import pipeline
    from serve_app.core.pictures import Upload
    from serve_app.errors import ComparisonError, ImageRejected
    from serve_app.serving.api import body
    from serve_app.serving.api.app import create_app
    from serve_app.serving.readiness import AlwaysReady
    from serve_app.settings import ImageFormat, Limits, Settings
    from tests.serving.hostile import altered, bodies, doors, pictures, service
    from tests.serving.hostile.deeds import Deeds

MEMORY_MIB: Final = 2_048
LONGEST: Final = 8_192
SMALL: Final = Limits(max_pixels=200_000, max_side=4_000, formats=get_args(ImageFormat))
DEEDS: Final = Deeds()
LOOP: Final = asyncio.new_event_loop()


def decode(data: bytes) -> None:
    """A picture or a refusal."""
    upload = Upload(data)
    try:
        header = imaging.inspect(upload, SMALL, "candidate")
        imaging.prepare(upload, header, "candidate", scale=1.0, masks=(), shown=imaging.ShownSpec((16, 16), 85))
    except ImageRejected:
        pass


def config(data: bytes) -> None:
    """A comparison by this config, or a refusal."""
    body.language_of(data)
    first, second = (Upload(each) for each in bodies.pictures())
    try:
        asked = body.parse_config(data)
        local = _local()
        LOOP.run_until_complete(local.compare(first, second, asked, local.deadline(asked)))
    except ComparisonError as refusal:
        assert refusal.status != 500  # noqa: PT017 - a bug of ours has this status


def answer(data: bytes) -> None:
    """An answer that is no 500; the first line is the content type."""
    kind, _, rest = data.partition(b"\n")
    response = LOOP.run_until_complete(_client().post("/v1/compare", content=rest, headers={b"content-type": kind}))
    assert response.status_code in (200, 400, 413, 415, 422, 504), response.text


def ask(data: bytes) -> None:
    """An answer that a caller can bring about, of any route that takes a body; the first line is that and the content
    type."""
    line, _, rest = data.partition(b"\n")
    route, _, kind = line.partition(b" ")
    one = _RIGHT.get(route)
    if one is None:
        return
    headers = [(b"content-type", kind), *((name.encode(), value.encode()) for name, value in one.headers.items())]
    sent = altered.Altered(one.route, kind.decode("latin-1"), rest)
    response = LOOP.run_until_complete(_service().client.post(one.route, content=rest, headers=headers))
    # The fuzzer may write the mark of `bodies` itself, so only the status is judged.
    assert altered.problem(sent, response.status_code, "") is None, response.text


_RIGHT: Final = {kind.route.encode(): kind for kind in altered.kinds()}
TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "decode": decode,
    "config": config,
    "body": answer,
    "doors": ask,
}


@functools.cache
def _opened() -> AbstractAsyncContextManager[pipeline.Pipeline]:
    return open_pipeline(Settings())  # kept: it closes what it opened when it is forgotten


@functools.cache
def _local() -> pipeline.Pipeline:
    return LOOP.run_until_complete(_opened().__aenter__())


@functools.cache
def _client() -> httpx2.AsyncClient:
    quiet = logging.Logger("fuzzed", logging.CRITICAL)
    app = create_app(_local(), Settings(), readiness=AlwaysReady(), logger=quiet)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://fuzzed")


@functools.cache
def _all_doors() -> AbstractAsyncContextManager[service.Service]:
    return service.with_all_doors(Path(tempfile.mkdtemp(prefix="doors-", dir=sys.argv[4])))  # kept, as above


@functools.cache
def _service() -> service.Service:
    return LOOP.run_until_complete(_all_doors().__aenter__())


def seeds(target: str) -> Iterator[bytes]:
    """Where it begins: coverage finds what lies near, and a codec's name lies near no other word."""
    if target == "decode":
        yield from (pictures.valid(kind) for kind in (*pictures.KINDS, *pictures.LISTED))
        dice = random.Random(1)
        yield from (pictures.flipped(dice)[1] for _ in range(100))
        return
    if target == "doors":
        for kind in altered.kinds():
            head = f"{kind.route} {kind.content_type}\n".encode()
            yield head + kind.written(kind.right())
            yield from (head + altered.altered(kind, random.Random(number)).body for number in range(10))
        return
    for door in doors.doors():
        if len(door.body) < LONGEST and len(door.content_type) < 200:
            if target == "body":
                yield door.content_type.encode("latin-1") + b"\n" + door.body
            elif '"config":' in door.body.decode("latin-1") and door.name.startswith("json: config"):
                yield door.body.partition(b'"config":')[2][:-1]


def main() -> None:
    target, seconds, seed, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    logging.disable(logging.CRITICAL)
    corpus = folder / target
    corpus.mkdir()
    for number, data in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(data)
    run = TARGETS[target]
    run(b"")  # whatever is imported late is imported by now
    DEEDS.clear()

    def judged(data: bytes) -> None:
        run(data)
        if DEEDS:
            raise AssertionError(f"while reading these bytes: {', '.join(DEEDS)}")

    options = (f"-max_total_time={seconds}", f"-seed={seed}", f"-rss_limit_mb={MEMORY_MIB}", f"-max_len={LONGEST}")
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", str(corpus)], judged)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
