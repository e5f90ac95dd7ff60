"""A model without weights goes through the same work as the real one, to see how many bytes it will hold.
No numbers are computed: floating point tensors have a shape only, whole numbers are real while they are few.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_any, tree_map_only

from serve_app.vlm.local.planning.allocation import Allocations

_aten = torch.ops.aten
# Masks of long prompts are whole numbers too: above this many they have a shape only, like the rest.
_MOST_REAL_NUMBERS = 1 << 18
_MATH = 0  # of torch's `SDPBackend`: no fused kernel, the whole matrix of scores lies in memory
_META = torch.device("meta")
_FEW = 8
_DENIED = (_aten.eq, _aten.isnan, _aten.isinf)


def understudy(model: Any) -> tuple[Any, float]:
    """A model of the same form and type without weights, on the device `meta`, its attention as the model's.

    It has only as many language layers as it takes to have one of each kind: what flows through them is the same
    in all, what they keep is not. Also gives how many times the layers it has are left out.
    """
    config = copy.deepcopy(model.config)
    text = config.get_text_config()
    whole = text.num_hidden_layers
    kept = _period(
        getattr(text, "layer_types", None) or ["one"] * whole, shared=getattr(text, "num_kv_shared_layers", 0)
    )
    for name, value in list(vars(text).items()):
        if isinstance(value, list) and len(value) == whole and "layer" in name:
            setattr(text, name, value[:kept])
    text.num_hidden_layers = kept
    with torch.device(_META):
        empty = type(model)(config).to(model.dtype).eval()
    empty.set_attn_implementation(model.config._attn_implementation)
    return empty, (whole - kept) / kept


def _period(kinds: list[str], *, shared: int | None) -> int:
    """Layers after which their kinds repeat, at least two; all of them where some use others' keys."""
    if shared:
        return len(kinds)
    for period in range(2, len(kinds)):
        if all(kind == kinds[i % period] for i, kind in enumerate(kinds)):
            return period
    return len(kinds)


class Rehearsal(Allocations):  # type: ignore[no-untyped-call]
    """Counts what operations on `meta` would allocate on a real device.

    Positions, ids and masks are made as real numbers, because models look at them to decide shapes; an operation
    that takes both kinds sees the whole numbers as shapes too. Where a model asks for the value of something that
    has none, it gets 1.
    """

    def run(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if func is _aten._local_scalar_dense.default and args[0].is_meta:
            return 1
        if func is _aten._to_copy.default:
            return self._moved(args[0], dict(kwargs))
        if tree_any(_is_meta, (args, kwargs)):
            if func is _aten.index.Tensor:
                args = (args[0], [part for index in args[1] for part in _whole(index)])
            args, kwargs = tree_map_only(torch.Tensor, _shape_only, (args, kwargs))
            return _told(func, _shaped(func, args, kwargs))
        if kwargs.get("device") == _META or not tree_any(lambda leaf: isinstance(leaf, torch.Tensor), (args, kwargs)):
            return self._made(func, args, dict(kwargs))
        shapes = tree_map_only(torch.Tensor, lambda tensor: tensor.to(_META), (args, kwargs))
        if _is_few(args) or (expected := _tried(func, *shapes)) is None or _is_few(expected):
            return func(*args, **kwargs)
        return expected

    def _moved(self, tensor: torch.Tensor, kwargs: dict[str, Any]) -> torch.Tensor:
        """A copy to another type; moving a whole number to the model's device leaves it where it is."""
        if kwargs.get("dtype", tensor.dtype) == tensor.dtype and not tensor.is_meta:
            return tensor.view_as(tensor)
        kwargs.pop("device", None)
        kwargs.pop("non_blocking", None)
        copied: torch.Tensor = _aten._to_copy.default(tensor, **kwargs)
        return copied.to(_META) if copied.dtype.is_floating_point else copied

    def _made(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """A new tensor: real if it holds a few whole numbers."""
        kwargs.pop("pin_memory", None)
        shape = func(*args, **{**kwargs, "device": _META})
        if not isinstance(shape, torch.Tensor) or shape.dtype.is_floating_point or not _is_few(shape):
            return shape
        return func(*args, **{**kwargs, "device": torch.device("cpu")})


class FusedAttention(TorchFunctionMode):
    """Attention on `meta` as the device's fused kernel does it: no matrix of scores.

    Whether there is one for these types, heads and masks is asked of the device itself, with a few tokens.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device
        self._known: dict[Any, bool] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.tensor:  # made by torch without an operation, so `Rehearsal` sees it too late
            made = func(*args, **{**kwargs, "device": None})
            return made.to(_META) if made.dtype.is_floating_point else made
        if func is torch.nn.functional.scaled_dot_product_attention and args[0].is_meta:
            return self._attend(*args, **kwargs)
        return func(*args, **kwargs)

    def _attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        if not self._is_fused(query, key, value, attn_mask, is_causal, enable_gqa):
            return torch.nn.functional.scaled_dot_product_attention(
                query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        if attn_mask is not None and attn_mask.dtype == torch.bool:  # what torch makes of it before the kernel
            zeros = torch.zeros_like(attn_mask, dtype=query.dtype, device=_META)
            attn_mask = zeros.masked_fill_(attn_mask.to(_META).logical_not(), -torch.inf)
        sums = torch.empty(query.shape[:-1], dtype=torch.float32, device=_META)
        # Laid out as the kernels do, tokens before heads: what follows joins the heads without a copy.
        lengthwise = torch.empty(
            (query.shape[0], query.shape[2], query.shape[1], value.shape[-1]), dtype=query.dtype, device=_META
        )
        del sums, attn_mask
        return lengthwise.transpose(1, 2)

    def _is_fused(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        is_causal: bool,
        enable_gqa: bool,
    ) -> bool:
        about = (query.dtype, query.shape[1], query.shape[-1], key.shape[1], value.shape[-1])
        asked = (*about, mask is not None and mask.dtype, is_causal, enable_gqa)
        if asked not in self._known:
            with _disable_current_modes():  # real tensors, of a few tokens
                small = [
                    torch.empty(1, tensor.shape[1], _FEW, tensor.shape[-1], dtype=query.dtype, device=self._device)
                    for tensor in (query, key, value)
                ]
                over = None if mask is None else torch.ones(1, 1, _FEW, _FEW, dtype=mask.dtype, device=self._device)
                choose: Any = torch._fused_sdp_choice  # its stub says otherwise
                choice = choose(*small, over, 0.0, is_causal, enable_gqa=enable_gqa)
            self._known[asked] = choice != _MATH
        return self._known[asked]


def _shaped(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What comes out, as shapes."""
    if func is _aten._grouped_mm.default:  # of experts: torch knows its shape in bfloat16 only
        return args[0].new_empty(args[0].shape[0], args[1].shape[-1])
    if func is _aten.split_with_sizes.default and sum(args[1]) < args[0].shape[0] and not args[2:]:
        args = (args[0][: sum(args[1])], args[1])  # behind them is padding, which only numbers could have dropped
    return func(*args, **kwargs)


def _told(func: Any, result: Any) -> Any:
    """What is asked of numbers that are not there, few answers at a time: they are not equal, and all else is true."""
    if not isinstance(result, torch.Tensor) or result.dtype != torch.bool or not _is_few(result):
        return result
    return torch.full(result.shape, func.overloadpacket not in _DENIED, device="cpu")


def _is_meta(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.is_meta


def _is_few(tree: Any) -> bool:
    return not tree_any(lambda leaf: isinstance(leaf, torch.Tensor) and leaf.numel() > _MOST_REAL_NUMBERS, tree)


def _shape_only(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.is_meta or not tensor.ndim else tensor.to(_META)


def _whole(index: torch.Tensor | None) -> Sequence[torch.Tensor | None]:
    """A mask as the places it lets through, one tensor an axis: how many they are decides the shape."""
    if index is None or index.dtype != torch.bool:
        return [index]
    if index.is_meta:
        return [torch.empty(index.numel(), dtype=torch.long, device=_META)] * index.ndim
    return index.nonzero().unbind(1)


def _tried(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any | None:
    """The shapes that come out; None where the numbers decide them."""
    try:
        return func(*args, **kwargs)
    except (NotImplementedError, RuntimeError):
        return None
