"""Pours a request's body into staged bytes: hashes and writes one piece while the next one arrives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from registry.storage.contract import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from registry.operations.hashing import RunningHash
    from registry.storage.contract import Staged


_HELD_BYTES_MAX: Final = 16 * 1024 * 1024
"""Memory for the bodies that this process receives at once, but for what connections hold."""
_PIECES_AT_ONCE: Final = 2  # one is written while the next arrives
_PIECE_BYTES_MIN: Final = 64 * 1024


async def pour(
    body: AsyncIterator[bytes],
    staged: Staged,
    running: RunningHash | None,
    checkpoint: Callable[[int], Awaitable[None]],
) -> None:
    """Append the whole body, and keep the hash in step, if given; `checkpoint` is told the size after each piece.

    What arrived before an error is in `staged` all the same, when the error comes from the body.
    """
    underway: asyncio.Task[None] | None = None
    _room.pours += 1
    try:
        async for piece in _pieces(body):
            if underway is not None:
                await underway
                await checkpoint(staged.size)
            underway = asyncio.create_task(_take(piece, staged, running))
    finally:
        _room.pours -= 1
        if underway is not None:
            await underway


class _Room:
    """How large pieces are: large ones cost less, but all that are poured at once must not take much memory."""

    pours = 0

    @property
    def piece_bytes(self) -> int:
        """The size of a piece at the moment."""
        share = _HELD_BYTES_MAX // (_PIECES_AT_ONCE * max(self.pours, 1))
        return min(CHUNK_BYTES, max(_PIECE_BYTES_MIN, share))


_room = _Room()


async def _take(piece: bytes, staged: Staged, running: RunningHash | None) -> None:
    if running is None:
        await staged.write(piece)
        return
    # Both end before this does: after a failed write nobody may find the other still at work.
    outcomes = await asyncio.gather(staged.write(piece), running.update(piece), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def _pieces(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body in pieces of about the room's size; the last one, before the end or an error, may be smaller."""
    parts: list[bytes] = []
    size = 0
    try:
        async for part in body:
            parts.append(part)
            size += len(part)
            if size >= _room.piece_bytes:
                yield b"".join(parts)
                parts, size = [], 0
    except Exception:
        # The client is gone, or too slow. What it sent can be gone on from, so it is handed on before the error is.
        if size:
            yield b"".join(parts)
        raise
    if size:
        yield b"".join(parts)
