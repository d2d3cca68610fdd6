"""The registry as a few dictionaries: what the deeds should do, in as few lines as it can be said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.images import blob_digest, digest

if TYPE_CHECKING:
    from collections.abc import Collection

    from registry.oci.digest import Digest
    from registry.oci.manifest import Manifest
    from registry.oci.names import RepositoryName


@dataclass
class Repository:
    """What a repository has: blobs by name, manifests, and where its tags point."""

    blobs: set[str] = field(default_factory=set)
    manifests: dict[Digest, Manifest] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)

    def missing(self, manifest: Manifest) -> list[Digest]:
        """What the manifest names and the repository does not have, in order."""
        named = {descriptor.digest for descriptor in (*manifest.blobs, *manifest.manifests)}
        return sorted(named - {blob_digest(name) for name in self.blobs} - self.manifests.keys())

    def naming(self, blob: str) -> set[Digest]:
        """The manifests that name a blob."""
        return {
            found
            for found, manifest in self.manifests.items()
            if blob_digest(blob) in {descriptor.digest for descriptor in manifest.blobs}
        }

    def push(self, manifest: Manifest, tags: Collection[str]) -> None:
        """Take a complete manifest, and let the tags point to it."""
        self.manifests[digest(manifest)] = manifest
        self.tags |= dict.fromkeys(tags, digest(manifest))

    def delete(self, wanted: Digest) -> None:
        """Delete a manifest and its tags, where it is there."""
        self.manifests.pop(wanted, None)
        self.tags = {tag: pointed for tag, pointed in self.tags.items() if pointed != wanted}

    def referrers(self, subject: Digest, artifact_type: str | None) -> list[Digest]:
        """The manifests with this subject and type, in order."""
        return sorted(
            found
            for found, manifest in self.manifests.items()
            if manifest.subject
            and manifest.subject.digest == subject
            and artifact_type in {None, manifest.artifact_type}
        )


@dataclass
class Model:
    """Repositories by name: those that something was pushed or mounted to."""

    repositories: dict[RepositoryName, Repository] = field(default_factory=dict)

    def get(self, name: RepositoryName) -> Repository:
        """The repository, an empty one where there is none."""
        return self.repositories.get(name, Repository())

    def ensure(self, name: RepositoryName) -> Repository:
        """The repository, which is made where there is none."""
        return self.repositories.setdefault(name, Repository())

    def sources(self, blob: str, source: RepositoryName | None) -> list[RepositoryName]:
        """The repositories that a blob can be mounted from: `source`, or any."""
        return [
            name
            for name, repository in self.repositories.items()
            if blob in repository.blobs and source in {None, name}
        ]
