"""A network that takes a batch of pictures to numbers, run by whichever library is there.
Knows nothing of text."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float32]
Runtime = Literal["opencv", "onnxruntime"]
SIDES: Final = 32  # pixels: sides are multiples of it, or OpenCV can't join the layers of the detection


class Network(Protocol):
    """One thread at a time."""

    def __call__(self, batch: Numbers) -> Numbers:
        """`batch`: (pictures, 3, height, width), blue first, -1..1."""
        ...


def fastest() -> Runtime:
    """onnxruntime takes half of OpenCV's time, and says the same."""
    return "onnxruntime" if find_spec("onnxruntime") is not None else "opencv"


def load(content: bytes, runtime: Runtime) -> Network:
    """From an ONNX file's content."""
    return _OnnxRuntime(content) if runtime == "onnxruntime" else _OpenCV(content)


class _OpenCV:
    def __init__(self, content: bytes) -> None:
        cv2.setNumThreads(1)  # pairs run side by side already
        self._net = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8), cv2.dnn.ENGINE_NEW)

    def __call__(self, batch: Numbers) -> Numbers:
        self._net.setInput(batch)
        return np.asarray(self._net.forward(), np.float32)


class _OnnxRuntime:
    def __init__(self, content: bytes) -> None:
        import onnxruntime  # optional, and half a second

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # an arena keeps the most that it ever held
        options.log_severity_level = 3  # its warnings go to a terminal that isn't its own
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, batch: Numbers) -> Numbers:
        return np.asarray(self._session.run(None, {self._input: batch})[0], np.float32)
