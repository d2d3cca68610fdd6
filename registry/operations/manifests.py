"""Manifests: accepted only when complete, served byte for byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.db import blobs, manifests, repositories, tags
from registry.oci.digest import Digest
from registry.oci.errors import DigestMismatch, ManifestUnknown, TooManyTags
from registry.policy.completeness import require_complete, require_sizes
from registry.policy.deletion import require_enabled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.db.database import Connection
    from registry.db.manifests import StoredManifest
    from registry.oci.manifest import Manifest
    from registry.oci.names import Reference, RepositoryName, Tag
    from registry.operations.registry import Registry


@dataclass(frozen=True, slots=True)
class Push:
    """A manifest on its way in; `tags` will point to it."""

    repository: RepositoryName
    digest: Digest
    manifest: Manifest
    tags: tuple[Tag, ...]


async def get(
    registry: Registry, repository: RepositoryName, reference: Reference, *, head: bool = False
) -> StoredManifest:
    """The manifest (end-3), without its content for `head`; ManifestUnknown where there is none."""
    found = await registry.database.look(manifests.find, repository, reference, head=head)
    if found is None:
        raise ManifestUnknown(repository, reference)
    return found


async def put(
    registry: Registry,
    repository: RepositoryName,
    reference: Reference,
    manifest: Manifest,
    more_tags: Sequence[Tag] = (),
) -> Push:
    """Accept a manifest under a tag, or under its digest with any number of tags (end-7a, end-7b).

    Raises DigestMismatch, TooManyTags, ManifestBlobUnknown where it names what the repository does not have, and
    ManifestSizesWrong where what it names has another size.
    """
    if isinstance(reference, Digest):
        digest, names = reference, tuple(sorted(set(more_tags)))
        actual = Digest.of(manifest.content, reference.algorithm)
        if actual != reference:
            raise DigestMismatch(reference, actual)
    else:
        digest, names = Digest.of(manifest.content), (reference,)
    if len(names) > registry.settings.tags_per_push_max:
        raise TooManyTags(f"at most {registry.settings.tags_per_push_max} tags can be given with one push")
    push = Push(repository, digest, manifest, names)
    await registry.database.write(_store, push, allow_missing=registry.settings.missing_references_allowed)
    return push


async def delete(registry: Registry, repository: RepositoryName, reference: Reference) -> None:
    """Delete a tag and only it, or a manifest and the tags that point to it (end-9)."""
    require_enabled(enabled=registry.settings.deletion_enabled)
    if isinstance(reference, Digest):
        deleted = await registry.database.write(manifests.delete_manifest, repository, reference)
    else:
        deleted = await registry.database.write(tags.delete_tag, repository, reference)
    if not deleted:
        raise ManifestUnknown(repository, reference)


def _store(connection: Connection, push: Push, *, allow_missing: bool) -> None:
    repository_id = repositories.ensure(connection, push.repository)
    named = {blob.digest: blob for blob in push.manifest.blobs}
    children = {child.digest for child in push.manifest.manifests}
    held = blobs.hold(connection, repository_id, named.keys())
    held_children = manifests.hold(connection, repository_id, children)
    missing_blobs = named.keys() - held.keys()
    complete = require_complete(
        missing_blobs | (children - held_children.keys()), allow_missing=allow_missing
    )
    require_sizes(push.manifest.blobs, {digest: blob.size for digest, blob in held.items()})
    require_sizes(push.manifest.manifests, held_children)
    blob_ids = [blob.id for blob in held.values()]
    blob_ids += [blobs.expect(connection, named[digest]) for digest in sorted(missing_blobs)]
    manifest_id = manifests.insert_manifest(
        connection, repository_id, push.digest, push.manifest, complete=complete
    )
    manifests.insert_references(connection, repository_id, manifest_id, blob_ids, children)
    for tag in push.tags:
        tags.point(connection, repository_id, tag, manifest_id)
