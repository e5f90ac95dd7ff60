"""A graphics card that isn't there: tensors that say they lie on `cuda:0` and are computed on the CPU.

What a card refuses is refused here, what it does without a word but slowly is refused where our code asks for it: an
operation on tensors of both sides, an index from the other side. Every place is counted where Python waits for what
the card has not computed yet.
"""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

from serve_app.vlm.local.planning.allocation import Allocations

CARD = torch.device("cuda", 0)
_aten = torch.ops.aten
_COPIES = (_aten._to_copy.default, _aten.copy_.default)
_INDEXED = (_aten.index.Tensor, _aten.index_put_.default, _aten._index_put_impl_.default)
# What comes out is a number of Python's, or as long as the values say.
_ANSWERS = (_aten._local_scalar_dense.default, _aten.equal.default, _aten.nonzero.default)
_KERNELS = (torch.nn.functional.scaled_dot_product_attention, torch.conv1d, torch.conv2d, torch.conv3d)
_VALUES = (
    *(torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.__array__),
    *(torch.Tensor.__bool__, torch.Tensor.__int__, torch.Tensor.__float__, torch.Tensor.__index__),
)


class CardTensor(torch.Tensor):
    """Its numbers are in `numbers`, on the CPU."""

    numbers: torch.Tensor

    @staticmethod
    def __new__(cls, numbers: torch.Tensor) -> CardTensor:
        with torch.inference_mode(False):  # as weights are: views of them must not be of another kind
            made: CardTensor = torch.Tensor._make_wrapper_subclass(
                cls,
                numbers.shape,
                strides=numbers.stride(),
                storage_offset=numbers.storage_offset(),
                dtype=numbers.dtype,
                device=torch.device("meta"),  # what torch's own code sees: it has no library to ask about such a device
            )
        made.numbers = numbers
        return made

    device = property(lambda _: CARD)
    is_cuda = property(lambda _: True)
    is_meta = property(lambda _: False)

    def __repr__(self, *, tensor_contents: Any = None) -> Any:  # type: ignore[override]  # the base's is untyped
        return f"CardTensor({self.numbers!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]  # the base has none, in name only
        raise AssertionError(f"{func} outside of the card")


class Card(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Does the work. `waits`: how often Python waited for the card, by what made it; `held`: its tensors' bytes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits: Counter[str] = Counter()
        self.recordings = 0
        self.held = Allocations()
        self.is_away = False
        self._pinned: weakref.WeakSet[Any] = weakref.WeakSet()
        self._tape: list[tuple[Any, Any, Any, Any]] | None = None

    def record(self, run: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        """What a CUDA graph is: the operations that `run` started, done again on the same memory."""
        self._tape, tape = [], []
        try:
            result = run()
            tape = self._tape
        finally:
            self._tape = None
        self.recordings += 1

        def replay() -> torch.Tensor:
            for func, args, kwargs, made in tape:
                again = func(*args, **kwargs)
                for old, new in zip(tree_leaves(made), tree_leaves(again), strict=True):
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)
            return result

        return replay

    @contextmanager
    def away(self) -> Iterator[None]:
        """Inside it nothing is the card's: to load a model, which is made on `meta` first."""
        self.is_away = True
        try:
            yield
        finally:
            self.is_away = False

    def wait(self, what: str) -> None:
        """Count it. Raises RuntimeError within a recording, where a card has nothing yet to be waited for."""
        if self._tape is not None:
            raise RuntimeError(f"operation not permitted when stream is capturing: {what}")
        self.waits[what] += 1

    def done(self, func: Any, args: Any, kwargs: Any, made: Any) -> Any:
        """Count its bytes, and keep it for a replay, if this is a recording."""
        if self._tape is not None:
            self._tape.append((func, args, kwargs, made))
        self.held.count(made)
        return tree_map_only(torch.Tensor, CardTensor, made)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if self.is_away:
            return func(*args, **kwargs)
        with self:  # in inference mode, operations made of others come whole
            parts = func.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        if func is _aten._pin_memory.default:
            return self._pin(args[0])
        if func in _COPIES:
            return self._copied(func, args, kwargs)
        return self._computed(func, args, kwargs)

    def unwrapped(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any, bool]:
        """Arguments as a CPU takes them, and whether some were the card's.

        Raises RuntimeError where others of some dimension were not.
        """
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        is_there = any(isinstance(tensor, CardTensor) for tensor in tensors)
        if is_there and any(not isinstance(tensor, CardTensor) and tensor.ndim for tensor in tensors):
            if func not in _INDEXED or _is_ours():  # a card takes an index from the CPU, and copies it first
                raise RuntimeError(f"Expected all tensors to be on the same device, but some of {func} are not")
            self.wait(f"{func} with an index of the CPU")
        return *tree_map_only(CardTensor, lambda tensor: tensor.numbers, (tuple(args), dict(kwargs))), is_there

    def known(self, tensor: CardTensor) -> torch.Tensor:
        """Its numbers."""
        self.wait("a value")
        return tensor.numbers

    def _computed(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        is_made_there = _is_card(kwargs.get("device"))
        if is_made_there:
            kwargs = {**kwargs, "device": torch.device("cpu"), "pin_memory": False}
        cpu_args, cpu_kwargs, is_there = self.unwrapped(func, args, kwargs)
        if func is _aten.histc.default:  # the CPU's takes no whole numbers
            cpu_args = (cpu_args[0].float(), *cpu_args[1:])
        made = func(*cpu_args, **cpu_kwargs)
        if not is_there and not is_made_there:
            return made
        if func in _ANSWERS or (func in _INDEXED and _has_mask(args[1])):
            self.wait(str(func))
        made = self.done(func, cpu_args, cpu_kwargs, made)
        return return_and_correct_aliasing(func, tuple(args), kwargs, made)  # type: ignore[no-untyped-call]

    def _pin(self, tensor: torch.Tensor) -> torch.Tensor:
        if isinstance(tensor, CardTensor):
            raise RuntimeError(  # noqa: TRY004 - as torch does
                "cannot pin 'torch.cuda.Tensor': only dense CPU tensors can be pinned"
            )
        pinned = tensor.clone()
        self._pinned.add(pinned.untyped_storage())
        return pinned

    def _copied(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """From one side to the other, or within one. Python goes on at once only from pinned memory, if it says so."""
        is_new = func is _aten._to_copy.default
        source = args[0] if is_new else args[1]
        at_once = kwargs.pop("non_blocking", False) or args[2:] == (True,)
        place = kwargs.pop("device", None)
        goes_there = isinstance(args[0], CardTensor) if place is None else _is_card(place)
        if goes_there != isinstance(source, CardTensor) and not (
            goes_there and at_once and source.untyped_storage() in self._pinned
        ):
            self.wait(f"{func} to the {'card' if goes_there else 'CPU'}")
        cpu_args = tuple(arg.numbers if isinstance(arg, CardTensor) else arg for arg in args)
        copied = func(*cpu_args, **kwargs)
        made = self.done(func, cpu_args, kwargs, copied) if goes_there else copied
        return made if is_new else args[0]


class _Calls(TorchFunctionMode):
    """Calls in which torch would ask a true card's library, or a tensor's memory, before any operation is seen."""

    def __init__(self, card: Card) -> None:
        super().__init__()
        self._card = card

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if self._card.is_away:
            return func(*args, **kwargs)
        if func in (torch.tensor, torch.as_tensor) and _is_card(kwargs.get("device")):
            del kwargs["device"]
            return func(*tree_map_only(CardTensor, self._card.known, tuple(args)), **kwargs).to(CARD)
        if func in _VALUES and isinstance(args[0], CardTensor):
            return func(self._card.known(args[0]), *args[1:])
        if func in _KERNELS:
            args, kwargs, is_there = self._card.unwrapped(func, args, kwargs)
            made = func(*args, **kwargs)
            return self._card.done(func, args, kwargs, made) if is_there else made
        return func(*args, **kwargs)


@contextmanager
def pretend_card() -> Iterator[Card]:
    """Inside it a model can go `.to(CARD)`; what is made for that device is computed, counted and kept apart."""
    if torch.cuda.is_available():
        torch.cuda.init()  # type: ignore[no-untyped-call]
    with patch("torch.cuda._lazy_init", lambda: None), Card() as card, _Calls(card):
        yield card


def _is_card(device: Any) -> bool:
    """`meta` is what torch's own code takes the card for when it makes a tensor beside another."""
    return device is not None and torch.device(device).type in (CARD.type, "meta")


def _has_mask(indices: Sequence[torch.Tensor | None]) -> bool:
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)


def _is_ours() -> bool:
    """Whether our code called torch, and not a model's."""
    frame = sys._getframe(1)
    while frame.f_back and any(part in frame.f_code.co_filename for part in ("/torch/", __file__)):
        frame = frame.f_back
    return "/transformers/" not in frame.f_code.co_filename
