"""The range of a chunk, as uploads give it: `0-1023`, without unit or total (spec.md, Pushing a blob in chunks)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from registry.oci.errors import BlobUploadInvalid

_CHUNK = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class ChunkRange:
    """The first and the last byte of a chunk, counted from 0; the last one included."""

    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> ChunkRange:
        """The range that a Content-Range header spells; else BlobUploadInvalid."""
        match = _CHUNK.fullmatch(text.strip())
        if match is None or int(match[1]) > int(match[2]):
            raise BlobUploadInvalid(
                "Content-Range of a chunk has the form FIRST-LAST, both counted from 0, for example 0-1023",
                {"content-range": text[:255]},
            )
        return cls(int(match[1]), int(match[2]))

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start + 1
