"""What processes cost, by the system's own account."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


def processor_seconds(roots: Iterable[int]) -> float:
    """User and system time of the processes and all below them, those that have ended included."""
    ticks = 0
    for pid in family(roots):
        fields = _stat(pid)
        ticks += sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
    return ticks * _TICK_SECONDS


def memory_megabytes(roots: Iterable[int], what: str) -> float:
    """The sum of VmRSS (now) or VmHWM (the most since `forget_peak`) of the processes and all below them."""
    return sum(_status_kilobytes(pid, what) for pid in family(roots)) / 1024


def forget_peak(roots: Iterable[int]) -> None:
    """Let VmHWM begin anew."""
    for pid in family(roots):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def family(roots: Iterable[int]) -> list[int]:
    """The processes and all below them."""
    every = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    parents = {pid: _parent(pid) for pid in every}
    found = list(roots)
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, which may hold blanks; none where the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _status_kilobytes(pid: int, what: str) -> int:
    found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0
