"""Who sent a request: its address, seen through the proxies that the operator trusts."""

from __future__ import annotations

from ipaddress import ip_address
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
    """The last address on the request's way here that is no trusted proxy; `local` over a Unix socket."""
    peer = scope.get("client")
    client: str = peer[0] if peer else _LOCAL
    if not trusted_proxies:
        return client[:_LENGTH_MAX]
    hops = [hop.strip() for hop in headers.get("x-forwarded-for", "").split(",") if hop.strip()]
    while hops and _is_trusted(client, trusted_proxies):
        client = hops.pop()
    return client[:_LENGTH_MAX]


def _is_trusted(client: str, trusted_proxies: Networks) -> bool:
    if client == _LOCAL:  # who can write to our socket is a proxy of ours, where there are any
        return bool(trusted_proxies)
    try:
        address = ip_address(client)
    except ValueError:
        return False
    return any(address in network for network in trusted_proxies)
