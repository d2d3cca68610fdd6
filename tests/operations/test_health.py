"""Whether what the registry stands on answers; and the one question before every deed."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from registry.db.database import open_database
from registry.oci.access import Action
from registry.oci.errors import Unauthorized
from registry.operations import health
from registry.operations.access import authorize
from registry.operations.registry import Registry
from registry.policy.access import AccessRules
from registry.storage.filesystem import FilesystemStore
from tests.support.registries import ANYBODY, APP

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


async def test_all_answers(registry: Registry) -> None:
    """Where database and store work, nothing is at fault."""
    assert await health.faults(registry) == {}


async def test_store_is_away(registry: Registry, tmp_path: Path) -> None:
    """A store that does not answer is named, with the kind of its error and no more."""
    away = Registry(registry.database, FilesystemStore(tmp_path / "away"), registry.access, registry.settings)
    assert await health.faults(away) == {"storage": "FileNotFoundError: No such file or directory"}


@pytest.mark.parametrize(
    "url", ["sqlite:////no/such/folder/registry.db", "postgresql:///none?host=/no/such/folder"]
)
async def test_both_are_away(registry: Registry, tmp_path: Path, url: str) -> None:
    """A database that does not answer is named beside the store."""
    with closing(open_database(url)) as database:
        away = Registry(database, FilesystemStore(tmp_path / "away"), registry.access, registry.settings)
        with capture_logs() as logs:
            faults = await health.faults(away)
    assert faults.keys() == {"database", "storage"}
    assert "/no/such/folder" not in str(faults)
    assert [(line["log_level"], line["part"]) for line in logs] == [
        ("warning", "database"),
        ("warning", "storage"),
    ]
    assert "OperationalError: " in logs[0]["cause"]
    assert "\n" not in logs[0]["cause"]


async def test_rules_are_asked(registry: Registry) -> None:
    """Before each deed the rules are asked, which the registry holds."""
    authorize(registry, ANYBODY, Action.PUSH, APP)
    closed = Registry(registry.database, registry.store, AccessRules(open_to_all=False), registry.settings)
    with pytest.raises(Unauthorized):
        authorize(closed, ANYBODY, Action.PULL, APP)
