"""The Authorization header (RFC 9110, 11.6.2; Basic: RFC 7617)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from registry.oci.errors import Unauthorized


@dataclass(frozen=True, slots=True)
class Basic:
    """A user name and password as the client sent them."""

    username: str
    password: str


def parse_authorization(header: str) -> Basic:
    """The credentials in the header; Unauthorized where they are of no kind that is taken here."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        raise Unauthorized("log in with a user name and password (Basic); other schemes are not taken here")
    try:
        decoded = base64.b64decode(value.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise Unauthorized("the Authorization header is not valid Basic authentication") from None
    username, colon, password = decoded.partition(":")
    if not colon:
        raise Unauthorized("the Authorization header is not valid Basic authentication")
    return Basic(username, password)
