"""What a store keeps beside its blobs so that it describes itself; `tests/storage/journal.py` holds every store to it.

The *journal* has a line for each thing that happened; a *snapshot* has all that was so, up to some line. What they say
is not looked at here, but for a line's number, by which lines are put in order.

1. When `append` or `save` returns, what was given survives a power cut. Where `append` fails, some of the lines may be
   there; a line that is cut off or damaged is given to nobody, and who reads is told of the damaged ones.
2. Any number of processes may append at the same time, and nobody's lines mix with another's.
3. A snapshot is there wholly, or not at all.
4. Memory use does not grow with the length of the journal, nor with the size of a snapshot.
"""

from __future__ import annotations

import re
import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

APPENDED_BYTES_MAX: Final = 8 * 1024 * 1024
"""More than this is not appended at once, or one line that is longer."""


@dataclass(frozen=True, slots=True)
class Line:
    """`text`, which has no line end, and its place in the order of things."""

    id: int
    text: bytes

    def encode(self) -> bytes:
        """As it is stored: behind a sum that tells whether it is whole."""
        said = b"%d %b" % (self.id, self.text)
        return b"%08x %b\n" % (zlib.crc32(said), said)

    @classmethod
    def decode(cls, stored: bytes) -> Self | None:
        """The line that `encode` has written, without its end; None where it was cut off or damaged."""
        said = stored[9:]
        if stored[:9] != b"%08x " % zlib.crc32(said):
            return None
        number, _, text = said.partition(b" ")
        return cls(int(number), text)


def decode_all(content: bytes, behind: int) -> list[Line]:
    """The lines in it that are whole and have a greater id."""
    lines = (Line.decode(stored) for stored in content.split(b"\n"))
    return [line for line in lines if line is not None and line.id > behind]


def damaged_in(content: bytes) -> int:
    """How many lines in it are damaged: what has no end was cut off, and never acknowledged."""
    *ended, _ = content.split(b"\n")
    return sum(bool(stored) and Line.decode(stored) is None for stored in ended)


_NAME: Final = re.compile(r"(\d{20})-[0-9a-f]{16}")


def new_name(number: int) -> str:
    """A name that nobody has used; names are in the order of their numbers."""
    return f"{number:020}-{secrets.token_hex(8)}"


def number_of(name: str) -> int | None:
    """The number that `new_name` was given; None where the name is of something else."""
    found = _NAME.fullmatch(name)
    return found and int(found[1])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that has all that lines up to `until` say; `saved_at`: Unix time in seconds, by the store's clock."""

    name: str
    until: int
    saved_at: float


Damaged = Callable[[str, int], None]
"""Told where lines cannot be read, and how many."""


def _unheard(place: str, count: int) -> None:
    del place, count


class Journal(Protocol):
    """Lines and snapshots; see the module's text for what it promises."""

    async def append(self, lines: Sequence[Line]) -> None:
        """Keep the lines; StorageFull or Unavailable where that cannot be done."""
        ...

    def lines(self, behind: int, damaged: Damaged = _unheard) -> AsyncIterator[Line]:
        """Every line with a greater id, in no order, some of them more than once; `damaged` is told what is none."""
        ...

    async def reached(self, behind: int) -> int:
        """About the greatest id, where it is greater than `behind`; only lines of the same moment may be behind it."""
        ...

    async def forget(self, until: int) -> None:
        """Take away lines up to this id, as many as can be had without others, and snapshots of before it."""
        ...

    async def save(self, until: int, pieces: AsyncIterator[bytes]) -> None:
        """Keep a snapshot."""
        ...

    def snapshots(self) -> AsyncIterator[Snapshot]:
        """Every snapshot, in no order."""
        ...

    def read(self, snapshot: Snapshot) -> AsyncIterator[bytes]:
        """The content of a snapshot, in pieces of any size."""
        ...
