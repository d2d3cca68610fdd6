"""A folder's store that nobody has opened, as `registry check` looks at it beside a server, or in a restored backup."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from registry.storage.filesystem import FilesystemStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from registry.storage.contract import StagedUpload, StoredBlob


class UnopenedFilesystemStore(FilesystemStore):
    """Makes no folders, which would belong to whoever looks; one that is not there holds nothing."""

    async def uploads(self) -> AsyncIterator[StagedUpload]:
        """See the contract."""
        with suppress(FileNotFoundError):
            async for staged in super().uploads():
                yield staged

    def _list(self, algorithm: str, folder: str) -> list[StoredBlob]:
        try:
            return super()._list(algorithm, folder)
        except FileNotFoundError:
            return []
