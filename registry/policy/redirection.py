"""Who is sent to the storage service for a blob, instead of being given it here."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

EVERYBODY: Final = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


@dataclass(frozen=True, slots=True)
class RedirectRules:
    """`networks`: the clients that can reach the service; `trusted_proxies`: whose word about an address is believed.

    `seconds`: how long a link is good for.
    """

    networks: Sequence[IPv4Network | IPv6Network] = ()
    trusted_proxies: Sequence[IPv4Network | IPv6Network] = ()
    seconds: float = 0

    @property
    def anybody(self) -> bool:
        """Whether there is any such client."""
        return bool(self.networks)


def may_redirect(rules: RedirectRules, client: str) -> bool:
    """Whether a client with this address can fetch from the service itself; not where its address is not known."""
    if rules.networks == EVERYBODY:
        return True
    try:
        address = ip_address(client)
    except ValueError:
        return False
    return any(address in network for network in rules.networks)
