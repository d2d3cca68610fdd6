"""Blobs: seen where they were pushed, deleted when nothing names them, honest about bytes that vanished."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import structlog

from registry.oci.digest import Digest
from registry.oci.errors import (
    BlobReferenced,
    BlobUnknown,
    DeletionDisabled,
    ManifestBlobUnknown,
)
from registry.oci.names import RepositoryName
from registry.operations import blobs, manifests, uploads
from tests.support.images import blob, blob_digest, digest, image
from tests.support.registries import (
    APP,
    COPY,
    changed,
    problems,
    push_blobs,
    push_image,
    push_manifest,
    read_blob,
    stream,
)

if TYPE_CHECKING:
    from registry.operations.registry import Registry

pytestmark = pytest.mark.anyio

BASE, CODE = blob_digest("base"), blob_digest("code")
NONE = RepositoryName("none")


async def unknown(registry: Registry, repository: RepositoryName, wanted: Digest) -> bool:
    """Whether neither the size nor the content of the blob can be had."""
    for ask in (blobs.size, read_blob):
        try:
            await ask(registry, repository, wanted)
        except BlobUnknown:
            continue
        return False
    return True


async def test_only_where_it_was_pushed(registry: Registry) -> None:
    """A blob is seen in the repository that it was pushed to, and in no other."""
    await push_blobs(registry, APP, "base")
    await push_blobs(registry, COPY, "code")
    assert await blobs.size(registry, APP, BASE) == len(blob("base"))
    assert await read_blob(registry, APP, BASE) == blob("base")
    assert await unknown(registry, COPY, BASE)
    assert await unknown(registry, NONE, BASE)
    assert await unknown(registry, APP, CODE)


async def test_reading_ends_with_its_reader(registry: Registry) -> None:
    """An error of who reads comes out as it is, and nothing is said to be lost."""
    await push_blobs(registry, APP, "base")
    with pytest.raises(ZeroDivisionError):
        async with blobs.reader(registry, APP, BASE):
            raise ZeroDivisionError
    assert await read_blob(registry, APP, BASE) == blob("base")


# Deletion


async def test_delete(registry: Registry) -> None:
    """A deleted blob is gone from that repository alone, and comes back with the next push."""
    await push_blobs(registry, APP, "base")
    await push_blobs(registry, COPY, "base")
    await blobs.delete(registry, APP, BASE)
    assert await unknown(registry, APP, BASE)
    assert await read_blob(registry, COPY, BASE) == blob("base")
    with pytest.raises(BlobUnknown):
        await blobs.delete(registry, APP, BASE)
    await push_blobs(registry, APP, "base")
    assert await read_blob(registry, APP, BASE) == blob("base")


async def test_delete_what_is_named(registry: Registry) -> None:
    """A blob that a manifest of the repository names stays until that manifest is gone; the error says which."""
    await push_image(registry, APP, image("base"), "latest")
    for name in ("base", "config"):
        with pytest.raises(BlobReferenced) as caught:
            await blobs.delete(registry, APP, blob_digest(name))
        assert caught.value.detail == {"digest": blob_digest(name), "manifests": [digest(image("base"))]}
    await manifests.delete(registry, APP, digest(image("base")))
    await blobs.delete(registry, APP, BASE)
    assert await problems(registry) == []


async def test_delete_what_others_name(registry: Registry) -> None:
    """What a manifest of another repository names is no reason to keep it here."""
    await push_image(registry, COPY, image("base"))
    await push_blobs(registry, APP, "base")
    await blobs.delete(registry, APP, BASE)
    assert await problems(registry) == []


async def test_many_manifests_name_it(registry: Registry) -> None:
    """Of very many manifests that name a blob, the error lists a few."""
    for number in range(15):
        await push_image(registry, APP, image("base", annotations={"n": str(number)}))
    with pytest.raises(BlobReferenced) as caught:
        await blobs.delete(registry, APP, BASE)
    assert len(str(caught.value.detail)) < 1500


async def test_deletion_is_off(registry: Registry) -> None:
    """Where the operator switched deletion off, nothing goes, and nobody learns what is there."""
    await push_blobs(registry, APP, "base")
    for wanted in (BASE, CODE):
        with pytest.raises(DeletionDisabled):
            await blobs.delete(changed(registry, deletion_enabled=False), APP, wanted)
    assert await read_blob(registry, APP, BASE) == blob("base")


# Bytes that vanished


async def vanish(registry: Registry, wanted: Digest = BASE) -> None:
    """Take the bytes away behind the registry's back."""
    await registry.store.delete(wanted)


async def replace_with(registry: Registry, content: bytes) -> None:
    """Put other bytes under the digest of "base", behind the registry's back."""
    async with registry.store.stage("rot") as staged:
        await staged.write(content)
        await staged.publish(BASE)


async def test_vanished_bytes(registry: Registry) -> None:
    """A blob whose bytes are gone is unknown once that is noticed, which the log tells, and a push brings it back."""
    await push_blobs(registry, APP, "base")
    await vanish(registry)
    with structlog.testing.capture_logs() as logs, pytest.raises(BlobUnknown):
        await read_blob(registry, APP, BASE)
    assert [entry["digest"] for entry in logs if entry["log_level"] == "error"] == [BASE]
    assert await unknown(registry, APP, BASE)
    await push_blobs(registry, APP, "base")
    assert await read_blob(registry, APP, BASE) == blob("base")


@pytest.mark.parametrize("content", [b"", blob("base")[:-1], blob("base") + b"!"])
async def test_bytes_of_another_length(registry: Registry, content: bytes) -> None:
    """A blob that was cut off, or has grown, is not served, and a push brings it back."""
    await push_blobs(registry, APP, "base")
    await replace_with(registry, content)
    assert await problems(registry) != []
    with pytest.raises(BlobUnknown):
        await read_blob(registry, APP, BASE)
    assert await unknown(registry, APP, BASE)
    await push_blobs(registry, APP, "base")
    assert await read_blob(registry, APP, BASE) == blob("base")
    assert await problems(registry) == []


async def test_push_elsewhere_brings_it_back(registry: Registry) -> None:
    """Bytes are shared: pushed to any repository, the blob is back in all that had it."""
    await push_blobs(registry, APP, "base")
    await vanish(registry)
    with pytest.raises(BlobUnknown):
        await read_blob(registry, APP, BASE)
    assert await unknown(registry, APP, BASE)
    await push_blobs(registry, COPY, "base")
    assert await read_blob(registry, APP, BASE) == blob("base")


async def test_manifest_of_vanished_bytes(registry: Registry) -> None:
    """No manifest is accepted that names a blob which is known to be gone."""
    await push_blobs(registry, APP, "config", "base")
    await vanish(registry)
    with pytest.raises(BlobUnknown):
        await read_blob(registry, APP, BASE)
    with pytest.raises(ManifestBlobUnknown) as caught:
        await push_manifest(registry, APP, image("base"))
    assert caught.value.digests == [BASE]


@pytest.mark.parametrize(
    "moment",
    ["before it is marked", "between count and look", "between look and mark", "row only after the mark"],
)
async def test_pushed_while_it_is_found_lost(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A push that succeeds while a reader finds the bytes missing is not undone by that reader."""
    await push_blobs(registry, APP, "base")
    await vanish(registry)
    lost, intact = blobs._lost, blobs._intact

    async def push_then_mark(*args: object) -> None:
        await push_blobs(registry, APP, "base")
        await lost(*args)  # type: ignore[arg-type]

    async def push_then_look(*args: object) -> bool:
        await push_blobs(registry, APP, "base")
        return await intact(*args)  # type: ignore[arg-type]

    async def look_then_push(*args: object) -> bool:
        seen = await intact(*args)  # type: ignore[arg-type]
        await push_blobs(registry, APP, "base")
        return seen

    async def publish_mark_record(*args: object) -> None:
        async with registry.store.stage("push") as staged:
            await staged.write(blob("base"))
            await staged.publish(BASE)
            await lost(*args)  # type: ignore[arg-type]
            await registry.database.write(uploads._record, APP, "push", BASE, staged.size)

    if moment == "before it is marked":
        monkeypatch.setattr(blobs, "_lost", push_then_mark)
    elif moment == "between count and look":
        monkeypatch.setattr(blobs, "_intact", push_then_look)
    elif moment == "between look and mark":
        monkeypatch.setattr(blobs, "_intact", look_then_push)
    else:
        monkeypatch.setattr(blobs, "_lost", publish_mark_record)
    with pytest.raises(BlobUnknown):  # what this reader saw; the next one sees the push
        await read_blob(registry, APP, BASE)
    monkeypatch.undo()
    assert await read_blob(registry, APP, BASE) == blob("base")
    assert await problems(registry) == []


async def test_push_takes_the_place_of_rotten_bytes(registry: Registry) -> None:
    """Bytes that rotted without a change of length are found by a deep check, and mended by a push."""
    await push_blobs(registry, APP, "base")
    await replace_with(registry, b"?" * len(blob("base")))
    assert [problem.split(":")[0] for problem in await problems(registry)] == ["blob sha256"]
    await uploads.push(registry, COPY, BASE, stream(blob("base")))
    assert await problems(registry) == []
