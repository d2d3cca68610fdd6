"""Who is sent elsewhere for a blob."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from registry.policy.redirection import EVERYBODY, RedirectRules, may_redirect

SOME = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("networks", "client", "sent"),
    [
        ((), "10.0.0.1", False),
        (SOME, "10.1.2.3", True),
        (SOME, "fd00::1", True),
        (SOME, "11.0.0.1", False),
        (SOME, "::1", False),
        (SOME, "local", False),
        (SOME, "", False),
        (EVERYBODY, "11.0.0.1", True),
        (EVERYBODY, "local", True),
    ],
)
def test_may_redirect(networks: tuple, client: str, *, sent: bool) -> None:
    """Only those are sent who are in one of the networks; everybody is everybody, known or not."""
    assert may_redirect(RedirectRules(networks, (), 60), client) is sent
