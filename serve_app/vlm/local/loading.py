"""A checkpoint's files to a model and a processor in memory.
No questions, no pictures: safetensors only, and no code from a checkpoint is run.
"""

from __future__ import annotations

import functools
import importlib
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from safetensors import SafetensorError
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES, processor_class_from_name

from serve_app.core.inquiry import ModelIdentity
from serve_app.settings import ModelSettings
from serve_app.vlm.local import checkpoint
from serve_app.vlm.unavailable import ModelUnavailable

logger = logging.getLogger("pairlens.vlm")


@dataclass(frozen=True)
class Loaded:
    model: Any
    processor: Any
    identity: ModelIdentity


def load(settings: ModelSettings) -> Loaded:
    """Raises ModelUnavailable, with a sentence that names the checkpoint and what is wrong with it."""
    started = time.perf_counter()
    name = str(Path(settings.name or "").expanduser())
    transformers.utils.logging.disable_progress_bar()  # one line an event in a server's log
    source = {"revision": settings.revision, "trust_remote_code": False}
    try:
        parts = processor(name, source)
        model = _model(name, source, settings)
    except torch.OutOfMemoryError:
        raise ModelUnavailable(f"{settings.name} doesn't fit the memory of {device(settings)}.") from None
    except (
        SafetensorError,
        OSError,
        ValueError,
        ImportError,
        RuntimeError,
        TypeError,
        LookupError,
        AttributeError,
    ) as exc:
        # What a damaged or foreign checkpoint makes transformers raise; its own text helps the operator.
        first_line = next(iter(str(exc).strip().splitlines()), type(exc).__name__)
        raise ModelUnavailable(f"{settings.name} can't be loaded: {first_line}") from exc
    logger.info("weights of %s loaded: %.1f s", settings.public_name, time.perf_counter() - started)
    revision = settings.revision or getattr(model.config, "_commit_hash", None)
    return Loaded(model, parts, ModelIdentity("transformers", settings.public_name, revision, settings.thought_tokens))


def device(settings: ModelSettings) -> torch.device:
    if settings.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(settings.device)


def _model(name: str, source: dict[str, Any], settings: ModelSettings) -> Any:
    where = device(settings)
    dtype = settings.dtype
    if dtype == "auto" and where.type == "cpu":
        capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in every torch
        dtype = type_on_cpu(transformers.AutoConfig.from_pretrained(name, **source), capabilities)
    attention = {} if settings.attention == "auto" else {"attn_implementation": settings.attention}
    model = transformers.AutoModelForImageTextToText.from_pretrained(
        name, **source, use_safetensors=True, dtype=dtype, **attention
    )
    return model.to(where).eval()


def type_on_cpu(config: Any, capabilities: Mapping[str, Any]) -> Literal["bfloat16", "float32"]:
    """What `auto` is on a CPU: bfloat16 for a checkpoint saved in it where the CPU multiplies in it, else float32.

    A batch of questions takes half the time in it there (benchmarks/results/vl.md); elsewhere it is emulated.
    `capabilities`: see `torch.cpu.get_capabilities`.
    """
    own = getattr(config, "dtype", None) or getattr(config.get_text_config(), "dtype", None)
    is_quick = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return "bfloat16" if own == torch.bfloat16 and is_quick else "float32"


def processor(name: str, source: dict[str, Any]) -> Any:
    """The checkpoint's own processor, for pictures only.

    Several families' processors refuse to load without torchvision, because of their video part, which is never
    used here: a part without settings stands for it. The `pil` image processors need no torchvision either.
    """
    config = transformers.AutoConfig.from_pretrained(name, **source)
    described, _ = transformers.ProcessorMixin.get_processor_dict(name, **source)
    named = described.get("processor_class") or PROCESSOR_MAPPING_NAMES.get(config.model_type)
    kind = _images_only(_processor_class(named))
    parts = {
        "tokenizer": functools.partial(transformers.AutoTokenizer.from_pretrained, name, **source),
        "image_processor": functools.partial(_images, config.model_type, name, source),
    }
    arguments = [parts[part]() if part in parts else Unused() for part in kind.get_attributes()]
    template = described.pop("chat_template", None) or arguments[kind.get_attributes().index("tokenizer")].chat_template
    if template is None:
        raise ModelUnavailable(f"{name} has no chat template.")
    return kind.from_args_and_dict(arguments, {**described, "chat_template": template})


def _images(family: str, name: str, source: dict[str, Any]) -> Any:
    if family in checkpoint.OWN_IMAGES:
        from serve_app.vlm.local.lfm2_images import Lfm2VlImageProcessorPil

        return Lfm2VlImageProcessorPil.from_pretrained(name, revision=source["revision"])
    return transformers.AutoImageProcessor.from_pretrained(name, **source, backend="pil")


class Unused(dict[str, None]):
    """Stands for a processor's part that is not for pictures: every setting that one asks it for is None.

    A dictionary, because processors log themselves as JSON.
    """

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def _processor_class(name: str) -> Any:
    """The class by its name; PixtralProcessor, of Mistral 3, also without torchvision.

    Its module asks the torchvision image processor's module for one function that the `pil` one has as well.
    """
    kind = processor_class_from_name(name)
    if name != "PixtralProcessor" or not getattr(kind, "is_dummy", False):
        return kind
    package = "transformers.models.pixtral"
    missing = f"{package}.image_processing_pixtral"
    sys.modules[missing] = importlib.import_module(f"{package}.image_processing_pil_pixtral")
    try:
        return importlib.import_module(f"{package}.processing_pixtral").PixtralProcessor
    finally:
        del sys.modules[missing]


@functools.cache
def _images_only(kind: Any) -> Any:
    """A subclass of the processor class that takes Unused for the parts that are not for pictures."""

    def check(self: Any, argument_name: str, argument: Any) -> Any:
        if isinstance(argument, Unused):
            return None
        return kind.check_argument_for_proper_class(self, argument_name, argument)

    return type(kind.__name__, (kind,), {"check_argument_for_proper_class": check, "__init__": kind.__init__})
