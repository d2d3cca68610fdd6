"""What every deed works on: the bytes, the rows, and what the operator decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registry.operations.hashing import RunningHashes
from registry.operations.outbox import Outbox
from registry.operations.small import SmallBlobs
from registry.policy.redirection import RedirectRules

if TYPE_CHECKING:
    from registry.db.database import Database
    from registry.policy.access import AccessRules
    from registry.storage.contract import BlobStore
    from registry.storage.journal import Line


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's decisions, as the deeds need them; the configuration explains each."""

    manifest_bytes_max: int
    missing_references_allowed: bool
    tags_per_push_max: int
    deletion_enabled: bool
    upload_idle_seconds_max: float
    page_size_max: int
    redirect: RedirectRules = field(default_factory=RedirectRules)


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry; nothing in it is known to this process alone but what can be had again, and its outbox."""

    database: Database
    store: BlobStore
    access: AccessRules
    settings: Settings
    hashes: RunningHashes = field(default_factory=RunningHashes)
    small: SmallBlobs = field(default_factory=SmallBlobs)
    outbox: Outbox = field(default_factory=Outbox)

    async def deliver(self, *lines: Line) -> None:
        """Write to the store's journal what was committed, before anybody is told of it."""
        await self.outbox.deliver(self.store.journal, lines)
