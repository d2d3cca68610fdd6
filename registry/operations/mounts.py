"""Mounting: a repository sees a blob that another one has, without sending it again (spec.md, end-11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registry.db import blobs, repositories
from registry.oci.access import Action
from registry.policy.access import may

if TYPE_CHECKING:
    from registry.db.database import Connection
    from registry.oci.access import Principal
    from registry.oci.digest import Digest
    from registry.oci.names import RepositoryName
    from registry.operations.registry import Registry

_CANDIDATES_MAX: Final = 100


async def mount(
    registry: Registry,
    target: RepositoryName,
    digest: Digest,
    source: RepositoryName | None,
    principal: Principal,
) -> bool:
    """Whether the blob could be mounted from `source`, or from anywhere where no source is given.

    A repository that the principal may not pull from is as good as one that has no such blob: whether it has must
    not be found out this way.
    """
    candidates = (
        [source] if source else await registry.database.read(blobs.repositories_with, digest, _CANDIDATES_MAX)
    )
    for candidate in candidates:
        if may(registry.access, principal, Action.PULL, candidate) and await registry.database.write(
            _mount, candidate, digest, target
        ):
            return True
    return False


def _mount(connection: Connection, source: RepositoryName, digest: Digest, target: RepositoryName) -> bool:
    # Asked first, so that a mount of nothing makes no repository; what counts is what can be held after that.
    if blobs.size_in(connection, source, digest) is None:
        return False
    return blobs.mount(connection, source, digest, repositories.ensure(connection, target)) is not None
