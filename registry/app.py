"""Builds everything from the configuration; the only module that knows every room."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.routing import Router

from registry import logs
from registry.api.door import Door, DoorSettings
from registry.auth.htpasswd import Htpasswd
from registry.auth.nobody import NoUsers
from registry.db.database import Database, open_database
from registry.db.migrate import current_revision, migrate, require_current
from registry.operations.check import CheckReport, Progress
from registry.operations.check import check as check_registry
from registry.operations.describing import describe_forever, look_around
from registry.operations.purging import purge_forever
from registry.operations.registry import Registry, Settings
from registry.policy.access import AccessRules
from registry.policy.redirection import EVERYBODY, RedirectRules
from registry.storage.files import make_directory
from registry.storage.filesystem import FilesystemStore
from registry.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from registry.auth.authenticator import Authenticator
    from registry.config import Config
    from registry.keys import Objects
    from registry.storage.contract import BlobStore


class App:
    """The ASGI application: requests go straight to the door, all else (start and stop) to the framework."""

    def __init__(self, config: Config, store: BlobStore | None = None) -> None:
        self._config = config
        self.registry = build_registry(config, store)
        self._authenticator = build_authenticator(config)
        self._door = Door(
            self.registry,
            self._authenticator,
            DoorSettings(config.http.body_idle_seconds_max, logs.access_log(), config.http.trusted_proxies),
        )
        self._router = Router(lifespan=lambda _router: self.running())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        await (self._door if scope["type"] == "http" else self._router)(scope, receive, send)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Folders and tables are made, uploads purged, the journal kept; at the end, threads and connections let go."""
        try:
            await asyncio.to_thread(_make_directory, self._config)
            await self.registry.store.open()
            await asyncio.to_thread(_migrate, self._config, self.registry.database)
            await look_around(self.registry)
            async with self._working():
                yield
        finally:
            self._authenticator.close()
            self.registry.store.close()
            self.registry.database.close()

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        """Within it, what nobody asks for is done again and again."""
        purging = purge_forever(self.registry, self._config.uploads.purge_interval_seconds)
        tasks = [asyncio.create_task(work) for work in (purging, describe_forever(self.registry))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def build(config: Config, store: BlobStore | None = None) -> App:
    """The ASGI application; its start-up makes folders and tables, which need not exist before.

    `store`: where the bytes go, if not where the configuration says.
    """
    return App(config, store)


def prepare(config: Config) -> str:
    """Bring the tables up to date; what was done, in words."""
    _make_directory(config)
    database = _open_database(config)
    try:
        changed = migrate(database)
        revision = current_revision(database)
    finally:
        database.close()
    return f"{'migrated the database to' if changed else 'nothing to do, the database is at'} revision {revision}"


def check(config: Config, deep: bool, progress: Progress) -> CheckReport:  # noqa: FBT001 - the command's one flag
    """Verify that rows and bytes are what they promise to be, beside a server that may be running."""
    registry = build_registry(config)
    try:
        require_current(registry.database)
        return asyncio.run(check_registry(registry, progress, deep=deep))
    finally:
        registry.store.close()
        registry.database.close()


def build_registry(config: Config, store: BlobStore | None = None) -> Registry:
    """What the deeds work on."""
    return Registry(
        database=_open_database(config),
        store=store or build_store(config),
        access=AccessRules(
            open_to_all=config.auth.htpasswd.file is None, readers=frozenset(config.auth.htpasswd.readers)
        ),
        settings=Settings(
            manifest_bytes_max=config.manifests.size_bytes_max,
            missing_references_allowed=config.manifests.missing_references == "allow",
            tags_per_push_max=config.manifests.tags_per_push_max,
            deletion_enabled=config.deletion.enabled,
            upload_idle_seconds_max=config.uploads.idle_seconds_max,
            page_size_max=config.lists.page_size_max,
            redirect=build_redirect_rules(config),
        ),
    )


def build_store(config: Config) -> BlobStore:
    """Where the bytes go."""
    if config.storage.kind == "memory":
        return MemoryStore()
    if config.storage.kind == "objects":
        return _build_object_store(config.storage.objects)
    return FilesystemStore(config.storage.directory)


def _build_object_store(objects: Objects) -> BlobStore:
    # Half a second, and some 15 MB, that only those pay who use it.
    from registry.storage.objects.service import Bucket
    from registry.storage.objects.store import ObjectStore

    bucket = Bucket(
        objects.url or "", objects.endpoint, objects.region, objects.allow_http, objects.redirect_endpoint
    )
    return ObjectStore(bucket)


def build_redirect_rules(config: Config) -> RedirectRules:
    """Who fetches blobs from the storage service itself."""
    objects = config.storage.objects
    if config.storage.kind != "objects" or objects.redirect == "never":
        return RedirectRules()
    networks = EVERYBODY if objects.redirect == "always" else objects.redirect_networks
    return RedirectRules(networks, config.http.trusted_proxies, objects.redirect_seconds)


def build_authenticator(config: Config) -> Authenticator:
    """How it is found out who is asking; HtpasswdInvalid where the file cannot be used."""
    htpasswd = config.auth.htpasswd
    if htpasswd.file is None:
        return NoUsers()
    return Htpasswd(htpasswd.file, realm=htpasswd.realm, cache_seconds=htpasswd.cache_seconds)


def _open_database(config: Config) -> Database:
    return open_database(
        config.database_url,
        pool_size=config.database.pool_size,
        busy_seconds_max=config.database.busy_seconds_max,
    )


def _migrate(config: Config, database: Database) -> None:
    if config.database.migrate_at_start:
        migrate(database)
    else:
        require_current(database)


def _make_directory(config: Config) -> None:
    if config.database_url.startswith("sqlite:///") or config.storage.kind == "filesystem":
        make_directory(config.storage.directory.absolute())
