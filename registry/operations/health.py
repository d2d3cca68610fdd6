"""Whether what the registry stands on answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry.operations.registry import Registry


async def faults(registry: Registry) -> dict[str, str]:
    """What does not answer, with the kind of error; empty when all is well."""
    found = {}
    for part, ping in (("database", registry.database.ping), ("storage", registry.store.ping)):
        try:
            await ping()
        except Exception as error:  # noqa: BLE001 - whatever it is, the part does not answer
            found[part] = type(error).__name__
    return found
