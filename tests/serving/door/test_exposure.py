"""A service that anybody may reach and that asks for no key is told about, loudly."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.operating import serve_file
from serve_app.operating.launch import warning_of
from serve_app.serving import exposure
from serve_app.settings import Access

SHIPPED = Path(__file__).parents[3] / "serve_config.yaml"


@pytest.mark.parametrize(
    ("host", "keys", "is_told"),
    [
        ("127.0.0.1", None, False),
        ("127.0.0.9", None, False),
        ("localhost", None, False),
        ("::1", None, False),
        ("0.0.0.0", None, True),
        ("::", None, True),
        ("10.1.2.3", None, True),
        ("pairlens.example.org", None, True),
        ("0.0.0.0", "/etc/pairlens/keys", False),
        (None, None, False),
    ],
)
def test_only_a_public_address_without_keys_is_told(host: str | None, keys: str | None, is_told: bool) -> None:
    found = exposure.warning(host, Access(api_keys_file=keys))
    assert (found is not None) == is_told
    if found is not None:
        assert f"listens on {host} " in found
        assert "args.access.api_keys_file" in found


def test_the_terminal_of_a_service_for_everybody_has_a_line_of_its_own() -> None:
    assert (warning_of(serve_file.load(SHIPPED, host="0.0.0.0")) or "").startswith("WARNING: The service listens on")
    assert warning_of(serve_file.load(SHIPPED)) is None
