"""One token for every row as a function of fixed shapes, compiled, and on a GPU recorded and replayed.
No questions, no text: it continues the rows of a `Tails` and gives logits, or None where the plain pass must do.

A plain decode step of a large model is some thousand kernels, each started by Python. Here prefix, tails and inputs
lie in buffers that stay where they are, so a step can be recorded once per shape as a CUDA graph and replayed with
one call. `torch.compile` joins the kernels between the matrix products; rows and lengths are symbols to it, so one
compilation serves every shape. The graphs are recorded here and not by `mode="reduce-overhead"`, whose trees are bound
to the thread that first used them, and which copies inputs it does not know to stay.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from serve_app.core.clock import Stop
from serve_app.settings import ModelSettings
from serve_app.vlm.local import free_memory, transfer
from serve_app.vlm.local.decoding import attention
from serve_app.vlm.local.decoding.attention import Group, Halves
from serve_app.vlm.local.decoding.suffixes import TailLayer, Tails

logger = logging.getLogger("pairlens.vlm")
Run = Callable[[], torch.Tensor]
_ROWS = (2, 4, 8, 12, 16, 24, 32, 48)  # never 1, which a compiler takes for a constant
_MOST_TOKENS = 16384  # of a prefix
_MOST_ROOM = 1024  # columns of the tails
_SPARE = 64  # columns of each buffer that no view reaches: a view that fills its buffer is another case to compilers
_NO_TOKEN = 1 << 40  # number of a column behind the prefix's end: no token has seen so many
_SHARE_OF_FREE = 0.25  # buffers larger than this are not made: what the memory plan counts on stays free
_MOST_RECORDED = 32  # graphs kept; when there are more, all are recorded anew


class Shape(NamedTuple):
    """What decides a recording: rows, columns of the full layers' prefix, columns of the tails."""

    rows: int
    tokens: int
    room: int

    def holds(self, other: Shape) -> bool:
        return all(mine >= its for mine, its in zip(self, other, strict=True))

    def joined(self, other: Shape) -> Shape:
        return Shape(*(max(mine, its) for mine, its in zip(self, other, strict=True)))


class Layer(NamedTuple):
    """Buffers of one layer; the prefix's are (1, key-value heads, tokens, size), the tails' (rows, ..., room, size)."""

    beginning_keys: torch.Tensor
    beginning_values: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor


class Buffers:
    """Everything a step reads and writes, for shapes up to `capacity`."""

    def __init__(self, tails: Sequence[TailLayer], capacity: Shape, device: torch.device) -> None:
        self.capacity = capacity
        self.windows = [layer.window for layer in tails]
        self.layers = [_layer(layer, capacity) for layer in tails]
        # Token, its number in its row (-1: an idle row), the column it goes to (the same for all).
        self.inputs = torch.zeros(3, capacity.rows + _SPARE, dtype=torch.long, device=device)
        self.index = torch.full((capacity.rows, capacity.room + _SPARE), -1, dtype=torch.long, device=device)
        self.numbers = {
            window: torch.full((_columns(window, capacity.tokens),), _NO_TOKEN, dtype=torch.long, device=device)
            for window in set(self.windows)
        }
        self.ahead = torch.zeros(1, dtype=torch.long, device=device)

    def begin(self, tails: Tails, ahead: int) -> None:
        """Copy the prefix in. Columns behind its end keep old keys and are not seen."""
        place, length = tails.board.places[0], tails.board.length
        self.ahead.fill_(ahead)
        for window, layer, mine in zip(self.windows, tails.layers, self.layers, strict=True):
            keys, values = layer.beginning
            held = keys.shape[2]
            mine.beginning_keys[0, :, :held] = keys[place]
            mine.beginning_values[0, :, :held] = values[place]
            self.numbers[window].fill_(_NO_TOKEN)
            self.numbers[window][:held] = torch.arange(length - held, length, device=keys.device)

    def arguments(self, shape: Shape) -> tuple[Any, ...]:
        """Views of that shape, as `_step` takes them; sizes that differ from call to call are told to the compiler."""
        layers = [
            Layer(
                layer.beginning_keys[:, :, : _columns(window, shape.tokens)],
                layer.beginning_values[:, :, : _columns(window, shape.tokens)],
                layer.keys[: shape.rows, :, : shape.room],
                layer.values[: shape.rows, :, : shape.room],
            )
            for window, layer in zip(self.windows, self.layers, strict=True)
        ]
        numbers = {window: one[: _columns(window, shape.tokens)] for window, one in self.numbers.items()}
        inputs, index = self.inputs[:, : shape.rows], self.index[: shape.rows, : shape.room]
        _vary(inputs, 1)
        _vary(index, 0, 1)
        for window, layer in zip(self.windows, layers, strict=True):
            for one in (layer.keys, layer.values):
                _vary(one, 0, 2)
            if not window:
                _vary(layer.beginning_keys, 2)
                _vary(layer.beginning_values, 2)
        if None in numbers:
            _vary(numbers[None], 0)
        return inputs, self.ahead, index, numbers, self.windows, layers


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
        self._ways: list[Callable[..., torch.Tensor]] = [torch.compile(_step, backend=backend, fullgraph=True), _step]
        self._buffers: Buffers | None = None
        self._runs: dict[Shape, Run] = {}
        self._pool: Any = None  # of the graphs' memory; one for all, because only one's result is wanted at a time
        self._inside: weakref.ref[Tails] | None = None  # whose tails lie in the buffers now
        self.stop: Stop | None = None  # looked at before each step: nothing can be in the middle of one
        self.is_unproven = False

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
        self._buffers, self._runs, self._inside, self._pool = None, {}, None, None

    def take(
        self, tails: Tails, tokens: Sequence[int], numbers: Sequence[int], *, ahead: int, has_axes: bool
    ) -> torch.Tensor | None:
        """Append one token to each row; logits after them (rows, vocabulary) float32, good until the next step.

        `numbers`: of each token in its row. The tails' board is not told: a plain pass may do the same step again.
        """
        if self.stop is not None:
            self.stop.check()
        while self.is_on:
            try:
                return self._take(tails, tokens, numbers, ahead, has_axes)
            except Exception as exc:  # noqa: BLE001 - compilers, drivers: the plain pass remains and raises what is real
                self._fail(type(exc).__name__)
        return None

    def compare(self, logits: torch.Tensor, plain: torch.Tensor) -> None:
        """Turns itself off where its logits are not those of the plain pass."""
        self.is_unproven = False
        # As wide as the rounding of half precision, far narrower than one token seen or missed.
        if not torch.allclose(logits, plain, rtol=0.05, atol=0.05 * float(plain.abs().max())):
            self._fail("its answers differ")

    def _take(
        self, tails: Tails, tokens: Sequence[int], numbers: Sequence[int], ahead: int, has_axes: bool
    ) -> torch.Tensor | None:
        shape = _shape(tails)
        if shape is None or not self._has_room(tails, shape):
            return None
        buffers = self._enter(tails, shape, ahead)
        idle = shape.rows - len(tokens)
        column = [tails.board.columns] * shape.rows
        fed = transfer.staged([[*tokens, *[0] * idle], [*numbers, *[-1] * idle], column], self._device)
        buffers.inputs[:, : shape.rows].copy_(fed, non_blocking=True)
        self.is_unproven = shape not in self._runs
        if self.is_unproven:
            self._runs[shape] = self._made(buffers.arguments(shape), has_axes)
        return self._runs[shape]()[: len(tokens)]

    def _made(self, arguments: tuple[Any, ...], has_axes: bool) -> Run:
        way, model = self._ways[0], self._model

        def run() -> torch.Tensor:
            with attention.shared(model):
                return way(model, has_axes, *arguments)

        if self._record is not None:
            return self._record(run)
        if self._device.type != "cuda":
            return run
        if len(self._runs) >= _MOST_RECORDED:
            self._runs, self._pool = {}, None
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        return _recorded(run, self._pool)

    def _has_room(self, tails: Tails, shape: Shape) -> bool:
        if self._buffers is not None and self._buffers.capacity.holds(shape):
            return True
        more = sum(_num_bytes(layer, shape) for layer in tails.layers)
        return more < _SHARE_OF_FREE * self._free_bytes(self._device)

    def _enter(self, tails: Tails, shape: Shape, ahead: int) -> Buffers:
        """Have these rows' tails in the buffers: from now on a plain pass writes there as well."""
        buffers = self._buffers
        if buffers is None or not buffers.capacity.holds(shape):
            capacity = shape if buffers is None else buffers.capacity.joined(shape)
            self.clear()
            buffers = None
            buffers = self._buffers = Buffers(tails.layers, capacity, self._device)
        if self._inside is None or self._inside() is not tails:
            self._move_out()
            buffers.begin(tails, ahead)
            self._inside = weakref.ref(tails)
            tails.board.is_placed = False
        if not tails.board.is_placed or tails.board.room != shape.room:
            room = shape.room
            places = [(layer.keys[:, :, :room], layer.values[:, :, :room]) for layer in buffers.layers]
            tails.place(buffers.index[:, :room], places)
        return buffers

    def _move_out(self) -> None:
        tails = self._inside() if self._inside else None
        if tails is not None and tails.board.is_placed:
            tails.move_out()

    def _fail(self, problem: str) -> None:
        is_last = len(self._ways) == 1 or problem == "its answers differ"
        logger.warning("%s: %s", "decode steps are not compiled" if is_last else "decode steps are not fused", problem)
        self._ways = [] if is_last else self._ways[1:]
        self.clear()


def step_for(model: Any, settings: ModelSettings) -> Step | None:
    """None where steps are not to be compiled, or the model is not on a GPU: there nothing is won."""
    wanted = settings.compile == "auto" and torch.device(model.device).type == "cuda"
    return Step(model) if wanted else None


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's buffers as the model's cache, within a step."""

    is_sliding = False

    def __init__(self, layer: Layer, column: torch.Tensor, beginning: torch.Tensor, tail: torch.Tensor) -> None:
        super().__init__()
        self._layer, self._column = layer, column
        self._sees_beginning, self._sees_tail = beginning, tail
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """All is there."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[Halves, Halves]:
        layer, group = self._layer, (Group(0, 0, key_states.shape[0]),)
        layer.keys.index_copy_(2, self._column, key_states)
        layer.values.index_copy_(2, self._column, value_states)
        return (
            Halves(layer.beginning_keys, layer.keys, group, self._sees_beginning, self._sees_tail),
            Halves(layer.beginning_values, layer.values, group, self._sees_beginning, self._sees_tail),
        )

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        return self._layer.beginning_keys.shape[2] + self._layer.keys.shape[2]

    def get_max_length(self) -> int:
        return -1


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
    beginnings, tails = {}, {}
    for window, numbered in numbers.items():
        begun = numbered[None] <= queries
        beginnings[window] = (begun if window is None else begun & (numbered[None] > queries - window))[:, None]
        tails[window] = (earlier if window is None else earlier & (index > queries - window))[:, None]
    cache = Cache(
        layers=[
            _Layer(layer, column, beginnings[window], tails[window])
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


def _shape(tails: Tails) -> Shape | None:
    """The smallest shape for these rows and one more column; None where there is none."""
    board = tails.board
    rows = next((rows for rows in _ROWS if rows >= len(board.places)), None)
    needed = board.columns + 1
    if rows is None or len(set(board.places)) > 1 or board.length > _MOST_TOKENS or needed > _MOST_ROOM:
        return None
    if not all(isinstance(layer, TailLayer) and layer.keys is not None for layer in tails.layers):
        return None
    # Four sizes an octave. The tails' never equal one of these: equal sizes are one symbol to the compiler.
    step = max(256, 1 << max(0, board.length.bit_length() - 3))
    return Shape(rows, -(-board.length // step) * step, -(-needed // 256) * 256 + 64)


def _columns(window: int | None, tokens: int) -> int:
    return tokens if window is None else window


def _layer(layer: TailLayer, capacity: Shape) -> Layer:
    def zeros(like: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        # Zeros, because what is masked is still multiplied, by nought.
        return like.new_zeros(rows, like.shape[1], columns + _SPARE, like.shape[3])

    keys, values = layer.beginning
    held = _columns(layer.window, capacity.tokens)
    return Layer(
        zeros(keys, 1, held),
        zeros(values, 1, held),
        zeros(keys, capacity.rows, capacity.room),
        zeros(values, capacity.rows, capacity.room),
    )


def _num_bytes(layer: TailLayer, shape: Shape) -> int:
    columns = _columns(layer.window, shape.tokens) + _SPARE + shape.rows * (shape.room + _SPARE)
    return sum(columns * one.shape[1] * one.shape[3] * one.element_size() for one in layer.beginning)


def _vary(tensor: torch.Tensor, *dims: int) -> None:
    for dim in dims:
        torch._dynamo.mark_dynamic(tensor, dim)
