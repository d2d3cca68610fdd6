"""From `with serve(...)` to a running registry, and back to nothing."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from registry.testing.oci_registry import OciRegistry

if TYPE_CHECKING:
    from types import TracebackType

    from registry.testing.options import Options

_MEMORY = Path("/dev/shm")  # noqa: S108 (used as a place for a folder of our own)


class Serving:
    """A registry for the length of a `with` or `async with`; each of them gives a fresh one."""

    def __init__(self, options: Options) -> None:
        """Start nothing yet."""
        self._options = options
        self._running: list[tuple[OciRegistry, TemporaryDirectory[str]]] = []

    def __enter__(self) -> OciRegistry:
        """Start; return when requests are answered."""
        folder = TemporaryDirectory(prefix="registry-testing-", dir=_place(self._options))
        try:
            oci = OciRegistry(self._options, Path(folder.name))
            oci.start()
        except BaseException:
            folder.cleanup()
            raise
        self._running.append((oci, folder))
        return oci

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; nothing is left but what was asked to be `persistent` in a place."""
        oci, folder = self._running.pop()
        oci.stop()
        folder.cleanup()

    async def __aenter__(self) -> OciRegistry:
        """As `with`, without blocking the event loop."""
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As `with`, without blocking the event loop."""
        await asyncio.to_thread(self.__exit__, kind, error, trace)


def _place(options: Options) -> Path | None:
    """In memory where that can be had, since nobody looks at it; None: where temporary files go."""
    wanted = options.store == "memory" and _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)
    return _MEMORY if wanted else None
