"""What operators decide of the tool for agents.
Knows no protocol."""

from __future__ import annotations

import re
from importlib.util import find_spec
from ipaddress import ip_address

from pydantic import Field, model_validator

from serve_app.settings.strict import Strict


class McpSettings(Strict):
    """The tool for agents at /mcp: only where the extra `mcp` is installed."""

    enabled: bool = Field(True, description="Off, or not installed: /mcp answers 404.")
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Names or addresses, without a port, by which callers may ask for /mcp (Host) and from whose pages "
        "(Origin), beside localhost: the service's own name, where it has one.",
    )

    @property
    def is_served(self) -> bool:
        """Whether there is a /mcp in a process like this one."""
        return self.enabled and find_spec("mcp") is not None

    @model_validator(mode="after")
    def _hosts_alone(self) -> McpSettings:
        if not all(_is_host(host) for host in self.allowed_hosts):
            raise ValueError("mcp.allowed_hosts are names or addresses alone, such as pairlens.example.org")
        return self


def _is_host(text: str) -> bool:
    if ":" not in text:
        return re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", text) is not None
    try:
        return ip_address(text).version == 6
    except ValueError:
        return False
