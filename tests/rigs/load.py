"""Callers of a running service: drawn pairs, sent without pause by a number of callers, and what each one got.
Knows no Ray: a URL is enough. It stops by itself, at the latest when its `with` block ends."""

from __future__ import annotations

import io
import itertools
import json
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
from PIL import Image, ImageDraw

NO_ANSWER: Final = 0  # the connection failed or the caller's patience ended


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request got; times in seconds of `time.monotonic`."""

    sent: float
    took_s: float
    status: int
    kind: str | None
    retry_after: str | None

    @property
    def failed_badly(self) -> bool:
        """Neither a report nor a refusal that says when to come again."""
        return self.status != 200 and not (self.status == 503 and self.retry_after)


@dataclass(slots=True)
class Load:
    """Callers at work; `answers` grows until `stop` is set."""

    url: str
    config: dict[str, Any]
    pairs: Sequence[tuple[bytes, bytes]]
    patience_s: float
    answers: list[Answer] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    sending: int = 0  # requests on their way
    pause_s: float = 0.0

    def call(self, seed: int) -> None:
        """One caller: the next request as soon as the last is answered; a refusal is waited out."""
        chosen = random.Random(seed)
        with httpx2.Client(timeout=self.patience_s, trust_env=False) as client:
            while not self.stop.is_set():
                answer = self.ask(client, chosen.choice(self.pairs))
                self.answers.append(answer)
                if answer.status != 200:
                    self.stop.wait(min(1.0, float(answer.retry_after or 0.2)))
                elif self.pause_s:
                    self.stop.wait(self.pause_s)

    def ask(self, client: httpx2.Client, pair: tuple[bytes, bytes]) -> Answer:
        sent = time.monotonic()
        files = [("files", ("a.png", pair[0])), ("files", ("b.png", pair[1]))]
        try:
            response = client.post(
                f"{self.url}/v1/compare",
                files=files,
                data={"config": json.dumps(self.config)},
                headers={"cache-control": "no-store"},  # work is to be done, the same pairs over and over
                timeout=self.patience_s,
            )
        except httpx2.TransportError as exc:
            return Answer(sent, time.monotonic() - sent, NO_ANSWER, type(exc).__name__, None)
        return Answer(
            sent, time.monotonic() - sent, response.status_code, _kind(response), response.headers.get("retry-after")
        )

    def since(self, moment: float) -> list[Answer]:
        return [answer for answer in list(self.answers) if answer.sent >= moment]


@contextmanager
def callers(
    url: str, number: int, *, config: dict[str, Any] | None = None, patience_s: float = 60.0, pause_s: float = 0.0
) -> Iterator[Load]:
    """`number` callers at work for as long as the block is open; at its end each waits for its last answer."""
    # Reading text is work for the CPUs: on two of them it, and not the model, would be what callers wait for.
    asked = {"read_text": False, **(config or {})}
    load = Load(url, asked, pairs(8), patience_s, pause_s=pause_s)
    threads = [threading.Thread(target=load.call, args=(seed,), daemon=True) for seed in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.stop.set()
        for thread in threads:
            thread.join(patience_s + 5)


def pairs(number: int, size: tuple[int, int] = (160, 120)) -> list[tuple[bytes, bytes]]:
    """Different pairs of small PNGs; the two of a pair differ in one square."""
    return [(_drawn(size, seed, None), _drawn(size, seed, "red")) for seed in range(number)]


def _drawn(size: tuple[int, int], seed: int, square: str | None) -> bytes:
    chosen = random.Random(seed)
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = chosen.randrange(size[0] - 20), chosen.randrange(size[1] - 10)
        draw.rectangle(
            (x, y, x + chosen.randrange(8, 40), y + 8), fill=chosen.choice(("navy", "teal", "grey", "black"))
        )
    if square is not None:
        draw.rectangle((size[0] // 2, size[1] // 2, size[0] // 2 + 24, size[1] // 2 + 24), fill=square)
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    return encoded.getvalue()


def outcomes(answers: Sequence[Answer]) -> dict[str, int]:
    """How many got what: "200", "503 overloaded", "ReadError" and the like."""
    named = (f"{each.status or ''} {each.kind or ''}".strip() for each in answers)
    return dict(Counter(named).most_common())


def percentile(answers: Sequence[Answer], share: float) -> float:
    """Seconds under which `share` of the good answers stayed; 0.0 without any."""
    good = sorted(each.took_s for each in answers if each.status == 200)
    if len(good) < 2:
        return good[0] if good else 0.0
    return statistics.quantiles(good, n=1000, method="inclusive")[min(998, int(share * 1000) - 1)]


def longest_gap(answers: Sequence[Answer], begin: float, end: float) -> float:
    """The longest time between `begin` and `end` in which nobody got a report, in seconds."""
    moments = sorted(each.sent + each.took_s for each in answers if each.status == 200)
    marks = [begin, *(each for each in moments if begin < each < end), end]
    return max(later - earlier for earlier, later in itertools.pairwise(marks))


def _kind(response: httpx2.Response) -> str | None:
    if response.status_code == 200:
        return None
    try:
        kind = response.json()["error"]["type"]
    except (ValueError, KeyError, TypeError):
        return f"raw: {response.text[:40]!r}"
    return str(kind)
