"""An upload while a request works on it: its row and its bytes, which change together or not at all.

Two requests may work on one upload at the same moment, at two replicas. Where the store lets only one of them hold the
bytes, the other waits. Where it does not, each writes for itself, and the row decides which of them counts: it is
changed only from what the request has read there, so the second one finds that it has changed.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from registry.db import uploads
from registry.oci.errors import BlobUploadUnknown, UploadBusy, UploadOutOfOrder
from registry.storage.contract import StagedBusy, StagedBytesLost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from registry.db.uploads import Upload
    from registry.oci.access import Principal
    from registry.oci.digest import Digest
    from registry.oci.names import RepositoryName
    from registry.operations.registry import Registry
    from registry.storage.contract import Staged

_BUSY_SECONDS_MAX: Final = 2.0
"""A client that goes on after a cut connection may be faster than our notice that the old one is gone."""
_BUSY_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Session:
    """An upload as a client names it: the id means nothing without the repository and the principal."""

    id: str
    repository: RepositoryName
    principal: Principal


class Held:
    """An upload that a request works on.

    `begun`: the upload's row as the request found it; `upload`: as the request has changed it last.
    """

    def __init__(self, registry: Registry, session: Session, upload: Upload, staged: Staged) -> None:
        self.registry = registry
        self.begun = self.upload = upload
        self.staged = staged
        self._session = session

    async def acknowledge(self) -> None:
        """All bytes count; UploadOutOfOrder, BlobUploadUnknown where another request was faster."""
        await self.staged.flush()
        await self.acknowledge_flushed()

    async def acknowledge_flushed(self) -> None:
        """Those bytes count that the next holder would find, and the upload was touched; as `acknowledge`."""
        await self._change(self.staged.flushed, self.staged.state)

    async def withdraw(self) -> None:
        """The upload is as it was when the request began; as `acknowledge`."""
        await self._change(self.begun.size, self.begun.state)

    async def claim(self, digest: Digest) -> None:
        """The bytes are about to be published, so no more may come; as `acknowledge`.

        Who holds them alone need not say so: nobody else can do anything with them.
        """
        await self.staged.flush()
        if self.staged.state:
            new = replace(self.upload, size=self.staged.flushed, state=self.staged.state, finishing=digest)
            # Durably: what is published outlives a crash of the database, and this is all that guards it.
            if not await self.registry.database.write(
                uploads.claim, self.upload, new.size, new.state, digest
            ):
                await self._refuse()
            self.upload = new

    async def _change(self, size: int, state: str) -> None:
        if not await self.registry.database.write_soon(uploads.resize, self.upload, size, state):
            await self._refuse()
        self.upload = replace(self.upload, size=size, state=state)

    async def _refuse(self) -> None:
        try:
            upload = await find(self.registry, self._session)
        except BlobUploadUnknown:
            # Who ended the upload may have looked for its bytes before ours were there.
            with suppress(StagedBusy):
                await self.registry.store.discard(self.upload.id)
            raise
        raise UploadOutOfOrder(upload.size)


async def find(registry: Registry, session: Session) -> Upload:
    """The upload's row; BlobUploadUnknown where there is none."""
    upload = await registry.database.look(
        uploads.find, session.id, session.repository, str(session.principal)
    )
    if upload is None:
        raise BlobUploadUnknown(session.id)
    return upload


@asynccontextmanager
async def hold(registry: Registry, session: Session) -> AsyncIterator[Held]:
    """The upload with its staged bytes, cut to what was acknowledged, and its row as it is while they are held."""
    upload = await find(registry, session)
    deadline = time.monotonic() + _BUSY_SECONDS_MAX
    while True:
        try:
            async with registry.store.stage(upload.id, upload.state) as staged:
                given, upload = upload, await find(registry, session)
                if upload.state == given.state:
                    await staged.cut(upload.size)
                    yield Held(registry, session, upload, staged)
                    return
        except StagedBusy:
            if time.monotonic() > deadline:
                raise UploadBusy(upload.size) from None
            await asyncio.sleep(_BUSY_POLL_SECONDS)
            upload = await find(registry, session)
        except StagedBytesLost:
            # Power was cut, or a cancel or purge got no further than to free the bytes. Another process may still have
            # the hash of the lost bytes at hand, so nobody goes on here.
            await registry.database.write_soon(uploads.end, upload.id)
            raise BlobUploadUnknown(upload.id) from None
