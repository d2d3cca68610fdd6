"""Results as lines for people."""

from __future__ import annotations

from typing import Any

from bench.cases import MIB

_HEADER = f"{'case':24} {'server':16} {'rate':>12} {'p50 ms':>8} {'p99 ms':>8} {'cpu':>14} {'client':>7}"


def header() -> str:
    """What the columns are."""
    return _HEADER


def lines(case: str, results: dict[str, Any]) -> list[str]:
    """A line for each server; the ratios compare the first server with the others."""
    first = next(iter(results.values()))
    return [_line(case, name, result, first) for name, result in results.items()]


def _line(case: str, name: str, result: dict[str, Any], first: dict[str, Any]) -> str:
    if "failed" in result:
        return f"{case:24} {name:16} failed: {result['failed']}"
    latency = result["latency_ms"]
    line = (
        f"{case:24} {name:16} {rate(result):>12} {latency['p50']:8.2f} {latency['p99']:8.2f} "
        f"{cost(result):>14} {result['client_busy']:7.0%}"
    )
    if result is first or "failed" in first:
        return line
    return f"{line}  first / this: {ratio(first, result):.2f}, cpu {cpu_ratio(first, result):.2f}"


def rate(result: dict[str, Any]) -> str:
    """In operations, or in MiB where operations move much."""
    if in_bytes(result):
        return f"{result['mib_per_second']:,.0f} MiB/s"
    return f"{result['per_second']:,.0f} /s"


def cost(result: dict[str, Any]) -> str:
    """Processor time for each operation, or for each GiB."""
    if in_bytes(result):
        return f"{result['cpu_seconds_per_gib']:.2f} s/GiB"
    return f"{result['cpu_us_per_operation']:,.0f} us"


def in_bytes(result: dict[str, Any]) -> bool:
    """Whether an operation moves a MiB or more, so that the bytes are what counts."""
    moved: float = result["mib_per_second"] / result["per_second"]
    return moved * MIB >= MIB


def ratio(first: dict[str, Any], other: dict[str, Any]) -> float:
    """How many times as fast the first is."""
    quotient: float = first["per_second"] / other["per_second"]
    return quotient


def cpu_ratio(first: dict[str, Any], other: dict[str, Any]) -> float:
    """How many times as much processor time the first needs."""
    cost_of_other = other["cpu_us_per_operation"]
    quotient: float = first["cpu_us_per_operation"] / cost_of_other if cost_of_other else float("nan")
    return quotient
