"""What people import of PairLens. Each name is loaded when it is first used: importing this loads nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serve_app.client.asynchronous import AsyncClient
    from serve_app.client.failures import CutOff, NoAnswerInTime, ServerFailed, StillAtWork, Unreachable
    from serve_app.client.report import Report
    from serve_app.client.sync import Client
    from serve_app.errors import ComparisonError
    from serve_app.local import compare
    from serve_app.plugins.pytest_plugin import assert_images_match, assert_images_match_async
    from serve_app.schema import ComparisonReport, ImageComparisonConfig

__all__ = [
    "AsyncClient",
    "Client",
    "ComparisonError",
    "ComparisonReport",
    "CutOff",
    "ImageComparisonConfig",
    "NoAnswerInTime",
    "Report",
    "ServerFailed",
    "StillAtWork",
    "Unreachable",
    "assert_images_match",
    "assert_images_match_async",
    "compare",
]
_WHERE = {
    "AsyncClient": "serve_app.client.asynchronous",
    "Client": "serve_app.client.sync",
    "ComparisonError": "serve_app.errors",
    "ComparisonReport": "serve_app.schema",
    "CutOff": "serve_app.client.failures",
    "ImageComparisonConfig": "serve_app.schema",
    "NoAnswerInTime": "serve_app.client.failures",
    "Report": "serve_app.client.report",
    "ServerFailed": "serve_app.client.failures",
    "StillAtWork": "serve_app.client.failures",
    "Unreachable": "serve_app.client.failures",
    "assert_images_match": "serve_app.plugins.pytest_plugin",
    "assert_images_match_async": "serve_app.plugins.pytest_plugin",
    "compare": "serve_app.local",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'pairlens' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
