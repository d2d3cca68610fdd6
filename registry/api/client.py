"""Who sent a request: its address, seen through the proxies that the operator trusts."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Network, IPv6Network

    from starlette.types import Scope

    from registry.api.headers import Headers

    Networks = Sequence[IPv4Network | IPv6Network]

_LOCAL = "local"
_LENGTH_MAX = 64


def client_address(scope: Scope, headers: Headers, trusted_proxies: Networks) -> str:
    """The last address on the request's way here that is no trusted proxy; `local` over a Unix socket.

    An IPv4 address is one also where a socket that listens for both kinds shows it as `::ffff:10.0.0.1`.
    """
    peer = scope.get("client")
    client = _unmapped(peer[0]) if peer else _LOCAL
    if not trusted_proxies:
        return client[:_LENGTH_MAX]
    hops = [hop.strip() for hop in headers.get("x-forwarded-for", "").split(",") if hop.strip()]
    while hops and _is_trusted(client, trusted_proxies):
        client = _unmapped(hops.pop())
    return client[:_LENGTH_MAX]


def _unmapped(address: str) -> str:
    """As IPv4 what is IPv4 in IPv6's form; anything else as it is."""
    if ":" not in address:
        return address
    try:
        mapped = IPv6Address(address).ipv4_mapped
    except ValueError:
        return address
    return str(mapped) if mapped else address


def _is_trusted(client: str, trusted_proxies: Networks) -> bool:
    if client == _LOCAL:  # who can write to our socket is a proxy of ours, where there are any
        return bool(trusted_proxies)
    try:
        address = ip_address(client)
    except ValueError:
        return False
    return any(address in network for network in trusted_proxies)
