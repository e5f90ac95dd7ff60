"""What operators decide of pictures that callers name by a URL.
Knows no HTTP."""

from __future__ import annotations

import re
from ipaddress import ip_network

from pydantic import Field, model_validator

from serve_app.settings.strict import Strict

_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")


class ImageUrlSettings(Strict):
    """Pictures fetched from https URLs that callers name."""

    enabled: bool = Field(False, description="Off: a URL where a picture should be is refused, and nothing is fetched.")
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Hosts that pictures are fetched from, in small letters: images.example.org, or *.example.org for "
        "all below it. Redirects must lead to one of them, too.",
    )
    allowed_networks: tuple[str, ...] = Field(
        (), description="Networks of one's own that these hosts may be in, beside public addresses, as 10.1.0.0/16."
    )
    timeout_s: float = Field(
        5.0, gt=0, le=30, description="For one picture, redirects included, and never past the request's own deadline."
    )

    @model_validator(mode="after")
    def _hosts_and_networks(self) -> ImageUrlSettings:
        for host in self.allowed_hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(
                    "image_urls.allowed_hosts are names in small letters, such as images.example.org or *.example.org"
                )
        for text in self.allowed_networks:
            ip_network(text)  # raises what is none
        if self.enabled and not self.allowed_hosts:
            raise ValueError("image_urls.enabled is true, but allowed_hosts names nobody that pictures may come from")
        return self
