"""The Compose files as Compose would read them, and the Serve file that they mount. Needs no container engine.
`python -m tests.rigs.compose` writes that Serve file anew from serve_config.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
DEPLOYMENT: Final = ROOT / "deployment"
SERVE: Final = DEPLOYMENT / "compose.serve.yaml"
HEAD: Final = (
    "# serve_config.yaml for compose.yaml: behind nginx, with PostgreSQL and Redis.\n"
    "# Made from that file: python -m tests.rigs.compose writes it anew.\n"
)
# Lines of serve_config.yaml that are otherwise here; each stands there once.
INSTEAD: Final = {
    "      # access:\n": "      access:\n",
    "      #   trusted_proxies: 1 ": "        trusted_proxies: 1 ",
    "        # redis_env: PAIRLENS_REDIS_URL ": "        redis_env: PAIRLENS_REDIS_URL ",
    "        # database_url: postgresql://pairlens@db.internal/pairlens ": (
        "        database_url: postgresql://pairlens@postgres/pairlens "
    ),
}
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}|\$\$")


def serve_file() -> str:
    text = (ROOT / "serve_config.yaml").read_text(encoding="utf-8")
    for line, instead in INSTEAD.items():
        assert text.count(line) == 1, f"serve_config.yaml has no such line any more: {line}"
        text = text.replace(line, instead)
    return HEAD + text


def load(name: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """A Compose file with its variables replaced."""
    read = yaml.safe_load((DEPLOYMENT / name).read_text(encoding="utf-8"))
    replaced = _replaced(read, environment)
    assert isinstance(replaced, dict)
    return replaced


def variables(name: str) -> dict[str, str | None]:
    """Those that a Compose file reads, with their defaults; None: it must be said."""
    text = (DEPLOYMENT / name).read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {found[1]: found[2] for found in _VARIABLE.finditer(lines) if found[1]}


def _replaced(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(inner, environment) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, environment) for inner in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _value(found, environment), value)
    return value


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str:
    if found[0] == "$$":
        return "$"
    given = environment.get(found[1])
    assert given is not None or found[2] is not None, f"{found[1]} is not said"
    return given if given is not None else found[2]


if __name__ == "__main__":
    SERVE.write_text(serve_file(), encoding="utf-8")
