"""One token for every row as a function of fixed shapes, compiled, and on a GPU recorded and replayed.
No questions, no text: it continues the rows of a `Suffixes` and gives logits, or None where the plain pass must do.

A plain decode step of a large model is some thousand kernels, each started by Python. Here prefix, suffixes and inputs
lie in buffers that stay where they are, so a step can be recorded once per shape as a CUDA graph and replayed with
one call. `torch.compile` joins the kernels between the matrix products of a layer, once for all layers that are alike;
rows and lengths are symbols to it, so one compilation serves every shape. The graphs are recorded here and not by
`mode="reduce-overhead"`, whose trees are bound to the thread that first used them, and which copies inputs it does not
know to stay.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers.cache_utils import Cache

from serve_app.core.clock import Stop
from serve_app.settings import ModelSettings
from serve_app.vlm.local import free_memory, transfer
from serve_app.vlm.local.decoding import attention
from serve_app.vlm.local.decoding.buffers import Buffers, Layer, Shape, num_bytes
from serve_app.vlm.local.decoding.layerwise import Layers, StepLayer
from serve_app.vlm.local.decoding.suffixes import Suffixes, SuffixLayer

logger = logging.getLogger("pairlens.vlm")
Run = Callable[[], torch.Tensor]
_ROWS = (2, 4, 8, 12, 16, 24, 32, 48)  # never 1, which a compiler takes for a constant
_MOST_TOKENS = 16384  # of a prefix
_MOST_ROOM = 1024  # columns of the suffixes
_SHARE_OF_FREE = 0.25  # buffers larger than this are not made: what the memory plan counts on stays free
_MOST_RECORDED = 96  # graphs kept; the one that was replayed longest ago goes


class Step:
    """Steps of one model.

    `is_unproven` after a step: it was the first of its shape, and its logits wait for `compare` with a plain pass's.
    """

    def __init__(
        self,
        model: Any,
        *,
        backend: str | Callable[..., Any] = "inductor",
        record: Callable[[Run], Run] | None = None,
        free_bytes: Callable[[torch.device], int] = free_memory.free_bytes,
    ) -> None:
        """`record`: makes of a run one that does the same on the same memory; None: a CUDA graph, on a GPU."""
        self._model = model
        self._device = torch.device(model.device)
        self._record = record
        self._free_bytes = free_bytes
        # Without a C compiler in the image the second way remains, which is still recorded.
        self._ways: list[Callable[[], AbstractContextManager[None]]] = [Layers(model, backend).compiled, nullcontext]
        self._buffers: Buffers | None = None
        self._runs: OrderedDict[Shape, Run] = OrderedDict()
        self._pool: Any = None  # of the graphs' memory; one for all, because only one's result is wanted at a time
        self._rows = 0  # of the last step
        self._inside: weakref.ref[Suffixes] | None = None  # whose suffixes lie in the buffers now
        self.stop: Stop | None = None  # looked at before each step: nothing can be in the middle of one
        self.is_unproven = False
        self.is_at_work = False  # nothing can be stopped in the middle of a step

    @property
    def num_recorded(self) -> int:
        """Shapes whose steps are replayed."""
        return len(self._runs)

    @property
    def is_on(self) -> bool:
        return bool(self._ways)

    @property
    def is_fused(self) -> bool:
        """Whether the compiler's way still holds, not only the recording."""
        return len(self._ways) > 1

    def clear(self) -> None:
        """Give the buffers and recordings back; the next step makes new ones."""
        self._move_out()
        self._buffers, self._inside, self._pool = None, None, None
        self._runs.clear()

    def take(
        self, suffixes: Suffixes, tokens: Sequence[int], numbers: Sequence[int], *, ahead: int, has_axes: bool
    ) -> torch.Tensor | None:
        """Append one token to each row; logits after them (rows, vocabulary) float32, good until the next step.

        `numbers`: of each token in its row. The suffixes' layout is not told: a plain pass may do the same step again.
        """
        if self.stop is not None:
            self.stop.check()
        while self.is_on:
            self.is_at_work = True
            try:
                return self._take(suffixes, tokens, numbers, ahead, has_axes)
            except Exception as exc:  # noqa: BLE001 - compilers, drivers: the plain pass remains and raises what is real
                self._fail(type(exc).__name__)
            finally:
                self.is_at_work = False
        return None

    def compare(self, logits: torch.Tensor, plain: torch.Tensor) -> None:
        """Turns itself off where its logits are not those of the plain pass."""
        self.is_unproven = False
        # As wide as the rounding of half precision, far narrower than one token seen or missed.
        if not torch.allclose(logits, plain, rtol=0.05, atol=0.05 * float(plain.abs().max())):
            self._fail("its answers differ")

    def _take(
        self, suffixes: Suffixes, tokens: Sequence[int], numbers: Sequence[int], ahead: int, has_axes: bool
    ) -> torch.Tensor | None:
        shape = _shape(suffixes, self._rows_of(suffixes))
        if shape is None or not self._has_room(suffixes, shape):
            return None
        buffers = self._enter(suffixes, shape, ahead)
        idle = shape.rows - len(tokens)
        column = [suffixes.layout.columns] * shape.rows
        fed = transfer.staged([[*tokens, *[0] * idle], [*numbers, *[-1] * idle], column], self._device)
        buffers.inputs[:, : shape.rows].copy_(fed, non_blocking=True)
        self.is_unproven = shape not in self._runs
        if self.is_unproven:
            self._runs[shape] = self._made(buffers.arguments(shape), has_axes)
        self._runs.move_to_end(shape)
        self._rows = shape.rows
        return self._runs[shape]()[: len(tokens)]

    def _rows_of(self, suffixes: Suffixes) -> int:
        """Rows of the last step, if these took it and more than half of them are left: another shape is a recording."""
        is_inside = self._inside is not None and self._inside() is suffixes
        return self._rows if is_inside and 2 * len(suffixes.layout.places) > self._rows else 0

    def _made(self, arguments: tuple[Any, ...], has_axes: bool) -> Run:
        way, model = self._ways[0], self._model

        def run() -> torch.Tensor:
            with attention.shared(model), way():
                return _step(model, has_axes, *arguments)

        while len(self._runs) >= _MOST_RECORDED:
            self._runs.popitem(last=False)
        if self._record is not None:
            return self._record(run)
        if self._device.type != "cuda":
            return run
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        return _recorded(run, self._pool)

    def _has_room(self, suffixes: Suffixes, shape: Shape) -> bool:
        if self._buffers is not None and self._buffers.capacity.holds(shape):
            return True
        more = sum(num_bytes(layer, shape) for layer in suffixes.layers)
        return more < _SHARE_OF_FREE * self._free_bytes(self._device)

    def _enter(self, suffixes: Suffixes, shape: Shape, ahead: int) -> Buffers:
        """Have these rows' suffixes in the buffers: from now on a plain pass writes there as well."""
        buffers = self._buffers
        if buffers is None or not buffers.capacity.holds(shape):
            capacity = shape if buffers is None else buffers.capacity.joined(shape)
            self.clear()
            buffers = None
            buffers = self._buffers = Buffers(suffixes.layers, capacity, self._device)
        if self._inside is None or self._inside() is not suffixes:
            self._move_out()
            buffers.begin(suffixes, ahead)
            self._inside = weakref.ref(suffixes)
            suffixes.layout.is_placed = False
        if not suffixes.layout.is_placed or suffixes.layout.room != shape.room:
            room = shape.room
            places = [(layer.keys[:, :, :room], layer.values[:, :, :room]) for layer in buffers.layers]
            suffixes.place(buffers.index[:, :room], places)
        return buffers

    def _move_out(self) -> None:
        suffixes = self._inside() if self._inside else None
        if suffixes is not None and suffixes.layout.is_placed:
            suffixes.move_out()

    def _fail(self, problem: str) -> None:
        is_last = len(self._ways) == 1 or problem == "its answers differ"
        logger.warning("%s: %s", "decode steps are not compiled" if is_last else "decode steps are not fused", problem)
        self._ways = [] if is_last else self._ways[1:]
        self.clear()


def step_for(model: Any, settings: ModelSettings) -> Step | None:
    """None where steps are not to be compiled, or the model is not on a GPU: there nothing is won."""
    if settings.compile != "auto" or torch.device(model.device).type != "cuda":
        return None
    if settings.compile_cache is not None:
        # Read by torch before it first compiles something, for its own code and for Triton's.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(settings.compile_cache).expanduser())
        os.environ["TORCHINDUCTOR_FX_GRAPH_CACHE"] = "1"
    return Step(model)


def _step(
    model: Any,
    has_axes: bool,
    inputs: torch.Tensor,
    ahead: torch.Tensor,
    index: torch.Tensor,
    numbers: dict[int | None, torch.Tensor],
    windows: Sequence[int | None],
    layers: Sequence[Layer],
) -> torch.Tensor:
    """See `Buffers` for the arguments; all that differs between steps of a shape is in tensors."""
    queries, column = inputs[1][:, None], inputs[2, :1]
    index.index_copy_(1, column, queries)
    earlier = (index >= 0) & (index <= queries)
    prefixes, suffixes = {}, {}
    for window, numbered in numbers.items():
        begun = numbered[None] <= queries
        prefixes[window] = (begun if window is None else begun & (numbered[None] > queries - window))[:, None]
        suffixes[window] = (earlier if window is None else earlier & (index > queries - window))[:, None]
    cache = Cache(
        layers=[
            StepLayer(layer, column, prefixes[window], suffixes[window], window)
            for window, layer in zip(windows, layers, strict=True)
        ]
    )
    positions = (queries + ahead).clamp(min=0)
    output = model(
        input_ids=inputs[0][:, None],
        position_ids=positions[None].expand(3, -1, -1) if has_axes else positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    logits: torch.Tensor = output.logits[:, -1].float()
    return logits


def _recorded(run: Run, pool: Any) -> Run:
    """`run` as a CUDA graph. It is run twice before: compilers and libraries prepare themselves then.

    A step that is run again writes the same keys to the same column, so that changes nothing.
    """
    beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        run()
        run()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
        logits = run()

    def replay() -> torch.Tensor:
        graph.replay()
        return logits

    return replay


def _shape(suffixes: Suffixes, rows: int) -> Shape | None:
    """The smallest shape for these rows and one more column; None where there is none. `rows`: as many, if not 0."""
    layout = suffixes.layout
    rows = rows or next((rows for rows in _ROWS if rows >= len(layout.places)), 0)
    needed = layout.columns + 1
    if not rows or len(set(layout.places)) > 1 or layout.length > _MOST_TOKENS or needed > _MOST_ROOM:
        return None
    if not all(isinstance(layer, SuffixLayer) and layer.keys is not None for layer in suffixes.layers):
        return None
    # Two sizes an octave. The suffixes' never equal one of these: equal sizes are one symbol to the compiler.
    step = max(256, 1 << max(0, (layout.length - 1).bit_length() - 2))
    return Shape(rows, -(-layout.length // step) * step, -(-needed // 256) * 256 + 64)
