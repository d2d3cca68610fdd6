"""Results as lines for people."""

from __future__ import annotations

from typing import Any

from bench.cases import MIB

_HEADER = f"{'case':24} {'server':16} {'rate':>12} {'p50 ms':>8} {'p99 ms':>8} {'cpu':>12} {'client':>7}"
CLIENT_BUSY_MAX = 0.9
"""Beyond this the load generator may be what limits."""


def header() -> str:
    """What the columns are."""
    return f"{_HEADER}  ours is so many times as fast, and needs so many times the processor"


def lines(case: str, results: dict[str, Any]) -> list[str]:
    """A line for each server."""
    return [f"{case:24} {name:16} {_told(result)}" for name, result in results.items()]


def _told(result: dict[str, Any]) -> str:
    if "failed" in result:
        return f"failed: {result['failed']}"
    if "per_second" not in result:
        return ", ".join(f"{figure(name, value)}" for name, value in result.items())
    latency = result["latency_ms"]
    busy = "!" if result["client_busy"] > CLIENT_BUSY_MAX else ""
    line = (
        f"{rate(result):>12} {latency['p50']:8.2f} {latency['p99']:8.2f} {cost(result):>12} "
        f"{result['client_busy']:6.0%}{busy:1}"
    )
    line += "".join(f"  {told}" for told in apart(result))
    if "ratio" not in result:
        return line
    return f"{line}  {result['ratio']:6.2f} {result['cpu_ratio'] or 0:6.2f}"


def figure(name: str, value: float) -> str:
    """A named figure, whose unit comes last in its name."""
    what, _, unit = name.rpartition("_")
    return f"{what} {value:.2f} s" if unit == "seconds" else f"{what} {value:.0f} MB"


def rate(result: dict[str, Any]) -> str:
    """In operations, or in MiB where operations move much."""
    if in_bytes(result):
        return f"{result['mib_per_second']:,.0f} MiB/s"
    digits = 0 if result["per_second"] >= 10 else 2
    return f"{result['per_second']:,.{digits}f} /s"


def cost(result: dict[str, Any]) -> str:
    """Processor time for each operation, or for each GiB."""
    if in_bytes(result):
        return f"{result['cpu_seconds_per_gib']:.2f} s/GiB"
    return f"{result['cpu_us_per_operation']:,.0f} us"


def apart(result: dict[str, Any]) -> list[str]:
    """What of the cost is the database's, and what object storage had to pay besides."""
    told = []
    if "database_cpu_us_per_operation" in result:
        told.append(f"database {result['database_cpu_us_per_operation']:,.0f} us")
    if "storage_cpu_seconds_per_gib" in result:
        told.append(f"storage {result['storage_cpu_seconds_per_gib']:.2f} s/GiB")
    return told


def in_bytes(result: dict[str, Any]) -> bool:
    """Whether an operation moves a MiB or more, so that the bytes are what counts."""
    moved: float = result["mib_per_second"] / result["per_second"]
    return moved * MIB >= MIB
