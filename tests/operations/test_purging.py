"""Purging: what nobody finishes goes, what somebody works on stays."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
import structlog
from sqlalchemy import Connection, update

from registry.db.schema import uploads as table
from registry.oci.digest import Digest
from registry.oci.errors import StorageFull, Unavailable
from registry.operations import purging, uploads
from registry.operations.purging import purge, purge_forever, purge_strays
from registry.storage.objects.layout import new_segment_key, upload_key
from registry.storage.objects.staged import ObjectStaged
from registry.storage.objects.store import ObjectStore
from tests.faults.injection import Steps
from tests.support.images import blob
from tests.support.registries import ANYBODY, APP, EXCLUSIVE, changed, problems, push_blobs, read_blob, stream

if TYPE_CHECKING:
    from registry.operations.registry import Registry
    from registry.operations.uploads import Session

pytestmark = pytest.mark.anyio


async def start(registry: Registry, *, idle: bool) -> Session:
    """An upload with some bytes, which was touched last long ago or just now."""
    session = await uploads.start(registry, APP, ANYBODY)
    await uploads.append(registry, session, None, stream(b"some"))
    if idle:
        await registry.database.write(last_touched, session.id, 0)
    return session


def last_touched(connection: Connection, upload_id: str, at_us: int) -> None:
    """The upload was last touched at this instant."""
    connection.execute(update(table).where(table.c.id == upload_id).values(touched_at_us=at_us))


async def exists(registry: Registry, session: Session) -> bool:
    """Whether the upload is known."""
    try:
        return await uploads.status(registry, session) >= 0
    except uploads.BlobUploadUnknown:
        return False


async def staged(registry: Registry) -> set[str]:
    """The uploads that the store has bytes of."""
    return {upload.upload async for upload in registry.store.uploads()}


async def test_idle_uploads_go(registry: Registry) -> None:
    """Uploads that nobody touched for too long go, rows and bytes; others stay, and can be finished."""
    idle = [await start(registry, idle=True) for _ in range(3)]
    busy = await start(registry, idle=False)
    assert await purge(registry) == 3
    assert not any([await exists(registry, session) for session in idle])
    assert await uploads.status(registry, busy) == 4
    assert await staged(registry) == {busy.id}
    assert await purge(registry) == 0


async def test_many_idle_uploads_go(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """More uploads than are looked at together all go."""
    monkeypatch.setattr(purging, "_PORTION", 2)
    for _ in range(5):
        await start(registry, idle=True)
    assert await purge(registry) == 5


async def test_bytes_without_row_go(registry: Registry) -> None:
    """Staged bytes that no row knows, as a kill in the middle of a push leaves them, go when they are old."""
    async with registry.store.stage("orphan") as held:
        await held.write(b"some")
    known = await start(registry, idle=False)
    assert await purge(registry) == 0
    assert await staged(registry) == {"orphan", known.id}
    await asyncio.sleep(0.01)
    later = changed(registry, upload_idle_seconds_max=0)
    await registry.database.write(last_touched, known.id, 2**60)
    assert await purge(later) == 1
    assert await staged(registry) == {known.id}


@pytest.mark.parametrize("registry", EXCLUSIVE, indirect=True)
async def test_held_bytes_stay(registry: Registry) -> None:
    """A push that takes longer than an upload may be idle is not hindered."""
    later = changed(registry, upload_idle_seconds_max=-1)
    async with registry.store.stage("slow") as held:
        await held.write(b"some")
        await purge(later)
        assert held.size == 4
        assert await staged(registry) == {"slow"}
    await purge(later)
    assert await staged(registry) == set()


async def test_upload_that_goes_on_stays(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload that was idle when it was looked for, and then went on, stays with all of its bytes."""
    session = await start(registry, idle=False)
    monkeypatch.setattr(purging.uploads, "idle", lambda _c, _since, last, _n: [] if last else [session.id])
    assert await purge(registry) == 0
    assert await uploads.append(registry, session, None, stream(b" more")) == 9


@pytest.mark.parametrize("registry", EXCLUSIVE, indirect=True)
async def test_upload_that_is_written_to_stays(registry: Registry) -> None:
    """While a request holds the bytes of an upload it stays, however long ago its row was touched; others go."""
    held, idle = await start(registry, idle=True), await start(registry, idle=True)
    async with registry.store.stage(held.id) as bytes_of_it:
        assert await purge(registry) == 1
        assert bytes_of_it.size == 4
    assert (await exists(registry, held), await exists(registry, idle)) == (True, False)


async def test_bytes_go_before_the_row(registry: Registry) -> None:
    """The bytes are freed while they are held and before the row goes: a full disk has room for that only then."""
    await start(registry, idle=True)
    steps = Steps()
    assert await purge(steps.of(registry)) == 1
    assert steps.between("after stage", "before discard") == [
        "before a read",
        "before a read is committed",
        "after a read",
        "before cut",
        "after cut",
        "before a write",
        "before a write is committed",
        "after a write",
    ]


async def test_failure_holds_up_no_other(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one upload cannot be taken away the others are, and the next turn takes it."""
    idle = [await start(registry, idle=True) for _ in range(3)]
    stuck = min(session.id for session in idle)
    end_idle = purging.uploads.end_idle

    def end_others(connection: Connection, upload_id: str, idle_since_us: int) -> bool:
        if upload_id == stuck:
            raise StorageFull
        return end_idle(connection, upload_id, idle_since_us)

    with monkeypatch.context() as patched, structlog.testing.capture_logs() as logs:
        patched.setattr(purging.uploads, "end_idle", end_others)
        assert await purge(registry) == 2
    assert [entry["upload"] for entry in logs] == [stuck]
    assert await purge(registry) == 1
    assert await staged(registry) == set()


async def test_replicas_purge_together(registry: Registry) -> None:
    """Two replicas that purge at the same time do no more than one."""
    idle = [await start(registry, idle=True) for _ in range(4)]
    await asyncio.gather(purge(registry), purge(changed(registry)))
    assert not any([await exists(registry, session) for session in idle])
    assert await staged(registry) == set()


async def test_blobs_stay(registry: Registry) -> None:
    """Purging touches no blob."""
    [digest] = await push_blobs(registry, APP, "base")
    await purge(changed(registry, upload_idle_seconds_max=-1))
    assert await read_blob(registry, APP, digest) == blob("base")
    assert await problems(registry) == []


@pytest.mark.parametrize("registry", ["objects+postgres"], indirect=True)
async def test_strays_go(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that nothing names go when they are old; those that the row of an upload names stay, with or without a mark."""
    store = registry.store
    assert isinstance(store, ObjectStore)
    await store.service.put(new_segment_key("ab0"), b"stray")
    known = await start(registry, idle=False)
    await store.service.delete([upload_key(known.id)])
    [digest] = await push_blobs(registry, APP, "base")
    assert await purge_strays(registry, "") == 0
    monkeypatch.setattr(purging, "_STRAY_SECONDS_MIN", -1)
    later = changed(registry, upload_idle_seconds_max=-1)
    assert await purge_strays(later, "ac") == 0
    assert await purge_strays(later, "ab") == 1
    assert await purge_strays(later, "") == 0
    assert await uploads.append(registry, known, None, stream(b" more")) == 9
    assert await read_blob(registry, APP, digest) == blob("base")


async def test_every_part_is_looked_at(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each turn looks for strays in another part of the uploads, and after as many turns as there are parts in all."""
    looked_at = asyncio.Queue[str]()

    async def purge_part(_: Registry, beginning: str) -> int:
        looked_at.put_nowait(beginning)
        return 0

    monkeypatch.setattr(purging, "purge_strays", purge_part)
    monkeypatch.setattr(purging, "_PARTS", ("a", "b", "c"))
    task = asyncio.create_task(purge_forever(registry, 0.001))
    async with asyncio.timeout(60):
        parts = [await looked_at.get() for _ in range(6)]
    await end(task)
    assert sorted(parts[:3]) == sorted(parts[3:]) == ["a", "b", "c"]


def test_parts() -> None:
    """However an upload's id begins, it is in one of the parts."""
    ids = [uploads._new_id() for _ in range(1000)]
    assert all(len([part for part in purging._PARTS if upload.startswith(part)]) == 1 for upload in ids)


@pytest.mark.parametrize("registry", ["objects+postgres"], indirect=True)
async def test_push_that_stands_still(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push in one request that stops for longer than an upload may be idle is refused, and can be made again."""
    monkeypatch.setattr(purging, "_LEFTOVER_SECONDS_MIN", -1)
    later = changed(registry, upload_idle_seconds_max=-1)

    publish = ObjectStaged.publish

    async def stop_first(self: ObjectStaged, digest: Digest) -> None:
        await self.flush()
        await purge(later)
        await publish(self, digest)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStaged, "publish", stop_first)
        with pytest.raises(Unavailable, match="took too long"):
            await uploads.push(registry, APP, Digest.of(blob("base")), stream(blob("base")))
    assert await problems(registry) == []
    [digest] = await push_blobs(registry, APP, "base")
    assert await read_blob(registry, APP, digest) == blob("base")


async def test_purge_forever(registry: Registry) -> None:
    """It goes on for as long as the server runs, also after a turn that failed, which it logs."""
    turns = asyncio.Queue[str]()

    class Failing:
        def alone(self, *_: object) -> None:
            turns.put_nowait("turn")
            raise ZeroDivisionError

    failing = changed(registry)
    object.__setattr__(failing, "database", Failing())
    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(purge_forever(failing, 0.001))
        async with asyncio.timeout(30):
            for _ in range(3):
                await turns.get()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert {entry["event"] for entry in logs} == {"purging unfinished uploads failed"}


async def test_one_replica_purges(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several replicas one purges, turn after turn; when it ends, another goes on."""
    turns = asyncio.Queue[int]()

    async def purge_counted(registry: Registry) -> int:
        turns.put_nowait(id(registry))
        return 0

    monkeypatch.setattr(purging, "purge", purge_counted)
    replicas = [registry, changed(registry), changed(registry)]
    running = {id(replica): asyncio.create_task(purge_forever(replica, 0.02)) for replica in replicas}
    async with asyncio.timeout(60):
        while running:
            at_work = [await turns.get() for _ in range(5)][-1]
            await end(running.pop(at_work))


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task, and wait for it."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
