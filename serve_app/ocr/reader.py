"""The two networks of this process: loaded when the first text is looked for, one call at a time.
Knows no pairs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from serve_app.core.clock import Stop
from serve_app.core.pictures import Pixels
from serve_app.ocr import model_files, network
from serve_app.ocr.detection import find_lines
from serve_app.ocr.network import Network, Runtime
from serve_app.ocr.quads import Quad
from serve_app.ocr.recognition import AT_ONCE, Read, read_lines

# Both networks and their largest calls: 290 MiB with OpenCV, 323 with onnxruntime (benchmarks/results/text.md).
WORKING_BYTES: Final = 350 * 2**20


class Reads(Protocol):
    """What can find and read lines of text."""

    @property
    def engine(self) -> str: ...

    @property
    def model(self) -> str: ...

    def find_lines(self, pixels: Pixels, scale: int = 1) -> list[Quad]:
        """See `detection.find_lines`."""
        ...

    def read_lines(self, strips: Sequence[Pixels]) -> list[Read]:
        """See `recognition.read_lines`."""
        ...


class OutOfTime(Exception):
    """Whoever asked has no more time for it."""


class Timed:
    """A reader until `stop`: asked between calls, of half a second at most, since no network can be interrupted."""

    def __init__(self, reader: Reads, stop: Stop) -> None:
        self._reader = reader
        self._stop = stop

    @property
    def engine(self) -> str:
        return self._reader.engine

    @property
    def model(self) -> str:
        return self._reader.model

    def check(self) -> None:
        """Raises `OutOfTime`."""
        if self._stop.reason is not None:
            raise OutOfTime

    def find_lines(self, pixels: Pixels, scale: int = 1) -> list[Quad]:
        """Raises `OutOfTime`."""
        self.check()
        return self._reader.find_lines(pixels, scale)

    def read_lines(self, strips: Sequence[Pixels]) -> list[Read]:
        """Raises `OutOfTime`."""
        found: list[Read] = []
        for start in range(0, len(strips), AT_ONCE):
            self.check()
            found += self._reader.read_lines(strips[start : start + AT_ONCE])
        return found


@dataclass(frozen=True, slots=True)
class _Loaded:
    detection: Network
    recognition: Network
    symbols: tuple[str, ...]


class Reader:
    """For all threads of this process: a network keeps its buffers, and is for one thread at a time."""

    def __init__(self, files: model_files.ModelFiles, runtime: Runtime) -> None:
        self._files = files
        self._runtime = runtime
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    @property
    def engine(self) -> str:
        return self._runtime

    @property
    def model(self) -> str:
        return model_files.MODEL

    def find_lines(self, pixels: Pixels, scale: int = 1) -> list[Quad]:
        with self._lock:
            return find_lines(self._networks().detection, pixels, scale)

    def read_lines(self, strips: Sequence[Pixels]) -> list[Read]:
        with self._lock:
            networks = self._networks()
            return read_lines(networks.recognition, networks.symbols, strips)

    def _networks(self) -> _Loaded:
        """Raises `ModelFilesWrong`."""
        if self._loaded is None:
            recognition = model_files.checked(self._files.recognition)
            detection = model_files.checked(self._files.detection)
            self._loaded = _Loaded(
                network.load(detection, self._runtime),
                network.load(recognition, self._runtime),
                model_files.symbols(recognition),
            )
        return self._loaded


def installed(choice: Literal["auto", "opencv", "onnxruntime", "none"] = "auto") -> Reader | None:
    """A reader by what is installed, `auto` by the faster library where both are; None without the networks' files."""
    files = model_files.find()
    if files is None or choice == "none":
        return None
    return Reader(files, network.fastest() if choice == "auto" else choice)
