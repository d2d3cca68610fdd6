"""The check finds every broken promise, and only those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, text

from registry.oci.digest import Digest
from registry.operations import blobs, check, manifests, uploads
from registry.operations.check import CheckReport
from registry.storage.objects.layout import new_segment_key, upload_key
from registry.storage.objects.store import ObjectStore
from tests.support.images import blob, blob_digest, digest, image, index
from tests.support.registries import (
    ANYBODY,
    APP,
    COPY,
    changed,
    push_blobs,
    push_image,
    push_manifest,
    stream,
)

if TYPE_CHECKING:
    from registry.operations.registry import Registry

pytestmark = pytest.mark.anyio

BASE = blob_digest("base")
IMAGE = image("base", "code", annotations={"n": "1"})


@pytest.fixture
async def filled(registry: Registry) -> Registry:
    """Give a registry with an image, an index of it, a referrer and a mounted blob."""
    await push_image(registry, APP, IMAGE, "latest")
    await push_manifest(registry, APP, index(IMAGE), "index")
    await push_manifest(registry, APP, image("base", subject=IMAGE, artifact_type="test/sbom"))
    await push_blobs(registry, COPY, "base")
    return registry


async def report(registry: Registry, *, deep: bool = False) -> CheckReport:
    """What the check finds."""
    return await check.check(registry, lambda *_: None, deep=deep)


async def spoil(registry: Registry, statement: str, **values: Any) -> None:
    """Change a row behind the registry's back."""

    def execute(connection: Connection) -> None:
        assert connection.execute(text(statement), values).rowcount > 0

    await registry.database.write(execute)


async def put_bytes(registry: Registry, wanted: Digest, content: bytes) -> None:
    """Put bytes under a digest behind the registry's back."""
    async with registry.store.stage("spoilt") as staged:
        await staged.write(content)
        await staged.publish(wanted)


@pytest.mark.parametrize("deep", [False, True])
async def test_nothing_is_wrong(filled: Registry, deep: bool) -> None:  # noqa: FBT001
    """In a registry as pushes leave it nothing is wrong, and all of it is counted."""
    found = await report(filled, deep=deep)
    assert (found.problems, found.notes) == ([], [])
    assert found.counts == {"repositories": 2, "manifests": 3, "tags": 2, "blobs": 3, "uploads": 0}


async def test_nothing_is_there(registry: Registry) -> None:
    """In an empty registry nothing is wrong."""
    found = await report(registry, deep=True)
    assert (found.problems, found.notes) == ([], [])


async def test_progress(filled: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits is told what is looked at, in portions, up to all there is."""
    monkeypatch.setattr(check, "_PORTION", 2)
    told: list[tuple[str, int, int | None]] = []
    found = await check.check(filled, lambda *step: told.append(step), deep=True)
    assert found.problems == []
    assert ("blobs", 3, 3) in told
    assert ("manifests", 3, 3) in told
    assert [what for what, _, _ in told] == sorted(
        [what for what, _, _ in told], key=["blobs", "manifests", "stored bytes"].index
    )


async def test_missing_bytes(filled: Registry) -> None:
    """A blob whose bytes are gone is a problem."""
    await filled.store.delete(BASE)
    assert (await report(filled)).problems == [f"blob {BASE}: is not in the store"]


async def test_cut_off_bytes(filled: Registry) -> None:
    """A blob with another length than its row says is a problem, without reading it."""
    await put_bytes(filled, BASE, b"short")
    [problem] = (await report(filled)).problems
    assert problem.startswith(f"blob {BASE}: has 5 bytes in the store")


async def test_rotten_bytes(filled: Registry) -> None:
    """A blob that rotted is found by the deep check."""
    rotten = b"?" * len(blob("base"))
    await put_bytes(filled, BASE, rotten)
    assert (await report(filled)).problems == []
    assert (await report(filled, deep=True)).problems == [
        f"blob {BASE}: its bytes hash to {Digest.of(rotten)}"
    ]


async def test_bytes_that_are_known_to_be_gone(filled: Registry) -> None:
    """A blob that is known to be gone is no longer a problem of the store, but one of the manifests that name it."""
    await filled.store.delete(BASE)
    await spoil(filled, "UPDATE blobs SET present = false WHERE digest = :digest", digest=BASE)
    problems = (await report(filled)).problems
    assert sorted(problem.partition("@")[0] for problem in problems) == [APP, APP]
    assert all(f"blob {BASE}, which it names, is not in the repository" in problem for problem in problems)


async def test_blob_that_is_not_linked(filled: Registry) -> None:
    """A manifest that names a blob which its repository does not see is a problem."""
    await spoil(
        filled,
        "DELETE FROM repository_blobs WHERE blob_id = (SELECT id FROM blobs WHERE digest = :digest)",
        digest=blob_digest("code"),
    )
    [problem] = (await report(filled)).problems
    assert problem.startswith(f"{APP}@{digest(IMAGE)}: blob {blob_digest('code')}, which it names")


async def test_blobs_that_nobody_sees(filled: Registry) -> None:
    """Blobs that were deleted from every repository are noted with their bytes, which nothing frees yet."""
    await push_blobs(filled, COPY, "gone", "gone too")
    for name in ("gone", "gone too", "base"):
        await blobs.delete(filled, COPY, blob_digest(name))
    found = await report(filled)
    size = len(blob("gone")) + len(blob("gone too"))
    assert found.problems == []
    assert found.notes == [
        f"2 blobs of {size} bytes are seen by no repository any more; nothing frees their bytes yet"
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("content = substr(content, 2)", "its content hashes to something else"),
        ("size = size + 1", "differ in: size"),
        ("media_type = 'application/vnd.oci.image.index.v1+json'", "not a valid manifest"),
        ("subject_digest = 'sha256:x'", "differ in: subject"),
        ("artifact_type = 'x/y'", "differ in: artifact type"),
    ],
)
async def test_spoilt_manifest(filled: Registry, change: str, words: str) -> None:
    """A manifest whose row does not say what its content says is a problem, and is named."""
    await spoil(filled, f"UPDATE manifests SET {change} WHERE digest = :digest", digest=digest(IMAGE))
    problems = (await report(filled)).problems
    assert len(problems) == 1
    assert problems[0].startswith(f"{APP}@{digest(IMAGE)}: ")
    assert words in problems[0]


@pytest.mark.parametrize(("table", "words"), [("manifest_blobs", "blobs"), ("manifest_children", "children")])
async def test_forgotten_references(filled: Registry, table: str, words: str) -> None:
    """A manifest whose references were forgotten is a problem: what it names would not be kept for it."""
    await spoil(filled, f"DELETE FROM {table}")
    problems = (await report(filled)).problems
    assert problems
    assert all(problem.endswith(f"differ in: {words}") for problem in problems)


async def test_stray_tag(filled: Registry) -> None:
    """A tag that points into another repository is a problem."""
    await spoil(
        filled,
        "UPDATE tags SET repository_id = (SELECT id FROM repositories WHERE name = :name) WHERE name = 'latest'",
        name=COPY,
    )
    assert (await report(filled)).problems == [f"{COPY}:latest points to a manifest of another repository"]


async def test_stray_reference(filled: Registry) -> None:
    """References noted for another repository are a problem: that one would refuse to delete the blob."""
    await spoil(
        filled,
        "UPDATE manifest_blobs SET repository_id = (SELECT id FROM repositories WHERE name = :name)",
        name=COPY,
    )
    problems = (await report(filled)).problems
    assert f"{digest(IMAGE)} names blobs for another repository" in problems


# What is no problem


async def test_deleted_child(filled: Registry) -> None:
    """An index whose child was deleted is sparse, which is noted."""
    await manifests.delete(filled, APP, digest(IMAGE))
    found = await report(filled)
    assert found.problems == []
    assert len(found.notes) == 1
    assert found.notes[0].startswith("1 indexes are sparse")


async def test_incomplete_by_permission(registry: Registry) -> None:
    """What was accepted without all it names is as it was accepted."""
    await push_manifest(changed(registry, missing_references_allowed=True), APP, IMAGE)
    assert (await report(registry, deep=True)).problems == []


async def test_bytes_of_a_crash(filled: Registry) -> None:
    """Bytes that no row knows are what a crash leaves: noted, with how many they are."""
    await put_bytes(filled, blob_digest("unknown"), blob("unknown"))
    async with filled.store.stage("orphan") as staged:
        await staged.write(b"some")
    found = await report(filled)
    assert found.problems == []
    assert found.notes[0] == f"1 blobs of {len(blob('unknown'))} bytes are in the store and known to no row"
    assert found.notes[1].startswith("1 staged uploads are known to no row")


async def test_deleted_meanwhile(filled: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found missing because it was just marked so, is looked up once more and is no problem."""
    await push_blobs(filled, COPY, "alone")
    await filled.store.delete(blob_digest("alone"))
    fault_of_blob = check._fault_of_blob

    async def fault_then_mark(registry: Registry, row: Any, *, deep: bool) -> str | None:
        fault = await fault_of_blob(registry, row, deep=deep)
        if fault:
            await spoil(
                registry, "UPDATE blobs SET present = false WHERE digest = :digest", digest=row.digest
            )
        return fault

    monkeypatch.setattr(check, "_fault_of_blob", fault_then_mark)
    assert (await report(filled)).problems == []


@pytest.mark.parametrize("registry", ["objects+postgres"], indirect=True)
async def test_strays(registry: Registry) -> None:
    """Bytes that nothing names are counted in a note; those that the row of an upload names are not."""
    assert isinstance(registry.store, ObjectStore)
    for size in (3, 4):
        await registry.store.service.put(new_segment_key("stray"), bytes(size))
    session = await uploads.start(registry, APP, ANYBODY)
    await uploads.append(registry, session, None, stream(b"some"))
    await registry.store.service.delete([upload_key(session.id)])
    found = await report(registry)
    assert found.problems == []
    assert found.notes == ["7 bytes of 1 uploads are named by nothing; they go when they are old enough"]
