"""The one door through which every way of saying who one is passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from registry.oci.access import Principal


class Authenticator(Protocol):
    """From an Authorization header to a principal; `challenge` is what a 401 says in WWW-Authenticate."""

    @property
    def challenge(self) -> str:
        """The WWW-Authenticate value (RFC 9110, 11.6.1)."""
        ...

    async def identify(self, authorization: str | None) -> Principal:
        """Who is asking; Unauthorized where credentials are given and wrong."""
        ...

    def close(self) -> None:
        """Let threads and connections go."""
        ...
