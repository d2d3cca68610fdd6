"""Who may do what: the one place where that is decided. Default deny."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from registry.oci.access import Action, Anonymous, Principal, User
from registry.oci.errors import Denied, Unauthorized

if TYPE_CHECKING:
    from registry.oci.names import RepositoryName

_LOG_IN: Final = "log in first: this registry asks everybody for a user name and password"


@dataclass(frozen=True, slots=True)
class AccessRules:
    """`open_to_all`: no users are configured. `readers`: names of users who may only pull."""

    open_to_all: bool
    readers: frozenset[str] = frozenset()


def may(rules: AccessRules, principal: Principal, action: Action, repository: RepositoryName | None) -> bool:
    """Whether `principal` may do `action` to `repository` (None: to the registry as a whole)."""
    del (
        repository
    )  # rights for each repository are not configurable yet; every caller already says which it is
    if rules.open_to_all:
        return True
    match principal:
        case Anonymous():
            return False
        case User(name):
            return action in {Action.PULL, Action.CATALOG} or name not in rules.readers


def require_known(rules: AccessRules, principal: Principal) -> None:
    """Nothing for everybody who may ask at all; Unauthorized for somebody unknown where there are users."""
    if isinstance(principal, Anonymous) and not rules.open_to_all:
        raise Unauthorized(_LOG_IN)


def require(
    rules: AccessRules, principal: Principal, action: Action, repository: RepositoryName | None
) -> None:
    """Nothing where `may`; else Unauthorized for somebody unknown, Denied for somebody known."""
    if may(rules, principal, action, repository):
        return
    if isinstance(principal, Anonymous):
        raise Unauthorized(_LOG_IN)
    where = f"in {repository}" if repository else "in this registry"
    raise Denied(f"user {principal.name} has no right to {action} {where}; ask its operator for it")
