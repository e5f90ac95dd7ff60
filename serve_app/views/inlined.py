"""What the pages that are one file have in common: templates that escape, and a policy that names what runs by hash."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

HERE: Final = Path(__file__).parent


def rendered(template: str, *, style: str, script: str, pictures: str, **values: object) -> str:
    """A template of `report/`. `pictures`: where they may come from, as the policy has it. `values` are escaped but
    those that are `Markup`."""
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src {pictures}; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )
    # Files of this package, and nothing of a caller: these may be markup.
    inlined = {"style": Markup(style), "script": Markup(script), "policy": policy}
    return _environment().get_template(template).render(**inlined, **values)


@cache
def read(*names: str) -> str:
    """Files of this folder, one after the other."""
    return "".join((HERE / name).read_text("utf-8") for name in names)


@cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(HERE / "report"), autoescape=True, undefined=StrictUndefined)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
