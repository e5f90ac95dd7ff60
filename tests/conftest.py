"""What all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# A change is judged by the same examples each time; a person's runs go on looking for new ones.
settings.register_profile("ci", derandomize=True)
if "CI" in os.environ:
    settings.load_profile("ci")
