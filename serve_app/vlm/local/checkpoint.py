"""Whether a folder or hub id is a checkpoint we can serve, found out in seconds.
No weights, no torch: it reads a file list and `config.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from serve_app.settings import ModelSettings
from serve_app.vlm.unavailable import ModelUnavailable

HUB_TIMEOUT_S = 5.0
# Families whose pictures transformers prepares with torchvision only, and we without it.
OWN_IMAGES = ("lfm2_vl",)
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def check(settings: ModelSettings) -> None:
    """Raises ModelUnavailable with one sentence."""
    missing = [name for name in ("torch", "transformers", "llguidance") if find_spec(name) is None]
    if missing:
        raise ModelUnavailable(
            f"Engine transformers needs {', '.join(missing)}: run `make serve MODEL=...`, "
            "or `pip install 'pairlens[vl]'`."
        )
    name = settings.name or ""
    folder = Path(name).expanduser()
    if folder.is_dir():
        _check_files(name, {path.name for path in folder.iterdir()})
        _check_architecture(name, folder / "config.json")
    elif folder.exists() or not _HUB_ID.fullmatch(name):
        raise ModelUnavailable(f"{name} is neither a folder nor a hub id such as Qwen/Qwen3-VL-2B-Instruct.")
    else:
        _check_hub(name, settings.revision)


def _check_files(name: str, files: Iterable[str]) -> None:
    files = set(files)
    if "config.json" not in files:
        raise ModelUnavailable(f"{name} is not a checkpoint: it has no config.json.")
    if not any(file.endswith(".safetensors") for file in files):
        raise ModelUnavailable(f"{name} has no .safetensors weights, and other formats can run code.")


def _check_architecture(name: str, config: Path) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    try:
        described: Any = json.loads(config.read_text(encoding="utf-8"))
        family = described["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelUnavailable(f"The config.json of {name} can't be read or names no model_type.") from None
    if family not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise ModelUnavailable(f"{name} is a {family} model, which transformers doesn't know as vision-language.")
    _check_pictures(name, family)


def _check_pictures(name: str, family: str) -> None:
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    can_do = "pil" in IMAGE_PROCESSOR_MAPPING_NAMES.get(family, {"pil": ""}) or family in OWN_IMAGES
    if not can_do and find_spec("torchvision") is None:
        raise ModelUnavailable(
            f"{name} is a {family} model, whose pictures transformers prepares with torchvision only: "
            "install the torchvision that belongs to this torch."
        )


def _check_hub(name: str, revision: str | None) -> None:
    import httpx2  # what huggingface_hub speaks HTTP with, and whose errors it lets through
    from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import (
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    at = f"{name} at {revision}" if revision else name
    try:
        info = HfApi().model_info(name, revision=revision, timeout=HUB_TIMEOUT_S)
    except RevisionNotFoundError:
        raise ModelUnavailable(f"The hub has no revision {revision} of {name}.") from None
    except RepositoryNotFoundError:
        raise ModelUnavailable(f"The hub has no model {name}, or it is private and needs a token.") from None
    except (HfHubHTTPError, OfflineModeIsEnabled, httpx2.HTTPError, OSError):
        cached = try_to_load_from_cache(name, "config.json", revision=revision)
        if isinstance(cached, str):
            _check_files(at, {path.name for path in Path(cached).parent.iterdir()})
            _check_architecture(at, Path(cached))
            return
        raise ModelUnavailable(
            f"The hub at {constants.ENDPOINT} can't be reached and {at} is not in the local cache; "
            "name a folder, or a mirror in HF_ENDPOINT."
        ) from None
    _check_files(at, [file.rfilename for file in info.siblings or ()])
    _check_architecture(at, Path(hf_hub_download(name, "config.json", revision=revision)))
