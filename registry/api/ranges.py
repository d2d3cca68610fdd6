"""The Range header of a blob request (RFC 9110, 14.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from registry.oci.errors import RangeNotSatisfiable

_ONE_RANGE = re.compile(r"bytes=\s*([0-9]{0,19})-([0-9]{0,19})\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`length` bytes from `start` on."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The Content-Range header for a part of `size` bytes."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The one range that is asked for, cut off at the end of the blob; None: answer with the whole blob.

    Several ranges are answered whole, which RFC 9110 allows and every client takes; so is what is no range of bytes.
    RangeNotSatisfiable where nothing of the range exists.
    """
    match = _ONE_RANGE.fullmatch(header) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        start = max(size - int(match[2]), 0)
        end = size - 1
    else:
        start = int(match[1])
        end = min(int(match[2]), size - 1) if match[2] else size - 1
    if end < start:
        raise RangeNotSatisfiable(size)
    return ByteRange(start, end - start + 1)
