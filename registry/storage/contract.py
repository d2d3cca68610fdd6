"""What a blob store is, in prose; `tests/storage/contract.py` holds every store to it.

A store has two parts. *Published* blobs have a digest as their name, are complete, and never change. *Staged* bytes
belong to one upload, under an id that the caller made up, and are seen by nobody but who continues that upload.

1. Only `Staged.publish` makes bytes visible under a digest. Before that, no reader sees any of them; after it, every
   reader sees all of them. The store does not hash: its one caller in `operations/` has done so, and nobody can write
   in between (3).
2. When `publish` returns, the bytes and their name survive a power cut. Before that, nothing needs to.
3. What two holders write to the same staged bytes never mixes. Either they are held exclusively: while one holds them,
   `stage` raises StagedBusy for every other, in this process or another, on this machine or another, and a holder that
   dies holds nothing; `Staged.state` is then always empty. Or each holder goes on for itself from the state that it was
   given, and the caller keeps, beside the size, the state of the one that counts: it replaces the state that it gave,
   in one step, and only where nobody else has replaced it.
4. What was flushed to staged bytes is there for the next holder who is given the state of then, unless power was cut:
   then fewer may be there. `Staged.cut` forgets what lies behind a place, and raises StagedBytesLost where that place
   is behind the end.
5. Publishing a digest that exists already is not an error and leaves one blob: the new bytes, which are the same.
6. `discard` and `delete` of what is not there are not errors. A reader that has opened a blob reads it to its end,
   even when the blob is deleted meanwhile; where bytes outlive their blob for that, `sweep` takes them away later.
7. Memory use does not grow with the size of a blob (but for the memory store, by its nature).
8. Bytes may outlive all that names them, where a crash or a race has left them: they are *strays*. `strays` tells of
   them, and `discard` takes them away, unless the caller knows of somebody who goes on with that upload. Whoever does
   so all the same is not acknowledged bytes that are gone: then `publish` raises StagedBytesLost.

What a store keeps beside its blobs, so that it describes itself, is in `journal.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from registry.oci.digest import Digest
    from registry.storage.journal import Journal

CHUNK_BYTES = 1024 * 1024
"""Bytes move in pieces of this size: large enough that a thread hop costs little, small enough to keep memory flat."""


class BlobMissing(Exception):
    """No bytes are published under this digest."""


class StagedBusy(Exception):
    """Somebody else holds the staged bytes of this upload."""


class StagedBytesLost(Exception):
    """Fewer bytes are staged than were acknowledged."""


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A published blob, `size` in bytes."""

    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class StagedUpload:
    """The staged bytes of an upload, and when they were last written (Unix time in seconds)."""

    upload: str
    modified: float


@dataclass(frozen=True, slots=True)
class Stray:
    """Bytes of an upload, `size` of them, that no blob names and nobody is at work on; `modified` as `StagedUpload`."""

    upload: str
    size: int
    modified: float


class BlobReader(Protocol):
    """A published blob, open for reading."""

    @property
    def size(self) -> int:
        """Bytes of the whole blob."""
        ...

    @property
    def file(self) -> int | None:
        """A descriptor of the file in which the blob lies, whole and alone; None where there is no such file."""
        ...

    async def url(self, seconds: float) -> str | None:
        """Where anybody can read the blob, whole and alone, for so long; None where there is no such place."""
        ...

    async def read(self, offset: int, length: int) -> bytes:
        """The bytes from `offset` on, `length` of them or as many as there are."""
        ...


class Staged(Protocol):
    """The staged bytes of one upload, as one holder sees them."""

    @property
    def size(self) -> int:
        """Bytes that are there."""
        ...

    @property
    def flushed(self) -> int:
        """How many of them the next holder finds who is given `state`."""
        ...

    @property
    def state(self) -> str:
        """What the next holder is to be given; empty where the store needs no such thing."""
        ...

    async def cut(self, size: int) -> None:
        """Keep the first `size` bytes; StagedBytesLost where fewer are there."""
        ...

    async def write(self, chunk: bytes) -> None:
        """Append; where that fails (OSError, StorageFull), some of the chunk may be there: `size` tells."""
        ...

    async def flush(self) -> None:
        """Let the next holder find everything; may be costly."""
        ...

    def read(self) -> AsyncIterator[bytes]:
        """All bytes from the first on, in pieces."""
        ...

    async def publish(self, digest: Digest) -> None:
        """Make the bytes the blob `digest`, durably. The caller has verified that they hash to it.

        StagedBytesLost where somebody has discarded them, or is about to; then another's blob of this digest stays.
        """
        ...


class BlobStore(Protocol):
    """A place for blobs; see the module's text for what it promises."""

    @property
    def description(self) -> str:
        """Where the bytes lie, for a person."""
        ...

    @property
    def journal(self) -> Journal:
        """What is kept beside the blobs."""
        ...

    async def open(self) -> None:
        """Make ready for use."""
        ...

    async def ping(self) -> None:
        """Raise where the store cannot take and give bytes at the moment."""
        ...

    def stage(self, upload: str, state: str = "") -> AbstractAsyncContextManager[Staged]:
        """Hold the staged bytes of `upload`; `state` is the one kept of the last holder, empty where it is new.

        StagedBusy while somebody else holds them, in a store that holds exclusively.
        """
        ...

    async def discard(self, upload: str) -> None:
        """Forget staged bytes, whoever wrote them; StagedBusy while somebody holds them exclusively."""
        ...

    def reader(self, digest: Digest) -> AbstractAsyncContextManager[BlobReader]:
        """Open a blob; BlobMissing where there is none."""
        ...

    async def delete(self, digest: Digest) -> None:
        """Forget a blob."""
        ...

    def blobs(self) -> AsyncIterator[StoredBlob]:
        """Every published blob, in no order; ones that come or go meanwhile may be left out."""
        ...

    def uploads(self) -> AsyncIterator[StagedUpload]:
        """All staged bytes, in no order; as `blobs`."""
        ...

    def strays(self, beginning: str = "") -> AsyncIterator[Stray]:
        """What nothing names, of all uploads whose id begins so, in no order; costly, for it looks at every blob."""
        ...

    async def sweep(self, age_seconds: float) -> int:
        """Take away what was left over for so long and has no name any more; how many things that were."""
        ...

    def close(self) -> None:
        """Let go of threads and connections; nobody uses the store after this."""
        ...
