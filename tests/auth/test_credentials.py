"""The Authorization header: Basic credentials or Unauthorized, whatever it holds."""

from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.auth.credentials import Basic, parse_authorization
from registry.auth.nobody import NoUsers
from registry.oci.access import Anonymous
from registry.oci.errors import Unauthorized

PROPERTY = settings(deadline=None, max_examples=200)
names = st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"]))
passwords = st.text(st.characters(exclude_categories=["Cs"]))


@PROPERTY
@given(names, passwords, st.sampled_from(["Basic", "basic", "BASIC"]))
def test_round_trip(name: str, password: str, scheme: str) -> None:
    """Name and password come out as they were put in: colons in the password, any letters, nothing at all."""
    encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
    assert parse_authorization(f"{scheme} {encoded}") == Basic(name, password)


@PROPERTY
@given(st.text() | st.text().map("Basic {}".format) | st.binary().map(lambda raw: f"Basic {raw.hex()}"))
def test_anything(header: str) -> None:
    """Any header is parsed or refused with Unauthorized."""
    with suppress(Unauthorized):
        assert isinstance(parse_authorization(header), Basic)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic YWxpY2U",  # not padded
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"latin-1:\xe9").decode(),
        "Basic " + base64.b64encode(b"\xff:x").decode(),
        "Basic " + base64.b64encode("alice:secret".encode("utf-16")).decode(),
        "Bearer YWxpY2U6c2VjcmV0",
        "Basic\tYWxpY2U6c2VjcmV0",
        "é",
    ],
)
def test_refused(header: str) -> None:
    """What is not Basic, not base64, not UTF-8 or has no colon is refused."""
    with pytest.raises(Unauthorized):
        parse_authorization(header)


@pytest.mark.anyio
@pytest.mark.parametrize("header", [None, "", "Basic nonsense", "Bearer token"])
async def test_no_users(header: str | None) -> None:
    """Where no users are configured, everybody is anonymous, whatever they send."""
    users = NoUsers()
    assert await users.identify(header) == Anonymous()
    assert users.challenge == ""
    users.close()
