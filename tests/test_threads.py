"""Threads: what they return and raise, how many there are, and that nobody walks away from one."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from registry.threads import Threads, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

MOST = 3


@pytest.fixture
def threads() -> Iterator[Threads]:
    """Give a few threads."""
    with closing(Threads(MOST, "test")) as threads:
        yield threads


def named(name: str) -> list[threading.Thread]:
    """Threads whose names begin with this."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


@pytest.mark.parametrize("own", [True, False])
async def test_result(threads: Threads, *, own: bool) -> None:
    """What the function returns for its arguments comes back, from another thread, of these or of those for all."""
    chosen = threads if own else None
    assert await in_thread(chosen, divmod, 17, 5) == (3, 2)
    assert await in_thread(chosen, threading.get_ident) != threading.get_ident()


async def test_error(threads: Threads) -> None:
    """What the function raises is raised where it is waited for, and the thread goes on."""
    for error in (ZeroDivisionError, asyncio.CancelledError, SystemExit):

        def fail(error: type[BaseException] = error) -> None:
            raise error

        with pytest.raises(error):
            await threads.run(fail)
    assert await threads.run(str, 1) == "1"
    assert len(named("test")) == 1


async def test_at_most_so_many(threads: Threads) -> None:
    """There are never more threads than allowed, nor more than there was work for."""
    running: set[int] = set()
    most = 0

    def work() -> None:
        nonlocal most
        running.add(threading.get_ident())
        most = max(most, len(running))
        time.sleep(0.005)
        running.discard(threading.get_ident())

    await threads.run(work)
    await threads.run(work)
    assert len(named("test")) == 1
    await asyncio.gather(*(threads.run(work) for _ in range(20)))
    assert most == len(named("test")) == MOST


async def test_one_call_for_many(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that are done while the loop is busy wake it up once, and all of them come back."""
    loop = asyncio.get_running_loop()
    calls = []
    wake = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: (calls.append(args), wake(*args)))
    last = threading.Event()
    jobs = [asyncio.create_task(threads.run(str, number)) for number in range(50)]
    jobs.append(asyncio.create_task(threads.run(last.set)))
    await asyncio.sleep(0)  # now all of them are asked for
    assert last.wait(30)
    time.sleep(0.05)  # noqa: ASYNC251 - the loop is busy
    assert (await asyncio.gather(*jobs))[:50] == [str(number) for number in range(50)]
    assert len(calls) == 1


@pytest.mark.parametrize("fails", [True, False])
async def test_cancelled(threads: Threads, *, fails: bool) -> None:
    """Who is cancelled, however often, ends only when its function has, whatever that does."""
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert go_on.wait(30)
        if fails:
            raise ZeroDivisionError

    task = asyncio.create_task(threads.run(work))
    await in_thread(None, begun.wait, 30)
    for _ in range(3):
        task.cancel()
        await asyncio.wait([task], timeout=0.01)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_before_it_began(threads: Threads) -> None:
    """What waits for a free thread is done although who asked for it was cancelled."""
    go_on = threading.Event()
    done = []
    blocking = [asyncio.create_task(threads.run(go_on.wait, 30)) for _ in range(MOST)]
    task = asyncio.create_task(threads.run(done.append, 1))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=0.01)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [1]
    await asyncio.gather(*blocking)


async def test_closed() -> None:
    """Closing waits for the work at hand; after it there are no threads, and no work is taken."""
    threads = Threads(MOST, "closed")
    done = []

    def work() -> None:
        time.sleep(0.01)
        done.append(1)

    tasks = [asyncio.create_task(threads.run(work)) for _ in range(10)]
    await asyncio.sleep(0)
    threads.close()
    assert len(done) == 10
    await asyncio.gather(*tasks)
    assert named("closed") == []
    with pytest.raises(RuntimeError, match="closed"):
        await threads.run(work)


def test_collected() -> None:
    """Threads that nobody has closed end with the one who gave them work."""
    threads = Threads(MOST, "collected")
    assert asyncio.run(threads.run(len, "four")) == 4
    [left] = named("collected")
    del threads
    gc.collect()
    left.join(30)
    assert not left.is_alive()


def test_one_loop_after_another(threads: Threads) -> None:
    """The same threads serve whichever loop asks, also where another one has ended meanwhile."""
    for number in range(3):
        assert asyncio.run(threads.run(str, number)) == str(number)


def test_threads_for_all_end_with_their_loop() -> None:
    """The threads that all share on a loop end when the thread of that loop does."""
    others = set(threading.enumerate())
    mine: list[threading.Thread] = []

    def serve() -> None:
        mine.append(asyncio.run(in_thread(None, threading.current_thread)))

    server = threading.Thread(target=serve)
    server.start()
    server.join()
    mine[0].join(30)
    assert set(threading.enumerate()) <= others


async def test_given_up_before_it_began(threads: Threads) -> None:
    """A call that no thread has begun within its time is given up, and never made."""
    made: list[int] = []
    go_on = threading.Event()
    busy = [asyncio.create_task(threads.run(go_on.wait, within=0.05)) for _ in range(MOST)]
    await asyncio.sleep(0.01)
    with pytest.raises(TimeoutError):
        await threads.run(made.append, 1, within=0.05)
    go_on.set()
    assert await asyncio.gather(*busy) == [True] * MOST, "what has begun is waited for"
    await threads.run(made.append, 2, within=5)
    assert made == [2]


async def test_given_up_by_who_asked(threads: Threads) -> None:
    """Who may give a call up is not held by it when cancelled before it began, and it is never made."""
    made: list[int] = []
    go_on = threading.Event()
    busy = [asyncio.create_task(threads.run(go_on.wait)) for _ in range(MOST)]
    given_up = asyncio.create_task(threads.run(made.append, 1, within=60))
    await asyncio.sleep(0.01)
    given_up.cancel()
    await asyncio.wait([given_up], timeout=5)
    assert given_up.cancelled()
    go_on.set()
    await asyncio.gather(*busy)
    await threads.run(made.append, 2)
    assert made == [2]
