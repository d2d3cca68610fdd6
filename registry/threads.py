"""Work on other threads, which nobody walks away from."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

Ts = TypeVarTuple("Ts")
T = TypeVar("T")


async def in_thread(threads: Executor | None, function: Callable[[*Ts], T], *args: *Ts) -> T:
    """What `function` returns, run on one of `threads` (None: the loop's); when cancelled, wait for it nevertheless.

    A thread cannot be stopped. To close a file that it still uses would let it write into whichever file gets the same
    number next.
    """
    future = asyncio.get_running_loop().run_in_executor(threads, function, *args)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        raise
