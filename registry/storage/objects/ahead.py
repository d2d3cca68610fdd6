"""How much all readers of this process fetch ahead: what is held for a slow client takes memory for long."""

from __future__ import annotations

from typing import Final

from registry.storage.contract import CHUNK_BYTES

PIECE_BYTES: Final = 4 * CHUNK_BYTES
PIECES_MAX: Final = 32
"""Together 128 MiB, whatever the number of clients; sixteen pulls have all that they want (`reader.py`).

Half of them suffice to keep a worker busy, which sends some 900 MiB a second, even where the bucket takes
70 ms for each. The other half is for slow clients to hold.
"""


class Budget:
    """So many pieces as there are. Nobody waits for one, for who has it may take nothing for minutes."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self) -> bool:
        """Whether one was free, which is then to be given back."""
        if self.taken == PIECES_MAX:
            return False
        self.taken += 1
        return True

    def give_back(self, pieces: int) -> None:
        """So many that were taken."""
        self.taken -= pieces
