"""The look before a server starts: a hub that refuses the connection, packages that are not installed."""

from __future__ import annotations

import pytest

from serve_app import vlm
from serve_app.settings import ModelSettings


def test_a_hub_that_refuses_the_connection_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")  # nothing listens on port 1
    with pytest.raises(vlm.ModelUnavailable, match=r"http://127\.0\.0\.1:1 can't be reached"):
        vlm.check(ModelSettings(engine="transformers", name="pairlens-tests/no-such-model"))


def test_missing_packages_are_one_sentence_that_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.vlm.local.checkpoint.find_spec", lambda name: None)
    with pytest.raises(vlm.ModelUnavailable, match=r"needs torch, transformers, llguidance: run `make serve MODEL="):
        vlm.check(ModelSettings(engine="transformers", name="any/model"))
