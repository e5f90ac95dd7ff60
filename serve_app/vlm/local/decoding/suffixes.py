"""The cache of rows that share a prefix: the prefix where it lies, a suffix of its own for each row.
No model, no text: it holds tensors and says which token sees which.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import torch
from transformers.cache_utils import (
    Cache,
    CacheLayerMixin,
    DummyLayer,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionLayer,
)

from serve_app.vlm.local import transfer
from serve_app.vlm.local.decoding.attention import Group, SplitKV

_ROOM = 64  # columns of a suffix at first; doubled when they are full


def can_share(cache: Any) -> bool:
    """Whether rows can continue this cache side by side: every layer is of a kind known here."""
    known = (DynamicLayer, DynamicSlidingWindowLayer, LinearAttentionLayer, DummyLayer)
    return all(type(layer) in known for layer in cache.layers)


def is_recurrent(cache: Any) -> bool:
    """Whether some layer keeps a state that reads every token fed: then nothing may be padded."""
    return any(isinstance(layer, LinearAttentionLayer) for layer in cache.layers)


def grown(room: int, columns: int) -> int:
    """Columns of a suffix that had `room` of them and is to hold `columns`."""
    return room if columns <= room else room + max(room, columns)


def room(first: int, columns: int) -> int:
    """Columns of a suffix that began with a pass of `first` tokens and went on one by one to `columns`."""
    held = grown(_ROOM, first)
    while held < columns:
        held = grown(held, held + 1)
    return held


class Layout:
    """What is the same in every layer: which columns of the suffixes hold which token of each row."""

    def __init__(self, places: Sequence[int], length: int, device: torch.device) -> None:
        self.places = list(places)
        self.length = length
        self.columns = 0
        self.rows: torch.Tensor | None = None  # the rows of the pass at work; None: all
        self.queries = torch.empty(0)
        self.device = device
        self._index = torch.full((len(places), _ROOM), -1, dtype=torch.long, device=device)  # of the token; -1: none
        self._seen: dict[int | None, torch.Tensor] = {}
        self.groups: tuple[Group, ...] = ()
        self.is_placed = False  # whether index and suffixes lie in buffers that are not the rows' own

    @property
    def room(self) -> int:
        return int(self._index.shape[1])

    def begin(self, rows: torch.Tensor | None, places: Sequence[int], queries: torch.Tensor) -> None:
        """A pass over `queries` (rows, width): each token's number in its row, -1 where there is only padding."""
        start, self.columns = self.columns, self.columns + queries.shape[1]
        if self.columns > self.room:
            self.is_placed = False
            more = grown(self.room, self.columns) - self.room
            self._index = torch.nn.functional.pad(self._index, (0, more), value=-1)
        self.rows, self.queries = rows, queries
        if rows is None:
            self._index[:, start : self.columns] = queries
        else:
            self._index[rows, start : self.columns] = queries
        self._seen = {}
        self.groups = tuple(_groups(places))

    def sees_suffix(self, window: int | None) -> torch.Tensor:
        """(rows, queries, columns) bool: earlier tokens of the same row, within the window."""
        if window not in self._seen:
            index = self._index[:, : self.columns] if self.rows is None else self._index[self.rows, : self.columns]
            keys, queries = index[:, None], self.queries[:, :, None]
            seen = (keys >= 0) & (keys <= queries)
            self._seen[window] = seen if window is None else seen & (keys > queries - window)
        return self._seen[window]

    def sees_prefix(self, window: int | None, held: int) -> torch.Tensor | None:
        """(rows, queries, held) bool of the prefix's last `held` tokens; None: all are seen."""
        if window is None:
            return None
        keys = torch.arange(self.length - held, self.length, device=self.device)
        # Padding gets -1 and sees all of it: a softmax over nothing would be NaN.
        return keys > self.queries[:, :, None] - window

    def keep(self, rows: Sequence[int], chosen: torch.Tensor) -> None:
        """`chosen`: the same rows on the device."""
        self.places = [self.places[i] for i in rows]
        self._index = self._index[chosen]
        self.is_placed = False

    def place(self, index: torch.Tensor) -> None:
        """From now on in `index` (rows or more, room)."""
        mine = index[: len(self.places)]
        mine[:, : self.columns] = self._index[:, : self.columns]
        mine[:, self.columns :] = -1
        index[len(self.places) :] = -1
        self._index, self.is_placed = mine, True

    def move_out(self) -> None:
        self._index, self.is_placed = self._index.clone(), False


class SuffixLayer(CacheLayerMixin):  # type: ignore[misc]
    """One attention layer: `update` gives `SplitKV` instead of tensors, for `attention.attend`."""

    is_sliding = False

    def __init__(self, prefix: DynamicLayer, layout: Layout) -> None:
        super().__init__()
        self._layout = layout
        self._window = getattr(prefix, "sliding_window", None)
        self._keys, self._values = prefix.keys, prefix.values
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Room for each row's own tokens."""
        rows = len(self._layout.places)
        self.keys = key_states.new_zeros(rows, key_states.shape[1], self._layout.room, key_states.shape[3])
        self.values = value_states.new_zeros(rows, value_states.shape[1], self._layout.room, value_states.shape[3])

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[SplitKV, SplitKV]:
        if self.keys is None:
            self.lazy_initialization(key_states, value_states)
        elif self.keys.shape[2] < self._layout.room:
            more = self._layout.room - self.keys.shape[2]
            self.keys = torch.nn.functional.pad(self.keys, (0, 0, 0, more))
            self.values = torch.nn.functional.pad(self.values, (0, 0, 0, more))
        sees_prefix = self._layout.sees_prefix(self._window, self._keys.shape[2])
        sees_suffix = self._layout.sees_suffix(self._window)

        def split(prefix: torch.Tensor, own: Any, new: torch.Tensor) -> SplitKV:
            return SplitKV(prefix, self._written(own, new), self._layout.groups, sees_prefix, sees_suffix)

        return split(self._keys, self.keys, key_states), split(self._values, self.values, value_states)

    def _written(self, own: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """`new` put into the last columns in place; all columns so far of the rows at work."""
        rows, end = self._layout.rows, self._layout.columns
        if rows is None:
            own[:, :, end - new.shape[2] : end] = new
            return own[:, :, :end]
        own[rows, :, end - new.shape[2] : end] = new
        return own[rows, :, :end]

    @property
    def window(self) -> int | None:
        """Tokens that one token sees; None: all."""
        return self._window

    @property
    def prefix(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the shared part that this layer still holds, (places, heads, tokens, size)."""
        return self._keys, self._values

    def place(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """From now on in these buffers, (rows or more, heads, room, size)."""
        rows, columns = len(self._layout.places), self._layout.columns
        for own, buffer in ((self.keys, keys), (self.values, values)):
            buffer[:rows, :, :columns] = own[:, :, :columns]
        self.keys, self.values = keys[:rows], values[:rows]

    def move_out(self) -> None:
        self.keys, self.values = self.keys.clone(), self.values.clone()

    def keep(self, rows: torch.Tensor) -> None:
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys[rows], self.values[rows]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        return self._layout.length + self._layout.columns

    def get_max_length(self) -> int:
        return -1


class Suffixes(Cache):  # type: ignore[misc]
    """A cache of `len(places)` rows, row i of which continues row `places[i]` of `prefix`."""

    def __init__(self, prefix: Any, places: Sequence[int], length: int, device: torch.device) -> None:
        self.layout = Layout(places, length, device)
        chosen = transfer.sent(places, device)
        self.layers: list[Any]
        super().__init__(layers=[self._layer(layer, chosen) for layer in prefix.layers])

    @property
    def is_recurrent(self) -> bool:
        """See the function."""
        return is_recurrent(self)

    def place(self, index: torch.Tensor, buffers: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Go on in buffers for keys and values of every layer; all layers are attention layers that have begun.

        They may be the ones where these rows lie now.
        """
        self.layout.place(index)
        for layer, (keys, values) in zip(self.layers, buffers, strict=True):
            layer.place(keys, values)

    def move_out(self) -> None:
        """Go on in tensors of its own."""
        self.layout.move_out()
        for layer in self.layers:
            layer.move_out()

    @contextmanager
    def at_work(self, rows: Sequence[int] | None, queries: torch.Tensor) -> Iterator[None]:
        """A forward pass inside it is over these rows, None for all; `queries`: see `Layout.begin`."""
        chosen = None if rows is None else transfer.sent(rows, queries.device)
        places = self.layout.places if rows is None else [self.layout.places[i] for i in rows]
        self.layout.begin(chosen, places, queries)
        whole = self.layers
        if chosen is not None:
            self.layers = [
                picked(layer, chosen) if isinstance(layer, LinearAttentionLayer) else layer for layer in whole
            ]
        yield  # what an exception leaves behind is not used any more
        if chosen is not None:
            for layer, part in zip(whole, self.layers, strict=True):
                if isinstance(layer, LinearAttentionLayer):
                    _put_back(layer, part, chosen)
            self.layers = whole

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only."""
        chosen = transfer.sent(rows, self.layout.device)
        self.layout.keep(rows, chosen)
        for i, layer in enumerate(self.layers):
            if isinstance(layer, SuffixLayer):
                layer.keep(chosen)
            elif isinstance(layer, LinearAttentionLayer):
                self.layers[i] = picked(layer, chosen)

    def _layer(self, layer: Any, chosen: torch.Tensor) -> Any:
        if isinstance(layer, DynamicLayer):
            return SuffixLayer(layer, self.layout)
        return picked(layer, chosen) if isinstance(layer, LinearAttentionLayer) else layer


def picked(layer: Any, rows: torch.Tensor) -> Any:
    """A copy of these rows; the layer stays as it is."""
    own = copy.copy(layer)
    for name, value in vars(own).items():
        if isinstance(value, dict):
            setattr(own, name, dict(value))
    # `reorder_cache` is the one way to pick rows that every kind of layer has.
    own.reorder_cache(rows)
    return own


def _put_back(layer: LinearAttentionLayer, part: LinearAttentionLayer, rows: torch.Tensor) -> None:
    for whole, some in ((layer.conv_states, part.conv_states), (layer.recurrent_states, part.recurrent_states)):
        for number, state in some.items():
            if state is not None:
                whole[number].index_copy_(0, rows, state)


def _groups(places: Sequence[int]) -> Iterator[Group]:
    start = 0
    for place, run in groupby(places):
        end = start + len(list(run))
        yield Group(place, start, end)
        start = end
