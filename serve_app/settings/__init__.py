"""What operators decide, once, in `serve_config.yaml` under `args`.
Reads no environment and no file."""

from __future__ import annotations

from serve_app.settings.agents import McpSettings
from serve_app.settings.image_urls import ImageUrlSettings
from serve_app.settings.values import (
    MIB,
    Access,
    CacheSettings,
    CanarySettings,
    ImageFormat,
    JobSettings,
    Limits,
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
    "MIB",
    "Access",
    "CacheSettings",
    "CanarySettings",
    "ImageFormat",
    "ImageUrlSettings",
    "JobSettings",
    "Limits",
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
