"""Whether anybody who reaches the service may use it. Knows no route and no key."""

from __future__ import annotations

import ipaddress

from serve_app.settings import Access


def is_loopback(host: object) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    try:
        return host == "localhost" or (isinstance(host, str) and ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False


def warning(host: str | None, access: Access) -> str | None:
    """What an operator is told at the start; None where there is nothing to say, as where no `host` is listened on."""
    if host is None or access.api_keys_file is not None or is_loopback(host):
        return None
    return (
        f"The service listens on {host} and asks for no API key: whoever reaches it may use it. "
        "Name a file of keys (args.access.api_keys_file), or listen on 127.0.0.1 behind a proxy that knows its callers."
    )
