"""Rows about what is in the files: bombs, refusals, false names, changed bytes.
Makes none of them: `tests/serving/hostile` does, for the tests as well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx2

from benchmarks.hostile.instance import WORKERS
from benchmarks.hostile.row import Bench, at_once, fate
from serve_app.settings import MIB, PreprocessingSettings
from tests.serving.hostile.bombs import BOMBS, Bomb
from tests.serving.hostile.pictures import DISGUISES, KINDS, LISTED, REFUSED, flipped
from tests.worlds.samples import card, encoded

HONEST: Final = encoded(card(size=(160, 120)))
BUDGET_MIB: Final = PreprocessingSettings().memory_budget_bytes // MIB
OVER_BUDGET_MIB: Final = 350
RETURN_MIB: Final = 150
REFUSALS_OF_EACH: Final = 50
REFUSAL_MIB: Final = 50
BY_HEADER_S: Final = 1.0
FATES: Final = frozenset({"report", "image_unreadable", "image_too_large", "unsupported_image_type"})
FLIPPED: Final = (*KINDS, *LISTED)
LATE_S: Final = 1.0  # after the default deadline


def bombs(bench: Bench) -> None:
    """Each as reference, as candidate and against itself."""
    row, watch = bench.row, bench.service.watch
    by_header_s, slowest_s, sent = 0.0, 0.0, 0
    with bench.watched() as before, bench.client() as client:
        for bomb, sides in bench.box.inside(_sides()):
            response = bench.compare(client, *sides)
            sent += 1
            if fate(response) != bomb.fate:
                row.wrong(f"{bomb.name}: {fate(response)}, not {bomb.fate}")
            if response is not None:
                took = response.elapsed.total_seconds()
                slowest_s = max(slowest_s, took)
                if bomb.by_header and bomb.fate != "report":
                    by_header_s = max(by_header_s, took)
        peak = watch.worst(before.at, *WORKERS)
        row.want_none_wrong()
        row.want(
            f"refused by the header within {by_header_s:.2f} s (at most {BY_HEADER_S:g})", by_header_s < BY_HEADER_S
        )
        most = BUDGET_MIB + OVER_BUDGET_MIB
        row.want(f"a worker stood at {peak:.0f} MiB (at most {most})", peak <= most)
        bench.workers_return(before, RETURN_MIB)
    row.sent = f"{sent} of {3 * len(BOMBS)}: {len(BOMBS)} files as reference, as candidate, against itself"
    row.cost.append(f"slowest answer {slowest_s:.1f} s")


def _sides() -> Iterator[tuple[Bomb, tuple[bytes, bytes]]]:
    for bomb in BOMBS:
        data = bomb.make()
        yield from ((bomb, sides) for sides in ((data, HONEST), (HONEST, data), (data, data)))


def refusals(bench: Bench) -> None:
    """Fifty of each kind, one after another."""
    row, watch, sent = bench.row, bench.service.watch, 0
    with bench.watched() as begin, bench.client() as client:
        for picture in bench.box.inside(iter(REFUSED)):
            data = picture.make()
            before = watch.look()
            for number in bench.box.inside(iter(range(REFUSALS_OF_EACH))):
                sides = (data, HONEST) if number % 2 else (HONEST, data)
                found = fate(bench.compare(client, *sides))
                sent += 1
                if found != picture.fate:
                    row.wrong(f"{picture.name}: {found}, not {picture.fate}")
            if not bench.rest(lambda held=before: watch.growth(held, *WORKERS).mib <= REFUSAL_MIB):  # type: ignore[misc]
                row.wrong(f"{picture.name}: {watch.growth(before, *WORKERS)} kept")
        row.want_none_wrong("kinds answered otherwise than foreseen, or kept")
        bench.workers_return(begin, REFUSAL_MIB)
    row.sent = f"{sent} of {REFUSALS_OF_EACH * len(REFUSED)}: {len(REFUSED)} kinds of refusal, {REFUSALS_OF_EACH} each"
    row.cost.append(f"a worker stood at {watch.worst(begin.at, *WORKERS):.0f} MiB")


def disguises(bench: Bench) -> None:
    """Files of other kinds under our names; nothing may be started to read them."""
    row, service, sent = bench.row, bench.service, 0
    faults = service.child_faults()
    with bench.watched(), bench.client() as client:
        reads_heic = "HEIC" in client.get("/v1/limits").json()["data"]["formats"]
        for picture in bench.box.inside(iter(DISGUISES)):
            data = picture.make()
            for sides in ((data, HONEST), (HONEST, data)):
                found = fate(bench.compare(client, *sides, name="a.png", kind="image/png"))
                sent += 1
                wanted = (reads_heic and picture.fate_if_read) or picture.fate
                if found != wanted:
                    row.wrong(f"{picture.name}: {found}, not {wanted}")
        row.want_none_wrong()
        faults = service.child_faults() - faults
        row.want(f"{faults} page faults of children of a worker (0: nothing was started)", faults == 0)
    row.sent = f"{sent} of {2 * len(DISGUISES)}: {len(DISGUISES)} kinds on both sides"


def given(bench: Bench) -> None:
    """Every file of a folder, such as Pillow's own Tests/images, as either image."""
    row, fates = bench.row, Counter[str]()
    if bench.files is None:
        row.sent = "not run: no --files"
        return
    files = sorted(path for path in bench.files.rglob("*") if path.is_file())

    with bench.watched() as before, bench.client() as client:

        def send(case: tuple[Path, bool]) -> None:
            path, is_first = case
            data = path.read_bytes()
            found = fate(bench.compare(client, *((data, HONEST) if is_first else (HONEST, data))))
            fates[found] += 1
            if found not in FATES:
                row.wrong(f"{path.name}: {found}")

        sides = ((path, is_first) for path in files for is_first in (True, False))
        sent = at_once(send, bench.box.inside(sides))
        row.want_none_wrong("answers of another kind")
        bench.workers_return(before, RETURN_MIB)
    row.sent = f"{sent} of {2 * len(files)}: {len(files)} files of {bench.files.name} as either image"
    row.cost.append(", ".join(f"{number} {name}" for name, number in fates.most_common()))


def flips(bench: Bench) -> None:
    """Valid files after a few changes, for as long as there is time."""
    row, fates = bench.row, Counter[str]()

    with bench.watched() as before, bench.client(limits=httpx2.Limits(max_connections=None)) as client:

        def send(changed: tuple[str, bytes]) -> None:
            kind, data = changed
            response = bench.compare(client, HONEST, data)
            found = fate(response)
            fates[found] += 1
            if found not in FATES:
                row.wrong(f"{kind}: {found}, bytes {data[:40].hex()}...")

        sent = at_once(send, bench.box.inside(iter(lambda: flipped(bench.dice, FLIPPED), None)))
        row.want_none_wrong("answers of another kind")
        bench.workers_return(before, RETURN_MIB)
    row.sent = f"{sent} files of {len(FLIPPED)} kinds, each after one to eight changes"
    row.cost.append(", ".join(f"{number} {name}" for name, number in fates.most_common()))
