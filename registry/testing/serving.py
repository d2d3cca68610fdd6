"""From `with serve(...)` to a running registry, and back to nothing."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from registry.testing.oci_registry import OciRegistry

if TYPE_CHECKING:
    from types import TracebackType

    from registry.testing.options import Options

_MEMORY = Path("/dev/shm")  # noqa: S108 (used as a place for a folder of our own)


class Serving:
    """A registry for the length of a `with` or `async with`; one after the other, each of them gives a fresh one."""

    def __init__(self, options: Options) -> None:
        """Start nothing yet."""
        self._options = options
        self._in_use = threading.Lock()
        self._stack = ExitStack()

    def __enter__(self) -> OciRegistry:
        """Start; return when requests are answered."""
        if not self._in_use.acquire(blocking=False):
            raise RuntimeError("this registry runs already; for one more, call serve() again")
        with ExitStack() as stack:
            stack.callback(self._in_use.release)
            place = _place(self._options)
            folder = stack.enter_context(TemporaryDirectory(prefix="registry-testing-", dir=place))
            oci = OciRegistry(self._options, Path(folder))
            oci.start()
            stack.callback(oci.stop)
            self._stack = stack.pop_all()
        return oci

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; nothing is left but what was asked to be `persistent` in a place."""
        self._stack.close()

    async def __aenter__(self) -> OciRegistry:
        """As `with`, without blocking the event loop, asyncio's or trio's; to cancel it does not leave it half done."""
        with anyio.CancelScope(shield=True):
            oci = await anyio.to_thread.run_sync(self.__enter__)
        return oci  # noqa: RET504 (mypy takes the scope for one that may hide an error)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As `with`, without blocking the event loop."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.__exit__, kind, error, trace)


def _place(options: Options) -> Path | None:
    """In memory where that can be had, since nobody looks at it; None: where temporary files go."""
    wanted = options.store == "memory" and _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)
    return _MEMORY if wanted else None
