"""The CPU stage of a conversation: uploads in, what the model is shown of them out.
No HTTP, no Ray, no model: headers first, then each picture decoded inside the memory budget of this process.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, cast

from serve_app import imaging
from serve_app.comparison.budget import MemoryBudget
from serve_app.core.clock import Deadline, Stop
from serve_app.core.pictures import ShownImage, Upload
from serve_app.errors import ComparisonError, ImageRole, ImageTooLarge
from serve_app.imaging.shown import fitted
from serve_app.settings import MIB, Limits

# Of the JPEG that goes to the model stage: no sharper than most that come in, and a tenth of the pixels' bytes.
_QUALITY: Final = 95
# Pixels go there as they are where they are few: packing and unpacking would take longer than their way.
_AS_THEY_ARE: Final = 100
_FEW_BYTES: Final = 1 * MIB
_ORDINALS: Final = {1: "1st", 2: "2nd", 3: "3rd"}


@dataclass(frozen=True, slots=True)
class Sent:
    """One picture of a conversation. `max_side`: of the longer side in pixels, as shown."""

    upload: Upload
    max_side: int


@dataclass(frozen=True, slots=True)
class _Planned:
    """`reserved_bytes`: what decoding it will take at most, by its header."""

    header: imaging.Header
    reserved_bytes: int


class Pictures:
    """Decodes as many at once as the budget holds and there are threads. `budget`: shared with comparisons."""

    def __init__(self, limits: Limits, budget: MemoryBudget, threads: int) -> None:
        self._limits = limits
        self._budget = budget
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="shown")

    async def show(self, sent: tuple[Sent, ...], deadline: Deadline) -> tuple[ShownImage, ...]:
        """In their order. Every header is looked at before any picture is decoded.

        Raises `ImageRejected` and its kinds, which count the pictures from the first, and `DeadlineExceeded`; a thread
        then ends after the picture it is at, and only then gives its memory back.
        """
        loop, stop = asyncio.get_running_loop(), Stop(deadline)
        try:
            planned = await loop.run_in_executor(None, self._planned_all, sent)
            works = [self._shown(number, *one, stop) for number, one in enumerate(zip(sent, planned, strict=True), 1)]
            tasks = [asyncio.ensure_future(work) for work in works]
            try:
                return tuple(await asyncio.gather(*tasks))
            finally:
                for task in tasks:
                    task.cancel()
        except ComparisonError as refusal:
            raise refusal.bare() from None  # its frames hold pixels
        finally:
            stop.cancel()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _planned_all(self, sent: tuple[Sent, ...]) -> list[_Planned]:
        return [self._planned(number, one) for number, one in enumerate(sent, 1)]

    def _planned(self, number: int, sent: Sent) -> _Planned:
        header = imaging.inspect(sent.upload, self._limits, _named(number))
        small = fitted(header.width, header.height, (sent.max_side, sent.max_side))
        scale = max(1.0, header.width / small[0], header.height / small[1])
        imaging.check_decodable(header, scale, self._limits, _named(number))
        needed = imaging.predicted_bytes(header, scale, small)
        if needed > self._budget.total_bytes:
            raise ImageTooLarge(
                f"Decoding the {_named(number)} image needs about {needed // MIB} MiB of memory; "
                f"this service has {self._budget.total_bytes // MIB} MiB for it."
            )
        return _Planned(header, needed)

    async def _shown(self, number: int, sent: Sent, planned: _Planned, stop: Stop) -> ShownImage:
        await self._budget.reserve(planned.reserved_bytes, stop.deadline)
        loop = asyncio.get_running_loop()
        job = loop.run_in_executor(self._threads, self._decoded, number, sent, planned, stop)
        job.add_done_callback(lambda done: self._finish(done, planned.reserved_bytes))
        try:
            async with asyncio.timeout(stop.deadline.remaining_s):
                return await asyncio.shield(job)
        except TimeoutError:
            raise stop.deadline.exceeded() from None

    def _decoded(self, number: int, sent: Sent, planned: _Planned, stop: Stop) -> ShownImage:
        stop.check()
        header, side = planned.header, sent.max_side
        width, height = fitted(header.width, header.height, (side, side))
        # Nothing is measured: of the raster beside the shown copy one pixel is made, or both are one.
        scale = 1.0 if (width, height) == (header.width, header.height) else float(max(header.width, header.height))
        quality = _AS_THEY_ARE if 3 * width * height <= _FEW_BYTES else _QUALITY
        spec = imaging.ShownSpec((side, side), quality)
        made = imaging.prepare(sent.upload, header, _named(number), scale=scale, masks=(), shown=spec).shown
        assert made is not None  # the spec asks for it
        return made

    def _finish(self, job: asyncio.Future[ShownImage], reserved_bytes: int) -> None:
        self._budget.release(reserved_bytes)
        if job.cancelled():
            return
        error = job.exception()  # marks it retrieved: an abandoned picture's error has no reader
        if isinstance(error, ComparisonError):
            error.bare()


def _named(number: int) -> ImageRole:
    """What sentences of `imaging` call it: "The 3rd image is empty." A conversation's pictures have no roles."""
    return cast(ImageRole, _ORDINALS.get(number, f"{number}th"))
