"""The contract of `registry/storage/journal.py`, promise by promise: every store keeps it."""

from __future__ import annotations

import asyncio
import gzip
import os
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
import pytest

from registry.oci.errors import StorageFull, Unavailable
from registry.storage.filesystem import FilesystemStore
from registry.storage.filesystem_journal import FilesystemJournal
from registry.storage.journal import Line, Snapshot, decode_all, new_name
from registry.storage.memory import MemoryStore
from registry.storage.objects.store import ObjectStore
from tests.storage.descriptors import open_below

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from registry.storage.contract import BlobStore
    from tests.s3 import S3Server

pytestmark = pytest.mark.anyio

STORES = ["memory", "filesystem", "objects"]
SHARED = STORES[1:]
"""Those that several processes may use."""


def again(store: BlobStore) -> BlobStore:
    """The same store, as another process has it."""
    if isinstance(store, FilesystemStore):
        return FilesystemStore(store._directory)
    assert isinstance(store, ObjectStore)
    return ObjectStore(store.service.bucket)


@pytest.fixture
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BlobStore]:
    """Give an empty store."""
    made: BlobStore = MemoryStore()
    if request.param == "filesystem":
        made = FilesystemStore(tmp_path / "data")
    elif request.param == "objects":
        s3: S3Server = request.getfixturevalue("s3")
        made = ObjectStore(s3.new_bucket())
    with closing(made):
        await made.open()
        yield made


def numbered(*numbers: int) -> list[Line]:
    """Lines with these numbers."""
    return [Line(number, b'{"a": "line %d"}' % number) for number in numbers]


async def lines(store: BlobStore, behind: int = 0) -> list[Line]:
    """The lines behind a number, in order, each of them once."""
    found = {line.id: line async for line in store.journal.lines(behind)}
    return [found[number] for number in sorted(found)]


async def snapshots(store: BlobStore) -> list[Snapshot]:
    """The snapshots, in order."""
    return sorted([snapshot async for snapshot in store.journal.snapshots()], key=lambda found: found.until)


async def pieces(*contents: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    """The content of a snapshot; given an error, its making breaks off."""
    for content in contents:
        await asyncio.sleep(0)
        yield content
    if error:
        raise error


async def content(store: BlobStore, snapshot: Snapshot) -> bytes:
    """All of a snapshot."""
    return b"".join([piece async for piece in store.journal.read(snapshot)])


@pytest.mark.parametrize("text", [b"", b"{}", b"a b  c", os.urandom(1000).replace(b"\n", b"")])
def test_line(text: bytes) -> None:
    """A line is read as it was written; where any byte is missing or another, it is no line."""
    stored = Line(17, text).encode()
    assert stored.endswith(b"\n")
    assert Line.decode(stored[:-1]) == Line(17, text)
    for end in range(len(stored) - 1):
        assert Line.decode(stored[:end]) is None
    for place in range(len(stored) - 1):
        assert Line.decode(stored[:place] + bytes([stored[place] ^ 1]) + stored[place + 1 : -1]) is None


def test_what_is_no_line() -> None:
    """Among lines, what is none is passed over: zeros, halves, and what other programs write."""
    one, two = (line.encode() for line in numbered(1, 2))
    assert decode_all(
        bytes(10) + b"\n" + one + one[:-5] + b"\n7 nonsense\n\n" + two + two[:9], 0
    ) == numbered(1, 2)


async def damage(store: BlobStore) -> list[tuple[str, int]]:
    """Where lines cannot be read, and how many."""
    told: list[tuple[str, int]] = []
    async for _ in store.journal.lines(0, lambda place, count: told.append((place, count))):
        pass
    return told


@pytest.mark.parametrize("store", STORES, indirect=True)
async def test_nothing(store: BlobStore) -> None:
    """A new store has neither lines nor snapshots, and forgetting takes nothing away."""
    await store.journal.forget(100)
    assert await lines(store) == []
    assert await snapshots(store) == []
    assert await store.journal.reached(7) == 7


@pytest.mark.parametrize("store", STORES, indirect=True)
async def test_lines(store: BlobStore) -> None:
    """Lines are there once they were appended, in whatever order that was, and those behind a number can be asked for."""
    for portion in (numbered(3), numbered(1, 2), numbered(12, 9), numbered(3)):
        await store.journal.append(portion)
    assert await lines(store) == numbered(1, 2, 3, 9, 12)
    assert await lines(store, 2) == numbered(3, 9, 12)
    assert await lines(store, 9) == numbered(12)
    assert await lines(store, 12) == []
    assert [await store.journal.reached(behind) for behind in (0, 9, 12)] == [12, 12, 12]


@pytest.mark.parametrize("store", STORES, indirect=True)
async def test_many_lines(store: BlobStore) -> None:
    """However many there are, and however large, all are found."""
    wanted = [Line(number, b"x" * (1 if number % 10 else 300_000)) for number in range(1, 101)]
    await asyncio.gather(*(store.journal.append([line]) for line in wanted))
    assert await lines(store) == wanted
    await store.journal.append(numbered(101))
    assert await store.journal.reached(0) == 101


@pytest.mark.parametrize("store", SHARED, indirect=True)
async def test_several_processes(store: BlobStore) -> None:
    """What several append at the same time is all there, for each of them and for who comes later."""
    with closing(again(store)) as other:
        await asyncio.gather(
            *(one.journal.append(numbered(n)) for n, one in enumerate([store, other] * 20, 1))
        )
        for one in (store, other, again(store)):
            assert await lines(one) == numbered(*range(1, 41))


@pytest.mark.parametrize("store", STORES, indirect=True)
async def test_snapshots(store: BlobStore) -> None:
    """A snapshot is read as it was saved, whatever its size, and says up to which line it goes."""
    large = os.urandom(10_000_000)
    await store.journal.save(5, pieces())
    await store.journal.save(17, pieces(large[:1], large[1:]))
    first, second = await snapshots(store)
    assert (first.until, second.until) == (5, 17)
    assert (await content(store, first), await content(store, second)) == (b"", large)


@pytest.mark.parametrize("store", STORES, indirect=True)
async def test_broken_snapshot(store: BlobStore) -> None:
    """A snapshot whose making breaks off is none."""
    with pytest.raises(ZeroDivisionError):
        await store.journal.save(5, pieces(b"some", error=ZeroDivisionError()))
    assert await snapshots(store) == []


@pytest.mark.parametrize("store", STORES, indirect=True)
async def test_forget(store: BlobStore) -> None:
    """Lines up to a number go where nothing else goes with them, and so do snapshots of before; all others stay."""
    for until in (3, 7, 9):
        await store.journal.save(until, pieces(b"%d" % until))
    await store.journal.append(numbered(1, 2))
    store.journal.close() if isinstance(store.journal, FilesystemJournal) else None
    await store.journal.append(numbered(3, 8))
    await store.journal.forget(7)
    assert await lines(store, 2) == numbered(3, 8) or await lines(store) == numbered(8)
    assert await lines(store, 7) == numbered(8)
    assert numbered(1)[0] not in await lines(store)
    assert [snapshot.until for snapshot in await snapshots(store)] == [7, 9]


# The filesystem store alone


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Give the folder of the journal's files."""
    return tmp_path / "data" / "journal"


@pytest.mark.parametrize("store", ["filesystem"], indirect=True)
async def test_tree(store: FilesystemStore, tmp_path: Path) -> None:
    """Files lie where the module's text says; nothing else is left of their making."""
    await store.journal.append(numbered(1))
    await store.journal.save(1, pieces(gzip.compress(b"x")))
    [part] = (tmp_path / "data" / "journal").iterdir()
    [snapshot] = (tmp_path / "data" / "snapshots").iterdir()
    assert part.read_bytes() == numbered(1)[0].encode()
    assert snapshot.name.startswith("00000000000000000001-")


@pytest.mark.parametrize("store", ["filesystem"], indirect=True)
async def test_held_file_is_not_forgotten(store: FilesystemStore, journal: Path) -> None:
    """A file that a process appends to stays, whatever is in it, and goes when the process has ended."""
    await store.journal.append(numbered(1))
    other = again(store)
    await other.journal.forget(100)
    await store.journal.append(numbered(2))
    assert await lines(other) == numbered(1, 2)
    store.close()
    await other.journal.forget(100)
    assert list(journal.iterdir()) == []
    other.close()


@pytest.mark.parametrize("store", ["filesystem"], indirect=True)
async def test_cut_off_line(store: FilesystemStore, journal: Path) -> None:
    """A line that a power cut has cut off is nobody's, and hides no other."""
    await store.journal.append(numbered(1, 2))
    [part] = journal.iterdir()
    os.truncate(part, part.stat().st_size - 3)
    assert await lines(store) == numbered(1)
    assert await damage(store) == []


@pytest.mark.parametrize("store", ["filesystem"], indirect=True)
async def test_damaged_line(store: FilesystemStore, journal: Path) -> None:
    """A line that has rotted is told of, with its place, and hides no other; what a probe has left is none."""
    await store.journal.append(numbered(1, 2, 3))
    [part] = journal.iterdir()
    (journal / ".ping-7").write_bytes(b"ok\n")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    assert await lines(store) == numbered(1, 3)
    assert await damage(store) == [(str(part), 1)]


@pytest.mark.parametrize("store", ["filesystem"], indirect=True)
@pytest.mark.parametrize("before", [[], numbered(1)])
async def test_failed_sync(
    store: FilesystemStore, journal: Path, monkeypatch: pytest.MonkeyPatch, before: Sequence[Line]
) -> None:
    """What could not be synced is not acknowledged, and nothing is appended behind it; all before and after is there."""

    def fail(_file: int) -> None:
        raise OSError(28, "No space left on device")

    if before:
        await store.journal.append(before)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        for _ in range(3):
            with pytest.raises(StorageFull):
                await store.journal.append(numbered(2))
    await store.journal.append(numbered(3))
    assert [line for line in await lines(store) if line.id != 2] == [*before, *numbered(3)]
    assert len(list(journal.iterdir())) == len(before) + 1


@pytest.mark.parametrize("store", ["filesystem"], indirect=True)
async def test_order_of_syncs(store: FilesystemStore, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file's name is on disk before its first line is acknowledged, and each line is before `append` returns."""
    calls: list[str] = []

    def record(name: str) -> None:
        real = getattr(os, name)

        def call(file: int, *rest: Any) -> Any:
            calls.append(f"{name} {Path(f'/proc/self/fd/{file}').readlink().parent.name}")
            return real(file, *rest)

        monkeypatch.setattr(os, name, call)

    for name in ("write", "fsync", "fdatasync"):
        record(name)
    await store.journal.append(numbered(1))
    await store.journal.append(numbered(2))
    assert calls == ["fsync data", "write journal", "fdatasync journal", "write journal", "fdatasync journal"]


@pytest.mark.parametrize("store", ["filesystem"], indirect=True)
async def test_large_file_is_ended(
    store: FilesystemStore, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is large enough is appended to no more, so that it can be forgotten."""
    monkeypatch.setattr("registry.storage.filesystem_journal._PART_BYTES_MAX", 50)
    for number in range(1, 7):
        await store.journal.append(numbered(number))
    assert len(list(journal.iterdir())) == 3
    await store.journal.forget(4)
    assert await lines(store) == numbered(5, 6)


@pytest.mark.parametrize("store", ["filesystem"], indirect=True)
async def test_abandoned_snapshot(store: FilesystemStore, tmp_path: Path) -> None:
    """What a killed process has left of a snapshot is none, and goes after a day."""
    half = tmp_path / "data" / "snapshots" / f".{3:020}-{'0' * 16}"
    half.write_bytes(b"half")
    await store.journal.forget(10)
    assert half.exists()
    assert await snapshots(store) == []
    os.utime(half, (0, 0))
    await store.journal.forget(10)
    assert not half.exists()


@pytest.mark.parametrize("store", ["filesystem"], indirect=True)
@pytest.mark.parametrize("call", ["open", "fsync", "rename"])
async def test_cancelled_save(
    store: FilesystemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Whoever is cancelled while a snapshot is saved is told so, and leaves neither an open file nor a hidden one."""
    owner = Path if call == "rename" else os
    real = getattr(owner, call)
    reached = threading.Event()

    def slow(*args: Any) -> Any:
        reached.set()
        time.sleep(0.1)
        return real(*args)

    monkeypatch.setattr(owner, call, slow)
    saving = asyncio.create_task(store.journal.save(1, pieces(b"x")))
    assert await asyncio.to_thread(reached.wait, 30)
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert open_below(tmp_path) == []
    assert not list((tmp_path / "data" / "snapshots").glob(".*"))


@pytest.mark.parametrize("store", ["filesystem"], indirect=True)
async def test_file_was_taken_away(store: FilesystemStore, journal: Path) -> None:
    """What goes to a file that somebody has taken away is not acknowledged; the next goes to a new one."""
    await store.journal.append(numbered(1))
    [part] = journal.iterdir()
    part.unlink()
    with pytest.raises(Unavailable):
        await store.journal.append(numbered(2))
    await store.journal.append(numbered(3))
    assert await lines(store) == numbered(3)


@pytest.mark.parametrize("store", ["filesystem"], indirect=True)
async def test_folder_was_taken_away(store: FilesystemStore, journal: Path) -> None:
    """Without its folder the journal cannot be written: clients are told to try again, and the store is not ready."""
    journal.rmdir()
    with pytest.raises(Unavailable) as caught:
        await store.journal.append(numbered(1))
    assert "FileNotFoundError" in caught.value.cause
    with pytest.raises(FileNotFoundError):
        await store.ping()


@pytest.mark.parametrize("store", ["filesystem"], indirect=True)
async def test_empty_file_is_forgotten(store: FilesystemStore, journal: Path) -> None:
    """A file that nothing was ever written to goes after a day."""
    (journal / "empty.jsonl").touch()
    await store.journal.forget(1)
    assert len(list(journal.iterdir())) == 1
    os.utime(journal / "empty.jsonl", (0, 0))
    await store.journal.forget(1)
    assert list(journal.iterdir()) == []


# The object store alone


@pytest.mark.parametrize("store", ["objects"], indirect=True)
async def test_objects(store: ObjectStore) -> None:
    """Each portion is an object of its own, whose name says its greatest number; others' objects are left alone."""
    obstore.put(store.service._store, "journal/readme", b"not ours")
    obstore.put(store.service._store, "snapshots/readme", b"not ours")
    await store.journal.append(numbered(2, 11))
    await store.journal.append(numbered(3))
    names = [entry["path"] async for entry in store.service.list("journal")]
    assert [name[: len("journal/") + 20] for name in sorted(names)[:2]] == [
        f"journal/{3:020}",
        f"journal/{11:020}",
    ]
    await store.journal.forget(10)
    assert await lines(store) == numbered(2, 11)
    assert await snapshots(store) == []
    assert obstore.head(store.service._store, "journal/readme")["size"] == 8
    cut_off = f"journal/{new_name(12)}"
    obstore.put(store.service._store, cut_off, numbered(12)[0].encode()[:-3])
    assert await lines(store) == numbered(2, 11)
    assert await damage(store) == [(cut_off, 1)]
