"""Makes one result of several rounds: medians, and costs over all of them."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from bench.cases import GIB, MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Round = dict[str, Any]
"""What one run of a case found: the load generator's summary with the server's processor time, or named figures."""
Result = dict[str, Any]
"""The same of all rounds, fit for JSON; or `failed`, with the reason."""


def combined(rounds: Sequence[Round]) -> Result:
    """Rates and latencies, or the median of each named figure."""
    if "operations" not in rounds[0]:
        return _medians(rounds)
    return {
        "per_second": _median(rounds, lambda one: one["operations"] / one["seconds"]),
        "mib_per_second": _median(rounds, lambda one: one["bytes"] / one["seconds"] / MIB),
        "latency_ms": _medians([one["latency_ms"] for one in rounds]),
        **_costs(rounds),
        "client_busy": _median(rounds, lambda one: one["client_cpu_seconds"] / one["wall_seconds"]),
        "rounds_per_second": [one["operations"] / one["seconds"] for one in rounds],
    }


def with_ratios(results: dict[str, Result]) -> dict[str, Result]:
    """Beside each other server's result: how many times as fast the first one is, how many times as costly."""
    first = next(iter(results.values()), {})
    return {
        name: result if result is first else {**result, **_ratios(first, result)}
        for name, result in results.items()
    }


def _ratios(first: Result, other: Result) -> Result:
    if "per_second" not in first or "per_second" not in other:
        return {}
    cost = other["cpu_us_per_operation"]  # 0 where a round was too short for the system's clock
    return {
        "ratio": first["per_second"] / other["per_second"],
        "cpu_ratio": first["cpu_us_per_operation"] / cost if cost else None,
    }


def _costs(rounds: Sequence[Round]) -> Result:
    """Over all rounds: the system counts in hundredths of a second."""
    operations, moved, seconds = (_sum(rounds, what) for what in ("operations", "bytes", "cpu_seconds"))
    costs = {
        "operations": operations,
        "cpu_us_per_operation": seconds / operations * 1e6,
        "cpu_seconds_per_gib": seconds / moved * GIB if moved else None,
    }
    if "storage_cpu_seconds" in rounds[0] and moved:
        costs["storage_cpu_seconds_per_gib"] = _sum(rounds, "storage_cpu_seconds") / moved * GIB
    if "database_cpu_seconds" in rounds[0]:
        costs["database_cpu_us_per_operation"] = _sum(rounds, "database_cpu_seconds") / operations * 1e6
    return costs


def _sum(rounds: Sequence[Round], what: str) -> float:
    return float(sum(one[what] for one in rounds))


def _median(rounds: Sequence[Round], value: Callable[[Round], float]) -> float:
    return statistics.median(value(one) for one in rounds)


def _medians(rounds: Sequence[Round]) -> Result:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
