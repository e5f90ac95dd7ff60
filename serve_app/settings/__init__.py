"""What operators decide, once, in `serve_config.yaml` under `args`.
Reads no environment and no file."""

from __future__ import annotations

from serve_app.settings.agents import McpSettings
from serve_app.settings.values import (
    Access,
    CacheSettings,
    CanarySettings,
    ImageFormat,
    JobSettings,
    Limits,
    MIB,
    ModelSettings,
    PreprocessingSettings,
    Profile,
    ProfileName,
    ScriptedFinding,
    ScriptedSettings,
    ServerSettings,
    Settings,
    WebhookSettings,
)

__all__ = [
    "Access",
    "CacheSettings",
    "CanarySettings",
    "ImageFormat",
    "JobSettings",
    "Limits",
    "MIB",
    "McpSettings",
    "ModelSettings",
    "PreprocessingSettings",
    "Profile",
    "ProfileName",
    "ScriptedFinding",
    "ScriptedSettings",
    "ServerSettings",
    "Settings",
    "WebhookSettings",
]
