"""How large the parts are in which segments are sent: large ones cost less, but all at once must not take too much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of `size` bytes, of which `at_once` may be under way while the next one is filled."""

    size: int
    at_once: int

    @property
    def held_bytes_max(self) -> int:
        """Memory that a segment takes while it is sent so."""
        return self.size * (self.at_once + 1)


PARTS_MAX: Final = Parts(8 * _MEBIBYTE, 3)
"""What a segment has while at most _FEW uploads are being written."""
PARTS_MIN: Final = Parts(5 * _MEBIBYTE, 1)
"""What it has while many are: S3 takes no smaller parts, and one has to be under way while the next is filled."""
_FEW: Final = 4
_SEVERAL: Final = 8


def parts_for(uploads: int) -> Parts:
    """What the next segment has while so many uploads have a place (`places.py`), with its own."""
    if uploads <= _FEW:
        return PARTS_MAX
    return Parts(PARTS_MAX.size, 1) if uploads <= _SEVERAL else PARTS_MIN
