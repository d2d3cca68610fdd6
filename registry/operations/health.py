"""Whether what the registry stands on answers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from registry import logs
from registry.oci.errors import RegistryError, in_one_line

if TYPE_CHECKING:
    from registry.operations.registry import Registry


log = logs.logger(__name__)


async def faults(registry: Registry) -> dict[str, str]:
    """What does not answer, and why in words that anybody may read; empty when all is well. The log has the cause."""
    found = {}
    for part, ping in (("database", registry.database.ping), ("storage", registry.store.ping)):
        try:
            await ping()
        except Exception as error:  # noqa: BLE001 - whatever it is, the part does not answer
            found[part] = _told(error)
            log.warning(
                "not ready", part=part, error=found[part], cause=in_one_line(error.__cause__ or error)
            )
    return found


def _told(error: Exception) -> str:
    """Without what names hosts, users or paths, as drivers' words do."""
    if isinstance(error, RegistryError):
        return f"{type(error).__name__}: {error.message}"
    if isinstance(error, OSError) and error.errno:
        return f"{type(error).__name__}: {os.strerror(error.errno)}"
    return type(getattr(error, "orig", None) or error).__name__
