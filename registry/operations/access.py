"""The questions that every request is asked before anything is done for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.policy import access

if TYPE_CHECKING:
    from registry.oci.access import Action, Principal
    from registry.oci.names import RepositoryName
    from registry.operations.registry import Registry


def admit(registry: Registry, principal: Principal) -> None:
    """Nothing where the principal may ask at all; else Unauthorized."""
    access.require_known(registry.access, principal)


def authorize(
    registry: Registry, principal: Principal, action: Action, repository: RepositoryName | None
) -> None:
    """Nothing where the principal may; else Unauthorized or Denied."""
    access.require(registry.access, principal, action, repository)
