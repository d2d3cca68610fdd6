"""Who may do what: the whole matrix, as a table."""

from __future__ import annotations

from typing import Final

import pytest

from registry.oci.access import Action, Anonymous, Principal, User
from registry.oci.errors import Denied, Unauthorized
from registry.oci.names import RepositoryName
from registry.policy.access import AccessRules, may, require, require_known

PULL, PUSH, DELETE, CATALOG = Action.PULL, Action.PUSH, Action.DELETE, Action.CATALOG
OPEN: Final = AccessRules(open_to_all=True)
CLOSED: Final = AccessRules(open_to_all=False, readers=frozenset({"reader"}))
NOBODY, READER, WRITER = Anonymous(), User("reader"), User("writer")

# What each may do; nothing else.
MATRIX: Final[list[tuple[AccessRules, Principal, set[Action]]]] = [
    (OPEN, NOBODY, {PULL, PUSH, DELETE, CATALOG}),
    (OPEN, READER, {PULL, PUSH, DELETE, CATALOG}),
    (OPEN, WRITER, {PULL, PUSH, DELETE, CATALOG}),
    (CLOSED, NOBODY, set()),
    (CLOSED, READER, {PULL, CATALOG}),
    (CLOSED, WRITER, {PULL, PUSH, DELETE, CATALOG}),
]


@pytest.mark.parametrize("repository", [RepositoryName("team/app"), None])
@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize(("rules", "principal", "allowed"), MATRIX)
def test_access(
    rules: AccessRules,
    principal: Principal,
    allowed: set[Action],
    action: Action,
    repository: RepositoryName | None,
) -> None:
    """Everybody may do what the table says, and is refused all else: unknown ones as unknown, known ones as known."""
    assert may(rules, principal, action, repository) is (action in allowed)
    if action in allowed:
        require(rules, principal, action, repository)
    else:
        with pytest.raises(Unauthorized if principal == NOBODY else Denied):
            require(rules, principal, action, repository)


def test_closed_by_default() -> None:
    """Rules that say nothing let nobody unknown in, and have no readers."""
    rules = AccessRules(open_to_all=False)
    assert not may(rules, NOBODY, PULL, None)
    assert may(rules, READER, PUSH, None)


def test_who_may_ask() -> None:
    """Where there are users, nobody unknown may even ask; where there are none, everybody may."""
    for rules, principal in ((OPEN, NOBODY), (OPEN, READER), (CLOSED, READER), (CLOSED, WRITER)):
        require_known(rules, principal)
    with pytest.raises(Unauthorized):
        require_known(CLOSED, NOBODY)


def test_a_name_is_not_a_user() -> None:
    """Anonymous is nobody, though a user may be called so."""
    assert User("anonymous") != Anonymous()
    assert str(User("anonymous")) != str(Anonymous())


def test_denial_helps() -> None:
    """Who is refused is told who they are here, what they lack and where."""
    with pytest.raises(Denied, match="user reader has no right to push in team/app; ask its operator"):
        require(CLOSED, READER, PUSH, RepositoryName("team/app"))
    with pytest.raises(Denied, match="no right to delete in this registry"):
        require(CLOSED, READER, DELETE, None)
