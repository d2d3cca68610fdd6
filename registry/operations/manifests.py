"""Manifests: accepted only when complete, served byte for byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.db import blobs, manifests, repositories, tags
from registry.db.clock import now_us
from registry.oci.digest import Digest
from registry.oci.errors import DigestMismatch, ManifestUnknown, TooManyTags
from registry.operations.entries import BlobLinked, ManifestDeleted, ManifestStored, TagDeleted
from registry.operations.outbox import note
from registry.policy.completeness import require_complete, require_sizes
from registry.policy.deletion import require_enabled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry.db.blobs import Held
    from registry.db.database import Connection
    from registry.db.manifests import StoredManifest
    from registry.oci.manifest import Manifest
    from registry.oci.names import Reference, RepositoryName, Tag
    from registry.operations.entries import Entry
    from registry.operations.registry import Registry
    from registry.storage.journal import Line


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
    lines = await registry.database.write(
        _store, push, allow_missing=registry.settings.missing_references_allowed
    )
    await registry.deliver(*lines)
    return push


async def delete(registry: Registry, repository: RepositoryName, reference: Reference) -> None:
    """Delete a tag and only it, or a manifest and the tags that point to it (end-9)."""
    require_enabled(enabled=registry.settings.deletion_enabled)
    line = await registry.database.write(_delete, repository, reference)
    if line is None:
        raise ManifestUnknown(repository, reference)
    await registry.deliver(line)


def _delete(connection: Connection, repository: RepositoryName, reference: Reference) -> Line | None:
    """What is to be written of it; None where there was nothing to delete."""
    entry: Entry
    if isinstance(reference, Digest):
        deleted = manifests.delete_manifest(connection, repository, reference)
        entry = ManifestDeleted(repository, reference)
    else:
        deleted = tags.delete_tag(connection, repository, reference)
        entry = TagDeleted(repository, reference)
    return note(connection, entry) if deleted else None


def _store(connection: Connection, push: Push, *, allow_missing: bool) -> list[Line]:
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
    return _note(connection, push, held, complete=complete)


def _note(connection: Connection, push: Push, held: Mapping[Digest, Held], *, complete: bool) -> list[Line]:
    """What is to be written of a push; `held`: what the repository sees of the blobs that it names.

    That it sees all of them goes without saying where the manifest is complete.
    """
    at_us = now_us()
    linked = [
        note(connection, BlobLinked(push.repository, digest, blob.size, at_us))
        for digest, blob in (() if complete else held.items())
    ]
    stored = ManifestStored(
        push.repository,
        push.digest,
        push.manifest.media_type,
        push.manifest.content,
        complete=complete,
        at_us=at_us,
        tags=push.tags,
    )
    return [*linked, note(connection, stored)]
