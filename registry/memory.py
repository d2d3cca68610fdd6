"""The memory of a process that serves: what is loaded stays, and what is freed is kept for the next piece of a body."""

from __future__ import annotations

import ctypes
import gc
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_M_TRIM_THRESHOLD: Final = -1  # malloc.h
_M_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 8 * 1024 * 1024
_APART_BYTES: Final = 16 * 1024 * 1024
"""What is as large gets pages of its own, which go when it does; the parts that object storage is sent are smaller."""


@contextmanager
def loading() -> Iterator[None]:
    """Around all that a process loads before it serves, and which is not to be looked through for garbage later."""
    _keep_what_is_freed()
    gc.disable()  # it would take an eighth of the time, and find nothing
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _keep_what_is_freed() -> None:
    # As it is, glibc gives the end of its heap back once 128 KiB of it are free. For each piece of a body the kernel
    # would make pages anew, which took a sixth of the time of an upload of 1 MiB.
    with suppress(OSError, AttributeError):  # another library than glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _APART_BYTES)
