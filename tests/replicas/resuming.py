"""A client's upload in chunks, which holds the registry to every offset that it has acknowledged."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from tests.faults.client import Client, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

_UNKNOWN: Final = 404
_ELSEWHERE: Final = 416


class Forgotten(AssertionError):
    """The registry has gone back on what it acknowledged, and nothing that happened explains it."""


class Resuming:
    """An upload whose requests stand in a row; Forgotten where one shows that acknowledged bytes are gone.

    `forgetful_until` says until when Postgres may have lost what it had committed: a crash takes the offsets of
    uploads with it that were told shortly before. The death of a replica, or a failing bucket, takes nothing.
    """

    def __init__(self, client: Client, repository: str, forgetful_until: Callable[[], float]) -> None:
        self.upload = ""
        self.acknowledged = 0
        self._since = time.monotonic()
        self._client = client
        self._repository = repository
        self._forgetful_until = forgetful_until
        self._unanswered = False
        self._finishing = False

    async def begin(self) -> None:
        """Ask for it."""
        self.upload = await self._client.start(self._repository)

    async def stands_at(self) -> int:
        """How many bytes the registry has; of one byte it cannot say that it is not none."""
        try:
            offset = await self._client.stands_at(self.upload)
        except Refused as refused:
            self._refused(refused)
            raise
        if offset < self.acknowledged and self.acknowledged > 1:
            self._require_excuse(f"stands at {offset}")
        return offset

    async def append(self, offset: int, chunk: bytes) -> None:
        """Send what comes next."""
        since = time.monotonic()
        end = offset + len(chunk)
        headers = {"content-range": f"{offset}-{end - 1}"}
        try:
            await self._client.ask(202, "PATCH", self.upload, content=chunk, headers=headers)
        except Refused as refused:
            self._refused(refused)
            raise
        self.acknowledged, self._since = end, since

    async def finish(self, content: bytes, offset: int) -> str:
        """Send the rest; the digest. From now on the upload may be unknown, since it may have ended."""
        self._finishing = True
        return await self._client.finish(self._repository, self.upload, content, offset)

    def _refused(self, refused: Refused) -> None:
        """An upload is unknown when it has ended; it stands elsewhere where an earlier request went on unanswered."""
        if (refused.status == _UNKNOWN and not self._finishing) or (
            refused.status == _ELSEWHERE and not self._unanswered
        ):
            self._require_excuse(str(refused))
        self._unanswered = True

    def _require_excuse(self, heard: str) -> None:
        if self._since > self._forgetful_until():
            raise Forgotten(f"{self.upload}: {self.acknowledged} bytes were acknowledged, but: {heard}")
        self.acknowledged = 0
