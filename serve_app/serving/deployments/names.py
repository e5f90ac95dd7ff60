"""What the deployments are called: in the graph, in `serve_config.yaml`, in Serve's status.
Imports nothing of Ray."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from serve_app.core.clock import StageName

INGRESS: Final = "Ingress"
PREPROCESSOR: Final = "Preprocessor"
VL_MODEL: Final = "VLModel"
JOBS: Final = "Jobs"
STAGES: Final[Mapping[str, StageName]] = {PREPROCESSOR: "examine", VL_MODEL: "assess"}
