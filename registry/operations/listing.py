"""Lists in pages: tags, repositories, referrers. Every page is one indexed query that starts behind the last entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from registry.db import referrers, repositories, tags
from registry.db.referrers import ReferrersOf
from registry.oci.access import Action
from registry.oci.errors import NameUnknown
from registry.policy.access import may

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.db.database import Connection
    from registry.oci.access import Principal
    from registry.oci.digest import Digest
    from registry.oci.manifest import Referrer
    from registry.oci.names import RepositoryName, Tag
    from registry.operations.registry import Registry

_REFERRERS_BYTES_MAX: Final = 3 * 1024 * 1024
"""Annotations on one page of referrers: the whole stays below the 4 MiB that clients take for a manifest."""
_REFERRERS_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list; `more` says that entries follow behind the last one."""

    entries: Sequence[str]
    more: bool


@dataclass(frozen=True, slots=True)
class ReferrersPage:
    """A part of a referrers list."""

    entries: Sequence[Referrer]
    more: bool


async def list_tags(registry: Registry, repository: RepositoryName, last: str, limit: int | None) -> Page:
    """Tags behind `last`, in byte order (end-8); NameUnknown for a repository that is not there."""
    limit = _clamped(registry, limit)
    found = await registry.database.read(_tags_behind, repository, last, limit + 1)
    return Page(found[:limit], more=len(found) > limit > 0)


async def list_repositories(registry: Registry, principal: Principal, last: str, limit: int | None) -> Page:
    """Repositories behind `last` that the principal may pull from, in byte order."""
    limit = _clamped(registry, limit)
    visible: list[str] = []
    while limit and len(visible) <= limit:
        found = await registry.database.read(repositories.page, last, limit + 1)
        visible += [name for name in found if may(registry.access, principal, Action.PULL, name)]
        if len(found) <= limit:
            break
        last = found[-1]
    return Page(visible[:limit], more=len(visible) > limit > 0)


async def list_referrers(
    registry: Registry, repository: RepositoryName, subject: Digest, artifact_type: str | None, last: str
) -> ReferrersPage:
    """Manifests whose subject is the digest, behind the digest `last`; none is not an error (end-12a, end-12b)."""
    wanted = ReferrersOf(repository, subject, artifact_type)
    limit = min(_REFERRERS_MAX, registry.settings.page_size_max)
    return await registry.database.read(_referrers_behind, wanted, last, limit)


def _clamped(registry: Registry, limit: int | None) -> int:
    most = registry.settings.page_size_max
    return most if limit is None else min(limit, most)


def _tags_behind(connection: Connection, repository: RepositoryName, last: str, limit: int) -> list[Tag]:
    repository_id = repositories.find(connection, repository)
    if repository_id is None:
        raise NameUnknown(repository)
    return tags.page(connection, repository_id, last, limit)


def _referrers_behind(connection: Connection, wanted: ReferrersOf, last: str, limit: int) -> ReferrersPage:
    keys = referrers.keys(connection, wanted, last, limit + 1)
    fitting: list[int] = []
    size = 0
    for key in keys[:limit]:
        size += key.annotations_bytes
        if fitting and size > _REFERRERS_BYTES_MAX:
            break
        fitting.append(key.manifest_id)
    return ReferrersPage(referrers.fetch(connection, fitting), more=len(keys) > len(fitting))
