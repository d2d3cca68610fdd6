"""Logging to stderr: readable on a terminal, JSON lines otherwise; the standard library's logging joins in.

An event is a few words with its facts beside it: `structlog.get_logger("registry.x").info("purged", n=3)`.
"""

import json
import logging
import re
import sys
from asyncio import CancelledError
from contextlib import suppress
from typing import Literal

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

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


def _write(line: str) -> None:
    """To what sys.stderr is at that moment: a cached logger never holds one that was closed or replaced."""
    with suppress(OSError, ValueError):  # nobody reads the log any more: no reason to fail a request
        sys.stderr.write(f"{line}\n")


class _Stderr:
    """A logger, in structlog's sense: takes finished lines."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        _write(line)

    debug = info = warning = warn = error = critical = fatal = exception = log = msg


class _Handler(logging.Handler):
    """The standard library's way to the same lines."""

    def emit(self, record: logging.LogRecord) -> None:
        _write(self.format(record))


def _is_no_cut_off(record: logging.LogRecord) -> bool:
    """Requests that a stop has cut off are told of at the door, in one line with their id: a traceback says less."""
    return not (record.exc_info and isinstance(record.exc_info[1], CancelledError))


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
