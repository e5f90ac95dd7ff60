"""What a comparison costs the host, by part: the CPU time of each thread inside the functions that do that part.
No model's kernels, no waiting for a device: what isn't one of the parts isn't counted.

A part is found by the names of its functions, each told once, in `PARTS`. Who renames one renames it here:
tests/test_benchmarks.py goes red otherwise.
"""

from __future__ import annotations

import functools
import importlib
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch

_VLM = "serve_app.vlm.local"
# What is called inside another part belongs to that one.
PARTS: Mapping[str, tuple[str, ...]] = {
    "memory plan": (f"{_VLM}.planning.plan:Planner.decide",),
    "questions to tokens": (f"{_VLM}.pretrained:PretrainedModel._rows", f"{_VLM}.pretrained:PretrainedModel.prompt"),
    "pictures decoded": (f"{_VLM}.picture_bytes:opened",),
    "pictures to tensors": (f"{_VLM}.vision:VisionEncoder._alone", f"{_VLM}.vision:VisionEncoder._sent"),
    "prompt put together": (f"{_VLM}.vision:VisionEncoder.composed", f"{_VLM}.vision:content_key"),
    "labels": (f"{_VLM}.asking:Asking._read_labels", f"{_VLM}.asking:Asking._openings"),
    "masks": (f"{_VLM}.grammar:JsonText.masks", f"{_VLM}.grammar:JsonText.begin", f"{_VLM}.grammar:Writing.accept"),
    "recordings": (f"{_VLM}.decoding.compiled:Step._made",),
    "transfers": (f"{_VLM}.transfer:sent", f"{_VLM}.transfer:staged"),
}


@dataclass
class Watch:
    """`own_s`: CPU seconds by part, of the thread that answers; `beside_s`: of all others. `calls`: by part."""

    own_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    beside_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: Counter[str] = field(default_factory=Counter)
    _inside: threading.local = field(default_factory=threading.local)

    @property
    def total_s(self) -> float:
        """Of the thread that answers."""
        return sum(self.own_s.values())

    def watched(self, part: str, work: Callable[..., Any], answering: int) -> Callable[..., Any]:
        @functools.wraps(work)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if getattr(self._inside, "part", None):
                return work(*args, **kwargs)
            # A thread that waits for a GPU spins: what was begun before isn't this part's.
            if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
                torch.cuda.synchronize()
            self._inside.part = part
            started = time.thread_time()
            try:
                return work(*args, **kwargs)
            finally:
                taken = self.own_s if threading.get_ident() == answering else self.beside_s
                taken[part] += time.thread_time() - started
                self.calls[part] += 1
                self._inside.part = None

        return timed


@contextmanager
def watching() -> Iterator[Watch]:
    """Inside it the parts are timed; the thread that enters is the one that answers. Raises AttributeError or
    ModuleNotFoundError where a function of a part is not there."""
    watch = Watch()
    answering = threading.get_ident()
    patches = []
    for part, seams in PARTS.items():
        for seam in seams:
            owner, name = found(seam)
            plain = owner.__dict__[name]
            patches.append(patch.object(owner, name, watch.watched(part, plain, answering)))
    with _all(patches):
        yield watch


def found(seam: str) -> tuple[Any, str]:
    """The module or class that holds a part's function, and its name there."""
    module, _, path = seam.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for one in owners:
        owner = getattr(owner, one)
    getattr(owner, name)
    return owner, name


@contextmanager
def _all(patches: list[Any]) -> Iterator[None]:
    started = []
    try:
        for one in patches:
            one.start()
            started.append(one)
        yield
    finally:
        for one in reversed(started):
            one.stop()
