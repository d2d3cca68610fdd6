"""A second process on the same folder: holds the staged bytes of an upload until it is killed.

Run as `python -m tests.storage.holder FOLDER UPLOAD CONTENT`; says "held" once it does.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from registry.storage.filesystem import FilesystemStore


async def hold(folder: str, upload: str, content: str) -> None:
    """Write the content, and wait for ever."""
    store = FilesystemStore(Path(folder))
    await store.open()
    async with store.stage(upload) as staged:
        await staged.write(content.encode())
        sys.stdout.write("held\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(hold(*sys.argv[1:]))
