"""Entries as a gzip stream of lines, in either direction, with flat memory: what a snapshot in the store is made of."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from registry.operations.entries import EntryInvalid, dump, parse
from registry.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable

    from registry.operations.entries import Entry

_GZIP: Final = 16 + zlib.MAX_WBITS
_LEVEL: Final = 3
"""Digests and base64 hardly get smaller; what repeats does at any level."""


async def pack(portions: AsyncIterable[Iterable[Entry]]) -> AsyncIterator[bytes]:
    """The stream, in pieces."""
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
    async for portion in portions:
        yield await in_thread(None, _packed, packer, portion)
    yield packer.flush()


async def unpack(pieces: AsyncIterable[bytes]) -> AsyncIterator[Entry]:
    """The entries of a stream that `pack` has made; EntryInvalid where it is damaged or cut off."""
    unpacker = zlib.decompressobj(_GZIP)
    rest = b""
    try:
        async for piece in pieces:
            *lines, rest = (rest + unpacker.decompress(piece)).split(b"\n")
            for line in lines:
                yield parse(line)
    except zlib.error as error:
        raise EntryInvalid(f"damaged: {error}") from error
    if rest or not unpacker.eof:
        raise EntryInvalid("cut off")


def _packed(packer: zlib._Compress, portion: Iterable[Entry]) -> bytes:
    return packer.compress(b"".join(dump(entry) + b"\n" for entry in portion))
