"""Rows as a push leaves them, made with the query functions alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.db import blobs, manifests, repositories, tags
from registry.oci.names import RepositoryName, Tag
from tests.support import images

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from registry.oci.digest import Digest
    from registry.oci.manifest import Manifest

APP = RepositoryName("team/app")
COPY = RepositoryName("team/copy")


def push_blobs(connection: Connection, repository: RepositoryName, *names: str) -> None:
    """The blobs of these names are published, and the repository sees them."""
    repository_id = repositories.ensure(connection, repository)
    for name in names:
        blobs.record(connection, repository_id, images.blob_digest(name), len(images.blob(name)))


def push_manifest(
    connection: Connection, repository: RepositoryName, manifest: Manifest, *names: str, complete: bool = True
) -> Digest:
    """The manifest is in the repository, under its digest and these tags; of its blobs, those that are there count."""
    digest = images.digest(manifest)
    repository_id = repositories.ensure(connection, repository)
    held = blobs.hold(connection, repository_id, {blob.digest for blob in manifest.blobs})
    manifest_id = manifests.insert_manifest(connection, repository_id, digest, manifest, complete=complete)
    children = {child.digest for child in manifest.manifests}
    manifests.insert_references(
        connection, repository_id, manifest_id, [blob.id for blob in held.values()], children
    )
    for name in names:
        tags.point(connection, repository_id, Tag(name), manifest_id)
    return digest


def push_image(
    connection: Connection,
    repository: RepositoryName,
    *layers: str,
    tag: str = "latest",
    annotation: str = "",
) -> Digest:
    """An image with its config and layers."""
    push_blobs(connection, repository, "config", *layers)
    return push_manifest(connection, repository, images.image(*layers, annotations={"note": annotation}), tag)
