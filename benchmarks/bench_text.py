"""Pairs with text whose truth is known: what of their wording a report tells, what it makes up, and what it takes.

Run from the repository: `OMP_NUM_THREADS=1 python -m benchmarks.bench_text [--seeds 1,2] [--groups label,h_tiny]
[--engine opencv] [--pairs N] [--show-misses] [--save DIR]`. Each pair goes as two files through `serve_app.local`, the
whole product in this process, and what the report says of text is held against what was drawn. CPU is the process's,
for the whole comparison, decoding and measuring included; `read` is `timings_ms.read`. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import resource
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in replicas, where Ray sees to it

import cv2

from serve_app.core.reading import TextChange
from serve_app.local import Here, open_here
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import Settings
from tests.worlds import wording
from tests.worlds.wording import Event, Scored, TextPair
from tests.worlds.wording.faces import faces, has_chinese

PNG = b"\x89PNG"
HEADS = (
    *("group", "pairs", "events", "right", "whole line", "partial", "false", "false, no wording changed"),
    *("CPU ms", "p95", "read ms", "p95"),
)


@dataclass(frozen=True)
class Told:
    """One pair: what was true of it and what was said, and what it took."""

    pair: TextPair
    scored: Scored
    status: str
    cpu_ms: float
    read_ms: float

    @property
    def is_right(self) -> bool:
        return not self.scored.missed and not self.scored.false


@dataclass
class Row:
    """A group, or several together. `false_unasked`: false statements about pairs in which no wording changed, and
    `unasked`: how many pairs those are."""

    name: str
    pairs: int = 0
    events: int = 0
    right: int = 0
    whole: int = 0
    partial: int = 0
    false: int = 0
    unasked: int = 0
    false_unasked: int = 0
    cpu_ms: list[float] = field(default_factory=list)
    read_ms: list[float] = field(default_factory=list)

    def add(self, told: Told) -> None:
        scored = told.scored
        self.pairs += 1
        self.events += scored.events
        self.right += scored.right
        self.whole += scored.whole
        self.partial += scored.partial
        self.false += len(scored.false)
        if not scored.events:
            self.unasked += 1
            self.false_unasked += len(scored.false)
        self.cpu_ms.append(told.cpu_ms)
        self.read_ms.append(told.read_ms)

    def cells(self) -> list[str]:
        counts = [self.pairs, self.events, self.right, self.whole, self.partial, self.false]
        times = [quantile(self.cpu_ms, 0.5), quantile(self.cpu_ms, 0.95), quantile(self.read_ms, 0.5)]
        times.append(quantile(self.read_ms, 0.95))
        beside = f"{self.false_unasked} in {self.unasked}" if self.unasked else ""
        return [self.name, *map(str, counts), beside, *(f"{each:.0f}" for each in times)]

    def values(self) -> dict[str, Any]:
        times = {
            f"{name}_ms_{part}": round(quantile(several, share), 1)
            for name, several in (("cpu", self.cpu_ms), ("read", self.read_ms))
            for part, share in (("median", 0.5), ("p95", 0.95))
        }
        return {key: value for key, value in asdict(self).items() if key not in ("cpu_ms", "read_ms")} | times


def quantile(values: Sequence[float], share: float) -> float:
    if len(values) < 2:
        return values[0] if values else 0.0
    return statistics.median(values) if share == 0.5 else sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def told_by(here: Here, pair: TextPair) -> Told:
    files = pair.files()
    began = time.process_time()
    report = (await here.compare(*files, ImageComparisonConfig(processing_timeout=120.0))).model_dump(mode="json")
    cpu_ms = 1000 * (time.process_time() - began)
    scored = wording.score(pair, statements(report))
    status = report["measurement"].get("text", {}).get("status", "not told")
    return Told(pair, scored, status, cpu_ms, report["timings_ms"].get("read", 0.0))


def statements(report: dict[str, Any]) -> list[TextChange]:
    """All that a report's JSON says of text, whichever difference it says it of."""
    found = []
    for difference in report["differences"]:
        several = [difference.get("text"), *(difference.get("further_texts") or ())]
        found += [TextChange(**each) for each in several if each is not None]
    return found


async def run(settings: Settings, pairs: Iterable[TextPair], *, tells: bool, folder: Path | None) -> list[Told]:
    all_told = []
    async with open_here(settings) as here:
        for pair in pairs:
            try:
                told = await told_by(here, pair)
            except Exception as exc:
                exc.add_note(f"comparing {pair.name}")
                raise
            all_told.append(told)
            if tells:
                for line in complaints(told):
                    print(line)
            if folder and not told.is_right:
                save(pair, folder)
    return all_told


def save(pair: TextPair, folder: Path) -> None:
    for side, content in zip(("reference", "candidate"), pair.files(), strict=True):
        kind = "png" if content.startswith(PNG) else "jpg"
        (folder / f"{pair.name}_{side}.{kind}").write_bytes(content)


def complaints(told: Told) -> Iterator[str]:
    """What should have been said, and what should not."""
    for event in told.scored.missed:
        yield f"  {told.pair.name}: missed {in_words(event)}"
    for said in told.scored.false:
        yield f"  {told.pair.name}: false {in_words(said)}, confidence {said.confidence:.2f}"
    if told.scored.false and not told.scored.missed:
        yield f"  {told.pair.name}: true is {'; '.join(map(in_words, told.pair.events)) or 'that no wording changed'}"


def in_words(each: Event | TextChange) -> str:
    words = f" ({each.reference_word!r} -> {each.candidate_word!r})" if each.kind == "changed" else ""
    return f"{each.kind} {each.reference!r} -> {each.candidate!r}{words}"


def table(all_told: Sequence[Told]) -> list[Row]:
    """A row for each group that was drawn, and for the ordinary and the hard ones together."""
    rows = {name: Row(name) for name in wording.GROUP_NAMES}
    both = {"ordinary": Row("ordinary"), "hard": Row("hard")}
    for told in all_told:
        rows[told.pair.group].add(told)
        both["hard" if told.pair.group in wording.HARD else "ordinary"].add(told)
    return [row for row in (*rows.values(), *both.values()) if row.pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1", help="1 to 3 to develop with, 101 and 102 for a last look")
    parser.add_argument("--groups", default="", help="names; `ordinary`, `hard`; all where it isn't given")
    parser.add_argument("--engine", default="auto", choices=("auto", "opencv", "onnxruntime"))
    parser.add_argument("--pairs", type=int, help="of each group and seed at most")
    parser.add_argument("--show-misses", action="store_true", help="tell what was missed and what was made up")
    parser.add_argument("--save", type=Path, metavar="DIR", help="both files of every pair that isn't all right")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)
    seeds = [int(seed) for seed in options.seeds.split(",")]
    settings = Settings.model_validate({"preprocessing": {"text_reader": options.engine}})
    names = groups(options.groups)
    pairs = itertools.chain.from_iterable(wording.drawn(seed, names, options.pairs) for seed in seeds)
    all_told = asyncio.run(run(settings, pairs, tells=options.show_misses, folder=options.save))
    report(all_told, seeds, options.engine)


def groups(text: str) -> list[str]:
    """Raises SystemExit for a name that there isn't."""
    named = {"": wording.GROUP_NAMES, "ordinary": wording.ORDINARY, "hard": wording.HARD}
    found = [name for part in text.split(",") for name in named.get(part, (part,))]
    unknown = set(found) - set(wording.GROUP_NAMES)
    if unknown:
        raise SystemExit(f"no such group: {', '.join(sorted(unknown))}; there are {', '.join(wording.GROUP_NAMES)}")
    return found


def report(all_told: Sequence[Told], seeds: Sequence[int], engine: str) -> None:
    rows = table(all_told)
    statuses = dict(Counter(told.status for told in all_told))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    names = [face.name for chinese in (False, True) for face in faces(chinese=chinese)]
    print(f"seeds {seeds}, engine {engine}, {os.cpu_count()} cores, {platform.machine()}, {date.today().isoformat()}")
    print(f"typefaces: {', '.join(names)}{'' if has_chinese() else '; none with Chinese: fewer pairs'}")
    print(f"statuses: {statuses}; peak of the process {peak:.0f} MB, the drawing included\n")
    print(f"| {' | '.join(HEADS)} |")
    print("|" + "---|" * len(HEADS))
    for row in rows:
        print(f"| {' | '.join(row.cells())} |")
    values = [row.values() for row in rows]
    print(json.dumps({"seeds": seeds, "engine": engine, "statuses": statuses, "peak_mb": round(peak), "rows": values}))


if __name__ == "__main__":
    main()
