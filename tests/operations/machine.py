"""A state machine: Hypothesis does deeds to a registry and to the model, and compares after each of them."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from registry.db import blobs as blob_rows
from registry.db import inspection
from registry.db import manifests as manifest_rows
from registry.db import repositories as repository_rows
from registry.oci.digest import Digest
from registry.oci.errors import (
    BlobReferenced,
    BlobUnknown,
    BlobUploadUnknown,
    DigestMismatch,
    ManifestBlobUnknown,
    ManifestUnknown,
    NameUnknown,
    UploadOutOfOrder,
)
from registry.oci.names import RepositoryName, Tag
from registry.oci.ranges import ChunkRange
from registry.operations import blobs, listing, manifests, mounts, uploads
from registry.operations.purging import purge
from tests.operations.model import Model
from tests.support.entries import backed_up, restored
from tests.support.images import blob, blob_digest, digest, image, index
from tests.support.registries import ANYBODY, problems, read_blob, stream

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Protocol

    from sqlalchemy import Connection

    from registry.oci.manifest import Manifest
    from registry.oci.names import Reference
    from registry.operations.registry import Registry

    class Environment(Protocol):
        """Where the machine gets its registries from."""

        async def fresh(self) -> Registry:
            """A registry with nothing in it."""

        async def restarted(self) -> Registry:
            """The same registry in a new process, as it were."""

        async def with_empty_database(self) -> Registry:
            """The same store, with a database that has nothing in it."""

        def close(self) -> None:
            """Close what is open."""


T = TypeVar("T")

REPOSITORIES: Final = [RepositoryName(name) for name in ("a", "a/b", "b")]
BLOBS: Final = ["base", "code", "config", "empty config"]
TAGS: Final = [Tag(tag) for tag in ("V1", "latest", "v1")]
TYPES: Final = [None, "test/one", "test/two"]

# The first of each more often than the others, so that deeds meet.
repositories = st.sampled_from([*REPOSITORIES[:1] * 3, *REPOSITORIES])
names = st.sampled_from(BLOBS)
some_tags = st.sampled_from([[], TAGS[:1], TAGS[1:2], TAGS[:2], TAGS])
lasts = st.sampled_from(["", "", "", "", "V1", "a", "a/b", "latest", "zzz"])
sizes = st.sampled_from([None, 0, 1, 2, 3, 4])


class RegistryMachine(RuleBasedStateMachine):
    """One run: a fresh registry, some deeds, and at the end the operator's own check."""

    made = Bundle("made")  # manifests that were made up, pushed or refused
    started = Bundle("started")  # uploads, and the blob that each is to become

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self.environment = environment
        self.runner = asyncio.Runner()
        self.model = Model()
        self.acknowledged: dict[str, int] = {}

    @initialize(target=made)
    def begin(self) -> Manifest:
        """Start with one image in one repository, and nothing else."""
        self.registry = self.run(self.environment.fresh())
        return self.push_image(REPOSITORIES[0], BLOBS[:1], BLOBS[1], True, None, None, TAGS[:1])  # noqa: FBT003

    def teardown(self) -> None:
        """End with the check: nothing may be wrong, whatever was done."""
        try:
            if hasattr(self, "registry"):
                assert self.run(problems(self.registry)) == []
        finally:
            self.environment.close()
            self.runner.close()

    def run(self, deed: Coroutine[Any, Any, T]) -> T:
        """What the deed returns."""
        return self.runner.run(deed)

    # Blobs

    @rule(repository=repositories, name=names)
    def push_blob(self, repository: RepositoryName, name: str) -> None:
        """A pushed blob is in its repository."""
        self.run(uploads.push(self.registry, repository, blob_digest(name), stream(blob(name))))
        self.model.ensure(repository).blobs.add(name)

    @rule(target_name=repositories, name=names, source=st.none() | repositories)
    def mount(self, target_name: RepositoryName, name: str, source: RepositoryName | None) -> None:
        """A blob is mounted where a source has it, and else nothing happens."""
        found = bool(self.model.sources(name, source))
        mounted = mounts.mount(self.registry, target_name, blob_digest(name), source, ANYBODY)
        assert self.run(mounted) is found
        if found:
            self.model.ensure(target_name).blobs.add(name)

    @rule(repository=repositories, name=names)
    def delete_blob(self, repository: RepositoryName, name: str) -> None:
        """A blob is deleted where it is there and no manifest of the repository names it."""
        deletion = blobs.delete(self.registry, repository, blob_digest(name))
        known = self.model.get(repository)
        if name not in known.blobs:
            with pytest.raises(BlobUnknown):
                self.run(deletion)
        elif naming := known.naming(name):
            with pytest.raises(BlobReferenced) as caught:
                self.run(deletion)
            assert set(caught.value.detail["manifests"]) == naming  # type: ignore[index]
        else:
            self.run(deletion)
            known.blobs.remove(name)

    @rule(repository=repositories, name=names)
    def pull_blob(self, repository: RepositoryName, name: str) -> None:
        """A blob's bytes are those that were pushed; what a repository does not have is unknown."""
        reading = read_blob(self.registry, repository, blob_digest(name))
        if name in self.model.get(repository).blobs:
            assert self.run(reading) == blob(name)
        else:
            with pytest.raises(BlobUnknown):
                self.run(reading)

    # Uploads in several requests

    @rule(target=started, repository=repositories, name=names)
    def start_upload(self, repository: RepositoryName, name: str) -> tuple[uploads.Session, str]:
        """An upload begins with nothing, and makes no repository."""
        session = self.run(uploads.start(self.registry, repository, ANYBODY))
        self.acknowledged[session.id] = 0
        return session, name

    @rule(upload=started, length=st.integers(1, 10))
    def append(self, upload: tuple[uploads.Session, str], length: int) -> None:
        """A chunk in order is taken."""
        session, name = upload
        size = self.acknowledged[session.id]
        piece = blob(name)[size : size + length]
        chunk = ChunkRange(size, size + len(piece) - 1) if piece else None
        appended = self.run(uploads.append(self.registry, session, chunk, stream(piece)))
        assert appended == size + len(piece)
        self.acknowledged[session.id] = appended

    @rule(upload=started)
    def go_on_wrongly(self, upload: tuple[uploads.Session, str]) -> None:
        """A chunk that leaves a gap, or a wrong digest, is refused, and the upload stands where it stood."""
        session, _ = upload
        size = self.acknowledged[session.id]
        with pytest.raises(UploadOutOfOrder):
            self.run(uploads.append(self.registry, session, ChunkRange(size + 1, size + 1), stream(b"x")))
        with pytest.raises(DigestMismatch):
            self.run(uploads.finish(self.registry, session, Digest.of(b"else"), None, stream(b"x")))
        assert self.run(uploads.status(self.registry, session)) == size

    @rule(upload=consumes(started))
    def finish(self, upload: tuple[uploads.Session, str]) -> None:
        """An upload that is finished is a blob, and no upload any more."""
        session, name = upload
        rest = blob(name)[self.acknowledged.pop(session.id) :]
        self.run(uploads.finish(self.registry, session, blob_digest(name), None, stream(rest)))
        self.model.ensure(session.repository).blobs.add(name)
        with pytest.raises(BlobUploadUnknown):
            self.run(uploads.status(self.registry, session))

    @rule(upload=consumes(started))
    def cancel(self, upload: tuple[uploads.Session, str]) -> None:
        """An upload that is cancelled is gone."""
        session, _ = upload
        del self.acknowledged[session.id]
        self.run(uploads.cancel(self.registry, session))
        with pytest.raises(BlobUploadUnknown):
            self.run(uploads.status(self.registry, session))

    # Manifests

    @rule(
        target=made,
        repository=repositories,
        layers=st.lists(names, max_size=2),
        config=names,
        with_blobs=st.sampled_from([True, True, False]),
        subject=st.none() | made,
        artifact_type=st.sampled_from(TYPES),
        with_tags=some_tags,
    )
    def push_image(
        self,
        repository: RepositoryName,
        layers: list[str],
        config: str,
        with_blobs: bool,  # noqa: FBT001
        subject: Manifest | None,
        artifact_type: str | None,
        with_tags: list[Tag],
    ) -> Manifest:
        """An image as clients push it: its blobs, or not, and then the manifest."""
        if with_blobs:
            for name in {*layers, config}:
                self.push_blob(repository, name)
        manifest = image(*layers, config=config, subject=subject, artifact_type=artifact_type)
        self.push(repository, manifest, with_tags)
        return manifest

    @rule(
        target=made,
        repository=repositories,
        children=st.lists(made, max_size=3),
        subject=st.none() | made,
        with_tags=some_tags,
    )
    def push_index(
        self,
        repository: RepositoryName,
        children: list[Manifest],
        subject: Manifest | None,
        with_tags: list[Tag],
    ) -> Manifest:
        """An index of manifests that may be there."""
        manifest = index(*children, subject=subject)
        self.push(repository, manifest, with_tags)
        return manifest

    @rule(target=made, repository=repositories, manifest=made, with_tags=some_tags)
    def push(self, repository: RepositoryName, manifest: Manifest, with_tags: list[Tag]) -> object:
        """A manifest is taken where all it names is there, and else refused with all that is missing."""
        by_tag = len(with_tags) == 1
        reference = with_tags[0] if by_tag else digest(manifest)
        putting = manifests.put(self.registry, repository, reference, manifest, [] if by_tag else with_tags)
        if missing := self.model.get(repository).missing(manifest):
            with pytest.raises(ManifestBlobUnknown) as caught:
                self.run(putting)
            assert caught.value.digests == missing
        else:
            self.run(putting)
            self.model.ensure(repository).push(manifest, with_tags)
        return multiple()

    @rule(repository=repositories, tag=st.sampled_from(TAGS))
    def delete_tag(self, repository: RepositoryName, tag: Tag) -> None:
        """A deleted tag is gone, and nothing else."""
        known = self.model.get(repository)
        self.delete(repository, tag, known=tag in known.tags)
        known.tags.pop(tag, None)

    @rule(repository=repositories, manifest=made)
    def delete_manifest(self, repository: RepositoryName, manifest: Manifest) -> None:
        """A deleted manifest is gone with its tags, and nothing else."""
        known = self.model.get(repository)
        self.delete(repository, digest(manifest), known=digest(manifest) in known.manifests)
        known.delete(digest(manifest))

    def delete(self, repository: RepositoryName, reference: Reference, *, known: bool) -> None:
        """Delete what is known; what is not known is refused."""
        with nullcontext() if known else pytest.raises(ManifestUnknown):
            self.run(manifests.delete(self.registry, repository, reference))

    @rule(repository=repositories, manifest=made, head=st.booleans())
    def pull_manifest(self, repository: RepositoryName, manifest: Manifest, head: bool) -> None:  # noqa: FBT001
        """A manifest is served byte for byte."""
        getting = manifests.get(self.registry, repository, digest(manifest), head=head)
        if digest(manifest) in self.model.get(repository).manifests:
            found = self.run(getting)
            assert (found.media_type, found.size) == (manifest.media_type, len(manifest.content))
            assert found.content == (None if head else manifest.content)
        else:
            with pytest.raises(ManifestUnknown):
                self.run(getting)

    # Lists

    @rule(repository=repositories, last=lasts, size=sizes)
    def list_tags(self, repository: RepositoryName, last: str, size: int | None) -> None:
        """Tags come in byte order, behind the last one."""
        page = listing.list_tags(self.registry, repository, last, size)
        if repository not in self.model.repositories:
            with pytest.raises(NameUnknown):
                self.run(page)
            return
        behind = sorted(tag for tag in self.model.get(repository).tags if tag > last)
        self.assert_page(self.run(page), behind, size)

    @rule(last=lasts, size=sizes)
    def list_repositories(self, last: str, size: int | None) -> None:
        """Repositories come in byte order, behind the last one."""
        page = self.run(listing.list_repositories(self.registry, ANYBODY, last, size))
        self.assert_page(page, sorted(name for name in self.model.repositories if name > last), size)

    @rule(repository=repositories, subject=made, artifact_type=st.sampled_from(TYPES))
    def list_referrers(
        self, repository: RepositoryName, subject: Manifest, artifact_type: str | None
    ) -> None:
        """Referrers come in the order of their digests, of one type or of any."""
        page = self.run(listing.list_referrers(self.registry, repository, digest(subject), artifact_type, ""))
        found = [entry.digest for entry in page.entries]
        assert found == self.model.get(repository).referrers(digest(subject), artifact_type)
        assert not page.more

    @staticmethod
    def assert_page(page: listing.Page, behind: list[str], size: int | None) -> None:
        """The page holds the first entries, and says whether more come."""
        expected = behind if size is None else behind[:size]
        assert list(page.entries) == expected
        assert page.more is (len(expected) < len(behind) and size != 0)

    # What happens beside

    @rule()
    def restart(self) -> None:
        """Neither a restart nor a purge takes anything away that was acknowledged."""
        self.registry = self.run(self.environment.restarted())
        assert self.run(purge(self.registry)) == 0

    @precondition(lambda self: not self.acknowledged)
    @rule()
    def restore(self) -> None:
        """A database that is lost, and restored from a backup, is as it was, but for unfinished uploads."""
        file = self.run(backed_up(self.registry))
        self.registry = self.run(self.environment.with_empty_database())
        report, checked = self.run(restored(self.registry, file, deep=True))
        assert (report.refused, report.missing, checked.problems) == ([], [], [])

    # What is always so

    @invariant()
    def all_is_as_in_the_model(self) -> None:
        """Every repository sees its blobs and no others, has its manifests and tags, and is complete."""
        if hasattr(self, "registry"):
            assert self.run(self.registry.database.read(observed)) == self.expected()
            assert self.run(self.registry.database.read(inspection.incomplete, 10)) == []

    def expected(self) -> dict[RepositoryName, Any]:
        """What `observed` should say."""
        return {
            name: (
                {blob_name: len(blob(blob_name)) for blob_name in BLOBS if blob_name in repository.blobs},
                dict(sorted(repository.tags.items())),
                {found: manifest.content for found, manifest in repository.manifests.items()},
            )
            for name, repository in self.model.repositories.items()
        }


def observed(connection: Connection) -> dict[RepositoryName, Any]:
    """Of each repository: its blobs with their sizes, its tags, its manifests with their content."""
    stored = inspection.manifest_rows(connection, 0, 1000)
    return {
        name: (
            {
                blob_name: size
                for blob_name in BLOBS
                if (size := blob_rows.size_in(connection, name, blob_digest(blob_name))) is not None
            },
            {
                tag: pointed.digest
                for tag in TAGS
                if (pointed := manifest_rows.find(connection, name, tag, head=True))
            },
            {row.digest: row.content for row in stored if row.repository == name},
        )
        for name in repository_rows.page(connection, "", 100)
    }
