"""Logging to stderr: readable on a terminal, JSON lines otherwise; the standard library's logging joins in.

An event is a few words with its facts beside it: `logs.logger("registry.x").info("purged", n=3)`.
"""

import asyncio
import atexit
import json
import logging
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Literal

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

AccessLog = Callable[..., None]
"""Takes the facts of a request by name."""

_ACCESS = "registry.access"

quiet: ContextVar[bool] = ContextVar("quiet", default=False)
"""Whether the registry that runs here is a guest in another program, whose structlog is no business of its own."""


class Logger:
    """A logger in structlog's sense, whose way is looked up at each call."""

    def __init__(self, name: str) -> None:
        """Take the name that stands beside each event."""
        self._name = name

    def __getattr__(self, method: str) -> Any:  # noqa: ANN401 (structlog's loggers have no type either)
        """`info`, `exception` and so on."""
        return getattr(_guest(self._name) if quiet.get() else structlog.get_logger(self._name), method)


def logger(name: str) -> Logger:
    """What every module of the registry logs with.

    As structlog is configured; but while `quiet`, warnings and worse go to the standard library's logging, the rest
    nowhere, and structlog's configuration is neither looked at nor changed.
    """
    return Logger(name)


def _guest(name: str) -> Any:  # noqa: ANN401 (as above)
    return structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        context_class=dict,
        cache_logger_on_first_use=False,
    )


# what a terminal would obey or turn around, and what some viewers take for a new line
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_CONTROL_IN_TRACEBACK = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

# libraries that tell at "info" how they go about their work; sqlalchemy would show every statement's values
_CHATTY = ("uvicorn", "uvicorn.error", "alembic")
_ONLY_WARNINGS = ("sqlalchemy", "asyncio")


def configure(level: str = "info", format: Literal["auto", "console", "json"] = "auto") -> None:  # noqa: A002
    """Set up logging for this process; `auto` is `console` when stderr is a terminal and `json` otherwise."""
    console = format == "console" or (format == "auto" and sys.stderr.isatty())
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper("%Y-%m-%d %H:%M:%S", utc=False)
        if console
        else structlog.processors.TimeStamper("iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    rendering: list[Processor] = _console() if console else [_render_json]
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_Stderr,
        cache_logger_on_first_use=True,
    )
    _route_standard_library(threshold, shared, rendering)


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    try:
        return orjson.dumps(event, default=repr).decode()
    except TypeError:  # a file name that is no UTF-8, a number that is too large: slower, and not so strict
        return json.dumps(event, default=repr)


def _console() -> list[Processor]:
    colors = sys.stderr.isatty()
    return [
        _escape,
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback),
    ]


def _escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Control characters from outside are shown, never sent to the terminal. JSON escapes them by itself."""
    for key, value in event.items():
        if isinstance(value, str):
            pattern = _CONTROL_IN_TRACEBACK if key == "exception" else _CONTROL
            event[key] = pattern.sub(lambda match: ascii(match[0])[1:-1], value)
    return event


class _Lines:
    """Writes lines to stderr: those of one turn of an event loop together, at the turn's end.

    One write for each line would cost a busy server more than to make the line.
    """

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._flusher: asyncio.AbstractEventLoop | None = None

    def write(self, line: str) -> None:
        """Write the line now, or, on an event loop, in a moment."""
        self._waiting.append(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if loop is not self._flusher:
            self._flusher = loop
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what waits, to what sys.stderr is now: a cached logger never holds one that was closed or replaced."""
        self._flusher = None
        lines = []
        with suppress(IndexError):
            while True:  # one by one, since another thread may write at this moment
                lines.append(self._waiting.popleft())
        with suppress(OSError, ValueError):  # nobody reads the log any more: no reason to fail a request
            sys.stderr.write("".join(f"{line}\n" for line in lines))


_lines = _Lines()
atexit.register(_lines.flush)  # of a loop that ended in the middle of a turn


def access_log() -> AccessLog | None:
    """What writes a line for each request, as logging is configured now; None where no such line is wanted.

    A request is most of what is ever logged, so that as JSON it takes the shortest way, past structlog's processors.
    """
    if quiet.get() or not logging.getLogger().isEnabledFor(logging.INFO):
        return None
    return _json_access if _render_json in structlog.get_config()["processors"] else _access


def _access(**facts: object) -> None:
    structlog.get_logger(_ACCESS).info("request", **facts)


def _json_access(**facts: object) -> None:
    now = time.time()
    stamp = f"{_second(int(now))}.{int(now % 1 * 1_000_000):06d}Z"
    line = {"timestamp": stamp, "level": "info", "logger": _ACCESS, "event": "request", **facts}
    _lines.write(_render_json(None, "info", line))


@lru_cache(maxsize=2)
def _second(instant: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(instant))


class _Stderr:
    """A logger, in structlog's sense: takes finished lines."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        _lines.write(line)

    debug = info = warning = warn = error = critical = fatal = exception = log = msg


class _Handler(logging.Handler):
    """The standard library's way to the same lines."""

    def emit(self, record: logging.LogRecord) -> None:
        _lines.write(self.format(record))


def _is_no_cut_off(record: logging.LogRecord) -> bool:
    """Requests that a stop has cut off are told of at the door, in one line with their id: a traceback says less."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _route_standard_library(threshold: int, shared: list[Processor], rendering: list[Processor]) -> None:
    handler = _Handler()
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[remove_meta, *rendering])
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    logging.captureWarnings(capture=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(
            threshold if threshold <= logging.DEBUG else max(threshold, logging.WARNING)
        )
    logging.getLogger("uvicorn.error").addFilter(_is_no_cut_off)
    for name in _ONLY_WARNINGS:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
