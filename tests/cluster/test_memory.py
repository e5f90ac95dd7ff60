"""What large pictures take of a worker's memory on a real Ray, and whether it comes back."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image

from serve_app.settings import MIB, PreprocessingSettings, Settings
from tests.cluster.conftest import Deploy
from tests.cluster.replicas import held_bytes
from tests.cluster.test_service import A, compare
from tests.cluster.waiting import eventually
from tests.worlds.samples import encoded

# Beside what is predicted of the pairs in work: the pages of Python and its libraries that large work touches.
OVER_BUDGET_BYTES: Final = 350 * MIB
KEPT_BYTES: Final = 150 * MIB


def waves(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Something to decode and to measure that is small as a file."""
    rows = np.arange(height, dtype=np.uint16)[:, None] // 16 * 40 + np.arange(width, dtype=np.uint16) // 16 * 24
    return Image.fromarray((rows % 256).astype(np.uint8)).convert(mode)


# A glance at each kind of allocation: Pillow's blocks, a decoder's own, numpy's; drafted, whole, with alpha.
LARGE: Final[dict[str, Callable[[], bytes]]] = {
    "PNG": lambda: encoded(waves(7000, 5300), compress_level=1),
    "RGBA": lambda: encoded(waves(6000, 4000, "RGBA"), compress_level=1),
    "progressive": lambda: encoded(waves(5000, 4000), "JPEG", progressive=True),
    "JPEG": lambda: encoded(waves(9000, 8000), "JPEG"),
    "flat": lambda: encoded(Image.new("RGB", (11_000, 11_000), "red")),
}


def test_memory_comes_back_after_any_mix_of_large_pictures(deploy: Deploy) -> None:
    pictures = [make() for make in LARGE.values()]
    pairs = [*itertools.pairwise(pictures), *itertools.pairwise(reversed(pictures))]
    with deploy(Settings()) as url:
        compare(url, second=A)
        before = sum(held_bytes(url, "Preprocessor").values())
        most = [before]
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.1):
                most[0] = max(most[0], *held_bytes(url, "Preprocessor").values())

        def send(some: list[tuple[bytes, bytes]]) -> None:
            codes.extend(compare(url, first=first, second=second).status_code for first, second in some)

        codes: list[int] = []
        watching = threading.Thread(target=watch)
        watching.start()
        sending = [threading.Thread(target=send, args=(pairs[start::2],)) for start in range(2)]
        for thread in sending:
            thread.start()
        for thread in sending:
            thread.join()
        done.set()
        watching.join()
        assert set(codes) <= {200, 422}, codes  # 422: more than this service gives one pair
        assert codes.count(200) >= len(pairs) / 2
        assert most[0] <= PreprocessingSettings().memory_budget_bytes + OVER_BUDGET_BYTES
        eventually(lambda: sum(held_bytes(url, "Preprocessor").values()) <= before + KEPT_BYTES, within_s=10)
