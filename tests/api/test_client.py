"""Whose request it is, as the log names it."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from registry.api.client import client_address
from registry.api.headers import Headers

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "told", "client"),
    [
        ("::ffff:127.0.0.1", "", "127.0.0.1"),
        ("::ffff:10.0.0.1", "", "10.0.0.1"),
        ("::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("::ffff:10.0.0.1", "192.0.2.1, 0:0:0:0:0:FFFF:a00:2", "192.0.2.1"),
        ("::ffff:192.0.2.2", "192.0.2.1", "192.0.2.2"),
        ("fd00::1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "[::ffff:10.0.0.1]:80", "[::ffff:10.0.0.1]:80"),
    ],
)
def test_addresses(peer: str, told: str, client: str) -> None:
    """IPv4 in IPv6's form is IPv4, be it the peer or what a trusted proxy tells; anything else stays as it came."""
    headers = Headers([(b"x-forwarded-for", told.encode())])
    assert client_address({"client": (peer, 1)}, headers, PROXIES) == client
