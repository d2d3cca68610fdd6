"""A backup holds what was there at one moment, and is noticed when it is not whole."""

from __future__ import annotations

import gzip
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry.oci.digest import Digest
from registry.oci.names import RepositoryName, Tag
from registry.operations.backup import NotEmpty, back_up
from registry.operations.backup_file import BackupInvalid, BackupReader, BackupWriter, Header
from registry.operations.entries import BlobLinked, ManifestStored, RepositoryCreated, TagPointed
from registry.storage.contract import StoredBlob
from tests.support.entries import backed_up, content, lines, restored
from tests.support.images import blob, blob_digest, digest, image, index
from tests.support.registries import APP, COPY, problems, push_blobs, push_image, push_manifest
from tests.support.tables import empty

if TYPE_CHECKING:
    from registry.operations.registry import Registry

HEADER = Header("1.2.3", "0002", 17)
IMAGE = image("base", "code")


def nobody(step: str, done: int, total: int | None) -> None:
    """Nobody waits."""


async def fill(registry: Registry) -> None:
    """An image with tags, an index of it, a referrer, and a repository with a blob alone."""
    await push_image(registry, APP, IMAGE, "v1", "latest")
    await push_manifest(registry, APP, index(IMAGE), "index")
    await push_manifest(registry, APP, image("base", subject=IMAGE, artifact_type="test/sbom"))
    await push_blobs(registry, COPY, "base")


# The whole


@pytest.mark.anyio
async def test_round_trip(registry: Registry) -> None:
    """Restored from its backup, a registry is what it was, and its check is content."""
    await fill(registry)
    was, file = await content(registry), await backed_up(registry)
    empty(registry.database)
    report, checked = await restored(registry, file, deep=True)
    assert (report.refused, report.missing, checked.problems, checked.notes) == ([], [], [], [])
    assert lines(await content(registry)) == lines(was)
    assert await problems(registry) == []


@pytest.mark.anyio
async def test_counts(registry: Registry) -> None:
    """A backup says how it was made and how much is in it, when it is written as when it is read."""
    await fill(registry)
    file = io.BytesIO()
    steps: list[tuple[str, int, int | None]] = []
    counts = await back_up(registry.database, BackupWriter(file, HEADER), lambda *step: steps.append(step))
    size = sum(len(blob(name)) for name in ("config", "base", "code"))
    assert counts == {"repositories": 2, "manifests": 3, "tags": 3, "blobs": 3, "bytes": size}
    reader = BackupReader(file)
    assert reader.verify() == counts
    assert reader.header == HEADER
    assert steps[-1] == ("lines", 2 + 4 + 3 + 3 + 3, None)


@pytest.mark.anyio
async def test_list_of_blobs(registry: Registry) -> None:
    """The blobs that must be in the store are listed with their sizes, for those who copy them."""
    await fill(registry)
    file = await backed_up(registry)
    said = [json.loads(line) for line in gzip.decompress(file.getvalue()).splitlines()]
    assert {line["blob"]: line["size"] for line in said if "blob" in line} == {
        blob_digest(name): len(blob(name)) for name in ("config", "base", "code")
    }


@pytest.mark.anyio
async def test_missing_blob(registry: Registry) -> None:
    """A blob that the backup lists and the store does not have is missing, and what names it has a problem."""
    await fill(registry)
    file = await backed_up(registry)
    empty(registry.database)
    await registry.store.delete(blob_digest("code"))
    report, checked = await restored(registry, file)
    assert report.missing == [
        f"{APP}: blob {blob_digest('code')} of {len(blob('code'))} bytes is not in the store"
    ]
    [problem] = checked.problems
    assert problem.startswith(f"{APP}@{digest(IMAGE)}: ")


@pytest.mark.anyio
@pytest.mark.parametrize("deep", [True, False])
async def test_rotten_blob(registry: Registry, deep: bool) -> None:  # noqa: FBT001
    """A blob that is not what its digest names is found with `deep`, and only with it."""
    await fill(registry)
    file = await backed_up(registry)
    empty(registry.database)
    async with registry.store.stage("spoilt") as staged:
        await staged.write(b"?" * len(blob("code")))
        await staged.publish(blob_digest("code"))
    report, checked = await restored(registry, file, deep=deep)
    assert report.missing == []
    assert len(checked.problems) == deep


@pytest.mark.anyio
async def test_not_empty(registry: Registry) -> None:
    """Nothing is restored over what is there."""
    await fill(registry)
    file = await backed_up(registry)
    empty(registry.database)
    await push_blobs(registry, COPY, "base")
    was = await content(registry)
    with pytest.raises(NotEmpty, match="1 repositories, 0 manifests, 0 tags, 1 blobs"):
        await restored(registry, file)
    assert await content(registry) == was


# The file


def sample() -> bytes:
    """A backup with one of everything."""
    file = io.BytesIO()
    writer = BackupWriter(file, HEADER)
    writer.add(RepositoryCreated(APP, 1))
    writer.add(BlobLinked(APP, blob_digest("base"), 5, 2))
    writer.add(ManifestStored(APP, digest(IMAGE), IMAGE.media_type, IMAGE.content, complete=True, at_us=3))
    writer.add(TagPointed(APP, Tag("v1"), digest(IMAGE), 4))
    writer.add(StoredBlob(blob_digest("base"), 5))
    writer.end()
    return file.getvalue()


SAMPLE = sample()
LINES = gzip.decompress(SAMPLE).splitlines(keepends=True)


def verify(file: bytes) -> Any:
    """What the file holds, once it was verified."""
    reader = BackupReader(io.BytesIO(file))
    counts = reader.verify()
    return counts, list(reader.things())


def test_empty_backup() -> None:
    """A backup of nothing is a backup."""
    file = io.BytesIO()
    BackupWriter(file, HEADER).end()
    assert verify(file.getvalue())[1] == []


@given(st.integers(0, len(SAMPLE) - 1))
def test_cut_file(size: int) -> None:
    """A file that is cut off anywhere is refused."""
    with pytest.raises(BackupInvalid):
        verify(SAMPLE[:size])


@given(st.integers(0, len(SAMPLE) - 1), st.integers(1, 255))
@example(len(SAMPLE) - 9, 128)  # bits that fill up the last byte
def test_damaged_file(place: int, change: int) -> None:
    """A file with any byte changed is refused, unless the bits mean nothing to gzip: then it reads the same."""
    spoilt = bytearray(SAMPLE)
    spoilt[place] ^= change
    try:
        found = verify(bytes(spoilt))
    except BackupInvalid:
        return
    assert found == verify(SAMPLE)


@given(st.integers(0, len(LINES) - 1))
def test_lost_line(number: int) -> None:
    """A backup that was compressed anew without one of its lines is refused."""
    with pytest.raises(BackupInvalid):
        verify(gzip.compress(b"".join(LINES[:number] + LINES[number + 1 :])))


@pytest.mark.parametrize("number", range(len(LINES) - 1))
def test_line_twice(number: int) -> None:
    """A backup with a line more than was written is refused."""
    with pytest.raises(BackupInvalid):
        verify(gzip.compress(b"".join([*LINES[: number + 1], *LINES[number:]])))


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"", "does not begin"),
        (b"not compressed", "no backup"),
        (gzip.compress(b""), "does not begin"),
        (gzip.compress(b"[]\n"), "does not begin"),
        (gzip.compress(b"\xff\xfe"), "does not begin"),
        (gzip.compress(LINES[0].replace(b'"backup":1', b'"backup":2')), "format 2, made by registry 1.2.3"),
        (gzip.compress(LINES[0]), "last line is missing"),
        (gzip.compress(LINES[0] + b'{"entry":"new"}\n' + LINES[-1]), "not understood"),
        (gzip.compress(LINES[0] + b'{"blob":"x","size":1}\n' + LINES[-1]), "not understood"),
        (gzip.compress(LINES[0] + b"{}\n" + LINES[-1]), "not understood"),
        (gzip.compress(b"[" * 100_000), "does not begin"),
        (gzip.compress(LINES[0] + b'{"blob":' + b"[" * 100_000 + b"\n" + LINES[-1]), "not understood"),
        *(
            (
                gzip.compress(LINES[0] + b'{"blob":"sha256:%064x","size":%b}\n' % (1, size) + LINES[-1]),
                "not understood",
            )
            for size in (b"-1", b"1e400", b"1.5", b"true")
        ),
        (SAMPLE + gzip.compress(b"more\n"), "follows"),
        (SAMPLE + SAMPLE, "follows"),
        (SAMPLE + b"more", "no backup"),
    ],
    ids=lambda it: it if isinstance(it, str) else "file",  # gzip notes the time in it
)
def test_no_backup(file: bytes, words: str) -> None:
    """What is no backup, or one of another kind, is told in words."""
    with pytest.raises(BackupInvalid, match=words):
        verify(file)


entries = st.one_of(
    st.builds(RepositoryCreated, st.just(RepositoryName("a/b")), st.integers(0, 2**62)),
    st.builds(
        ManifestStored,
        st.just(RepositoryName("a")),
        st.binary(max_size=20).map(Digest.of),
        st.text(),
        st.binary(),
        st.booleans(),
        st.integers(0, 2**62),
        st.lists(st.sampled_from([Tag("v1"), Tag("v2")])).map(tuple),
    ),
    st.builds(StoredBlob, st.binary(max_size=20).map(Digest.of), st.integers(0, 2**62)),
)


@given(st.lists(entries))
def test_anything(things: list[Any]) -> None:
    """Whatever is written is read again, in its order."""
    file = io.BytesIO()
    writer = BackupWriter(file, HEADER)
    for thing in things:
        writer.add(thing)
    writer.end()
    assert verify(file.getvalue()) == (writer.counts, things)
