"""Counts the bytes of tensors alive while it watches: exact per operation, on one device.
No model, no plan: what an operation allocates and frees inside itself is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_CPU = torch.device("cpu")


class Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside it, `live_bytes` is the sum of the storages seen since and still held, `peak_bytes` its highest.

    A storage is counted once, however many views it has, from the operation that makes it, or takes it in, until
    the last tensor on it goes. Those of `weights` are not counted, nor those that lie elsewhere than on `device`.
    """

    def __init__(self, weights: Iterable[torch.Tensor] = (), device: torch.device = _CPU) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._kind = device.type
        self._atoms: set[Any] = set()  # operations that are not made of others
        self.live_bytes = 0
        self.peak_bytes = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet(tensor.untyped_storage() for tensor in weights)

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in self._atoms:
            with self:  # without autograd, operations made of others come whole: only their parts show what they hold
                parts = func.decompose(*args, **kwargs)  # type: ignore[attr-defined]
            if parts is not NotImplemented:
                return parts
            self._atoms.add(func)
        self.count((args, kwargs))
        result = self.run(func, args, kwargs)
        self.count(result)
        return result

    def run(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Does the operation; a subclass may look at what is made."""
        return func(*args, **kwargs)

    def count(self, tree: Any) -> None:
        """Count storages that are new, of tensors in lists and dictionaries."""
        if isinstance(tree, torch.Tensor):
            if tree.device.type == self._kind and (storage := tree.untyped_storage()) not in self._known:
                self._known.add(storage)
                self._add(storage.nbytes())
                weakref.finalize(storage, self._add, -storage.nbytes()).atexit = False
        elif isinstance(tree, (list, tuple)):
            for part in tree:
                self.count(part)
        elif isinstance(tree, dict):
            self.count(list(tree.values()))

    def reset_peak(self) -> None:
        self.peak_bytes = self.live_bytes

    def _add(self, num_bytes: int) -> None:
        self.live_bytes += num_bytes
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
