"""Work on other threads, which nobody walks away from."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread, local
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable

Ts = TypeVarTuple("Ts")
T = TypeVar("T")

_FOR_ALL_MAX: Final = min(32, (os.cpu_count() or 1) + 4)
"""As many as asyncio has."""
_own = local()
"""Of each thread that runs a loop; with it, its threads go."""


async def in_thread(threads: Threads | None, function: Callable[[*Ts], T], *args: *Ts) -> T:
    """What `function` returns, run on one of `threads` (None: of those that are there for all on this loop)."""
    return await (threads or _for_all()).run(function, *args)


class Threads:
    """At most `most` threads, started as they are needed.

    Jobs that are done at the same time wake the loop up once, which is most of what a job costs: 20 us for one alone, 6
    for each of 64, where the standard library's executor, with a way not to walk away, takes 30 and 16.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._started: list[Thread] = []
        self._open = 0
        self._closed = False
        self._results: Returns | None = None

    async def run(self, function: Callable[[*Ts], T], *args: *Ts, within: float | None = None) -> T:
        """What `function` returns; when cancelled, wait for it nevertheless.

        A thread cannot be stopped. To close a file that it still uses would let it write into whichever file gets the
        same number next.

        `within`: seconds after which a call that no thread has begun is given up, by TimeoutError; so it is when it is
        cancelled.
        """
        if self._closed:
            raise RuntimeError(f"the threads of {self._name} have ended")
        loop = asyncio.get_running_loop()
        if self._results is None or self._results.loop is not loop:
            self._results = Returns(loop)
        job: _Job[T] = _Job(function, args, self._results, loop.create_future())
        timer = None if within is None else loop.call_later(within, job.give_up)
        self._open += 1
        try:
            self._start_another()
            self._jobs.put(job)
            await job.waiter
        except asyncio.CancelledError:
            if timer and job.claim():
                raise
            while not job.done:
                job.waiter = loop.create_future()
                with suppress(asyncio.CancelledError):
                    await job.waiter
            raise
        finally:
            self._open -= 1
            if timer:
                timer.cancel()
        return job.outcome()

    def close(self) -> None:
        """Let the threads end, and wait until they have."""
        self._closed = True
        self._end()
        for thread in self._started:
            thread.join()

    def __del__(self) -> None:
        self._end()

    def _end(self) -> None:
        for _ in self._started:
            self._jobs.put(None)

    def _start_another(self) -> None:
        if len(self._started) < min(self._open, self._most):
            name = f"{self._name}_{len(self._started)}"
            thread = Thread(target=_work, args=(self._jobs,), name=name, daemon=True)
            thread.start()
            self._started.append(thread)


class _Job(Generic[T]):
    """A call, and then what came of it; `waiter` is told when that is so."""

    __slots__ = ("_args", "_claimed", "_error", "_function", "_result", "done", "results", "waiter")
    _result: T

    def __init__(
        self,
        function: Callable[..., T],
        args: tuple[Any, ...],
        results: Returns,
        waiter: asyncio.Future[None],
    ) -> None:
        self._function = function
        self._args = args
        self._claimed = Lock()
        self._error: BaseException | None = None
        self.results = results
        self.waiter = waiter
        self.done = False

    def claim(self) -> bool:
        """Whether it is the caller's from now on; it is nobody's twice."""
        return self._claimed.acquire(blocking=False)

    def give_up(self) -> None:
        """Settle it with TimeoutError where it has not begun; on the loop."""
        if self.claim():
            self._error = TimeoutError()
            self.settle()

    def work(self) -> None:
        """Call the function; on a thread."""
        try:
            self._result = self._function(*self._args)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised where the job is waited for
            self._error = error

    def settle(self) -> None:
        """See Done."""
        self.done = True
        if not self.waiter.done():
            self.waiter.set_result(None)

    def outcome(self) -> T:
        """What the function returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._result


class Done(Protocol):
    """A job that is done on its thread."""

    def settle(self) -> None:
        """Wake up who waits; on the loop."""
        ...


class Returns:
    """Jobs that are done, on their way back to their loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._jobs: deque[Done] = deque()
        self._called = False

    def put(self, job: Done) -> None:
        """The job is done; the loop is called where it is not on its way already."""
        self._jobs.append(job)
        if not self._called:
            self._called = True
            with suppress(RuntimeError):  # nobody waits in a loop that is closed
                self.loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._called = False  # before looking: who comes after the last look calls again
        while self._jobs:
            self._jobs.popleft().settle()


def _work(jobs: SimpleQueue[_Job[Any] | None]) -> None:
    # Knows the queue alone: threads that nobody has closed end when those are collected who gave them work.
    while (job := jobs.get()) is not None:
        if job.claim():
            job.work()
            job.results.put(job)
        del job


def _for_all() -> Threads:
    threads: Threads | None = getattr(_own, "threads", None)
    if threads is None:
        threads = _own.threads = Threads(_FOR_ALL_MAX, "threads")
    return threads
