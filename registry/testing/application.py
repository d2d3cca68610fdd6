"""The registry's own application, started: with tables at once, and a store whose disk can be full."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from registry.app import build, build_store
from registry.db.migrate import create
from registry.storage.files import make_directory
from registry.testing.limited_store import LimitedStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from registry.app import App
    from registry.keys import Config


@asynccontextmanager
async def application(config: Config) -> AsyncIterator[App]:
    """The application as a server runs it, in the caller's event loop and without a server."""
    app = build(config, LimitedStore(build_store(config)))
    if config.database_url.startswith("sqlite:"):
        if config.storage.kind == "filesystem":
            make_directory(config.storage.directory.absolute())  # where the database lies, too
        create(app.registry.database)
    async with app.running():
        yield app
