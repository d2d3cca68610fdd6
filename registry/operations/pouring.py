"""Pours a request's body into staged bytes: hashes and writes one piece while the next one arrives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from registry.storage.contract import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from registry.operations.hashing import RunningHash
    from registry.storage.contract import Staged


async def pour(
    body: AsyncIterator[bytes],
    staged: Staged,
    running: RunningHash,
    checkpoint: Callable[[int], Awaitable[None]],
) -> None:
    """Append the whole body, and keep the hash in step; `checkpoint` is told the size after each piece.

    What arrived before an error is in `staged` all the same, when the error comes from the body.
    """
    underway: asyncio.Task[None] | None = None
    try:
        async for piece in _pieces(body):
            if underway is not None:
                await underway
                await checkpoint(staged.size)
            underway = asyncio.create_task(_take(piece, staged, running))
    finally:
        if underway is not None:
            await underway


async def _take(piece: bytes, staged: Staged, running: RunningHash) -> None:
    # Both end before this does: after a failed write nobody may find the other still at work.
    outcomes = await asyncio.gather(staged.write(piece), running.update(piece), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def _pieces(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body in pieces of about CHUNK_BYTES; the last one, before the end or an error, may be smaller."""
    parts: list[bytes] = []
    size = 0
    try:
        async for part in body:
            parts.append(part)
            size += len(part)
            if size >= CHUNK_BYTES:
                yield b"".join(parts)
                parts, size = [], 0
    except Exception:
        # The client is gone, or too slow. What it sent can be gone on from, so it is handed on before the error is.
        if size:
            yield b"".join(parts)
        raise
    if size:
        yield b"".join(parts)
