"""Counts the bytes of tensors alive while it watches: exact per operation, real tensors or tensors without data.
No model, no plan: what an operation allocates and frees inside itself is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside it, `live_bytes` is the sum of the storages seen since and still held, `peak_bytes` its highest.

    A storage is counted once, however many views it has, from the operation that makes it, or takes it in, until
    the last tensor on it goes. Those of `weights` are not counted.
    """

    def __init__(self, weights: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live_bytes = 0
        self.peak_bytes = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet(tensor.untyped_storage() for tensor in weights)

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        with self:  # without autograd, operations made of others come whole: only their parts show what they hold
            parts = func.decompose(*args, **kwargs)  # type: ignore[attr-defined]
        if parts is not NotImplemented:
            return parts
        self.count((args, kwargs))
        result = self.run(func, args, kwargs)
        self.count(result)
        return result

    def run(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Does the operation; a subclass may do it otherwise."""
        return func(*args, **kwargs)

    def count(self, tree: Any) -> None:
        """Count storages that are new."""
        for leaf in tree_leaves(tree):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                if storage not in self._known:
                    self._known.add(storage)
                    self._add(storage.nbytes())
                    weakref.finalize(storage, self._add, -storage.nbytes()).atexit = False

    def reset_peak(self) -> None:
        self.peak_bytes = self.live_bytes

    def _add(self, num_bytes: int) -> None:
        self.live_bytes += num_bytes
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
