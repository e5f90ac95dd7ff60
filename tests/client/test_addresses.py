"""Which addresses a service may be made to call: the registries of IANA, and what is wrapped in an address of IPv6."""

from __future__ import annotations

import pytest

from serve_app.client.addresses import may_be_called, networks

PUBLIC = ["8.8.8.8", "93.184.216.34", "1.1.1.1", "2001:4860:4860::8888", "2a00:1450:4001:81b::200e"]
# A public address of IPv4 in each of the ways.
WRAPPED = ["::ffff:8.8.8.8", "2002:808:808::1", "64:ff9b::808:808", "2001:0:4136:e378:8000:63bf:f7f7:f7f7"]
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.8.8.8",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.9",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "64:ff9b:1::808:808",
    "100::1",
    "2001:20::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
WRAPPED_NOT_PUBLIC = [
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo: the client is 127.0.0.1
    "2001:0:7f00:1:8000:63bf:f7f7:f7f7",  # Teredo: the server is
]


@pytest.mark.parametrize("address", PUBLIC + WRAPPED)
def test_public_addresses_may_be_called(address: str) -> None:
    assert may_be_called(address)


@pytest.mark.parametrize("address", NOT_PUBLIC + WRAPPED_NOT_PUBLIC)
def test_others_may_not(address: str) -> None:
    assert not may_be_called(address)


def test_the_operators_own_networks_may_be_called_however_they_are_wrapped() -> None:
    mine = networks(["10.1.0.0/16", "fd00::/8"])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd12::1", "8.8.8.8"):
        assert may_be_called(address, mine)
    for address in ("10.2.0.1", "127.0.0.1", "fe80::1", "::ffff:10.2.0.1"):
        assert not may_be_called(address, mine)
    with pytest.raises(ValueError, match="does not appear to be"):
        networks(["all"])
