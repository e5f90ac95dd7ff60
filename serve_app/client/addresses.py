"""Which addresses of the internet are public: a service that is asked to call one must not reach its own network by it.
Knows no HTTP. Python's own `is_global` (3.11) takes 6to4, NAT64, site-local and documentation addresses for public.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Of what `is_global` lets pass: protocol assignments (RFC 6890) and the relays of 6to4 (RFC 7526).
_NOT_PUBLIC_4: Final = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
# All that IANA has given out as global unicast (RFC 4291), but for protocol assignments, some of which later Pythons
# let pass, and documentation (RFC 9637).
_UNICAST_6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = (IPv6Network("2001::/23"), IPv6Network("3fff::/20"))
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052; a network's own prefix can't be known here


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Raises ValueError for what is none."""
    return tuple(ip_network(text) for text in texts)


def may_be_called(address: str, allowed: Iterable[Network] = ()) -> bool:
    """Whether every address that `address` (one that a resolver gave) leads to is public, or in a network that the
    operator has `allowed`."""
    return all(_is_public(one) or any(one in network for network in allowed) for one in _unwrapped(ip_address(address)))


def _unwrapped(address: Address) -> Iterator[Address]:
    """Where packets to it end: inside some addresses of IPv6 there is one of IPv4, or two."""
    if isinstance(address, IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo  # its server and its client
    elif address in _NAT64:
        yield IPv4Address(int(address) & 0xFFFFFFFF)
    else:
        yield address


def _is_public(address: Address) -> bool:
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)
