"""Small blobs that were read lately, in memory: most are configurations of images, which every pull asks for.

What is kept is what its digest says, so it never grows old. It says nothing about who may see a blob: that stands in
its row, which is read for each request.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from registry.oci.digest import Digest

if TYPE_CHECKING:
    from registry.storage.contract import BlobReader

_SMALL_BYTES_MAX: Final = 64 * 1024
_KEPT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of all of them, in each worker."""
_ENTRY_BYTES: Final = 512
"""What an entry takes beside its content, about."""


class SmallBlob:
    """A blob in memory, open for reading as one in a store is."""

    file = None

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)

    async def url(self, seconds: float) -> None:
        """See BlobReader."""
        del seconds

    async def read(self, offset: int, length: int) -> bytes:
        """See BlobReader."""
        return self._content[offset : offset + length]


class SmallBlobs:
    """The small blobs that this process has at hand; those go first that nobody asked for the longest."""

    def __init__(self) -> None:
        self._blobs: OrderedDict[Digest, SmallBlob] = OrderedDict()
        self._bytes = 0

    def get(self, digest: Digest) -> SmallBlob | None:
        """The blob, None where it is not at hand."""
        found = self._blobs.get(digest)
        if found is not None:
            self._blobs.move_to_end(digest)
        return found

    async def keep(self, digest: Digest, opened: BlobReader) -> BlobReader:
        """The blob as `opened` from a store, or in memory where it is small; bytes that have rotted are not kept."""
        if opened.size > _SMALL_BYTES_MAX:
            return opened
        content = await opened.read(0, opened.size)
        if Digest.of(content, digest.algorithm) != digest:
            return opened
        blob = SmallBlob(content)
        self._add(digest, blob)
        return blob

    def _add(self, digest: Digest, blob: SmallBlob) -> None:
        if digest not in self._blobs:  # two requests may have read it at the same time
            self._bytes += blob.size + _ENTRY_BYTES
        self._blobs[digest] = blob
        while self._bytes > _KEPT_BYTES_MAX:
            _, oldest = self._blobs.popitem(last=False)
            self._bytes -= oldest.size + _ENTRY_BYTES
