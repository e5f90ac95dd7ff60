"""The look at a hub before a server starts, on a hub that refuses the connection."""

from __future__ import annotations

import pytest

from serve_app import vlm
from serve_app.settings import ModelSettings


def test_a_hub_that_refuses_the_connection_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")  # nothing listens on port 1
    with pytest.raises(vlm.ModelUnavailable, match=r"http://127\.0\.0\.1:1 can't be reached"):
        vlm.check(ModelSettings(engine="transformers", name="pairlens-tests/no-such-model"))
