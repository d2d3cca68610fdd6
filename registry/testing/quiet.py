"""Keeps the registry's log out of the output of other programs' tests."""

from __future__ import annotations

import logging
import threading

import structlog

_BUILT_IN = [
    "merge_contextvars",
    "add_log_level",
    "StackInfoRenderer",
    "set_exc_info",
    "TimeStamper",
    "ConsoleRenderer",
]


def _is_configured() -> bool:
    """Whether somebody has decided how to log; `structlog.testing.capture_logs` leaves its defaults as if decided."""
    processors = structlog.get_config()["processors"]
    names = [getattr(processor, "__name__", type(processor).__name__) for processor in processors]
    return structlog.is_configured() and names != _BUILT_IN


class Quiet:
    """While anybody has begun, warnings and worse go to the standard library's logging, and the rest nowhere.

    Every request is in `OciRegistry.requests` anyway. Where somebody has configured structlog, that is left alone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._configured = False

    def begin(self) -> None:
        """Somebody runs a registry."""
        with self._lock:
            self._users += 1
            if not _is_configured():
                self._configured = True
                structlog.configure(
                    processors=[structlog.stdlib.render_to_log_kwargs],
                    wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
                    logger_factory=structlog.stdlib.LoggerFactory(),
                )

    def end(self) -> None:
        """They do no longer."""
        with self._lock:
            self._users -= 1
            if self._configured and not self._users:
                self._configured = False
                structlog.reset_defaults()


quiet = Quiet()
"""The process' one."""
