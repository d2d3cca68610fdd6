"""What is told of the machine beside the figures."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path


def machine() -> dict[str, object]:
    """Processor, cores, memory, kernel, Python, when, and how busy it was with other things before."""
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "processor": processor[1] if processor else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "load_before": round(os.getloadavg()[0], 2),
    }
