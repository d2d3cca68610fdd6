"""No users are configured: everybody is anonymous."""

from __future__ import annotations

from registry.oci.access import Anonymous, Principal


class NoUsers:
    """Asks nobody for credentials, and ignores those that are sent."""

    challenge = ""

    async def identify(self, authorization: str | None) -> Principal:
        """Anonymous, always."""
        del authorization
        return Anonymous()

    def close(self) -> None:
        """Nothing to let go."""
