"""Connections to Postgres that are given up when their thread's time is over, however silent the server is.

A server that hangs (a frozen disk, a stopped process) looks alive from here: its kernel still acknowledges what it is
sent, so that neither keepalives nor the kernel's own timeouts end the wait. psycopg waits in short turns; each of them
looks at the clock.
"""

from __future__ import annotations

import math
import time
from threading import local
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from sqlalchemy import Engine, event

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from psycopg.abc import PQGen

T = TypeVar("T")

_SILENT: Final = "the server does not answer within the time that there is for it"
_own = local()


def run_until(deadline: float, function: Callable[[], T]) -> T:
    """What `function` returns on this thread; its waits for `bounded` engines' connections end with OperationalError.

    `deadline` is one of `time.monotonic`. A connection that was waited for is closed then: nobody knows what would
    come over it next.
    """
    _own.deadline = deadline
    try:
        return function()
    finally:
        _own.deadline = None


def bounded(engine: Engine) -> Engine:
    """The engine, from now on with connections that know of deadlines."""
    event.listen(engine, "do_connect", _connect)
    return engine


class _Connection(psycopg.Connection[Any]):
    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:  # noqa: ANN401 - whatever psycopg's own takes
        deadline = _deadline()
        return super().wait(gen if deadline is None else self._until(deadline, gen), *args, **kwargs)

    def _until(self, deadline: float, steps: PQGen[T]) -> Generator[Any, Any, T]:
        try:
            wanted = next(steps)
            while True:
                ready = yield wanted
                if time.monotonic() >= deadline:
                    self.close()
                    raise psycopg.OperationalError(_SILENT)
                wanted = steps.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result


def _connect(_dialect: object, _record: object, args: list[Any], options: dict[str, Any]) -> _Connection:
    deadline = _deadline()
    if deadline is not None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise psycopg.OperationalError(_SILENT)
        given = float(options.get("connect_timeout", 0)) or math.inf  # seconds; 0 says that there is no end
        options["connect_timeout"] = max(1, math.floor(min(given, left)))  # psycopg makes it two at least
    return _Connection.connect(*args, **options)


def _deadline() -> float | None:
    return getattr(_own, "deadline", None)
