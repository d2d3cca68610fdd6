"""Results as Markdown, and as series of points."""

from __future__ import annotations

from typing import Any

from bench import report


def measured(found: dict[str, Any]) -> str:
    """On what, and which versions."""
    machine, effort = found["machine"], found["effort"]
    hardware = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
    software = f"Linux {machine['kernel']}, Python {machine['python']}"
    rounds = f"median of {effort['rounds']} rounds of {effort['seconds']:g} s each"
    lines = [
        f"{machine['started']}: {hardware}, {software}; {rounds}.",
        "",
        *(f"- {name}: {version}" for name, version in found["versions"].items() if "-" not in name),
        *(f"- {name}: not measured here ({why})" for name, why in found["unavailable"].items()),
    ]
    return "\n".join(lines)


def comparison(title: str, cases: dict[str, Any]) -> str:
    """A heading, and the table below it."""
    return f"### {title.capitalize()}\n\n{table(cases)}\n"


def table(cases: dict[str, Any]) -> str:
    """A row for each case and a column for each server."""
    servers = list(dict.fromkeys(server for results in cases.values() for server in results))
    rows = [f"| {case} | {' | '.join(cells(results, servers))} |" for case, results in cases.items()]
    return "\n".join(
        [
            f"| case | {' | '.join(servers)} |",
            "| --- " * (len(servers) + 1) + "|",
            *rows,
        ]
    )


def cells(results: dict[str, Any], servers: list[str]) -> list[str]:
    """What each server did; behind the others, how many times as fast the first one is."""
    return [cell(results.get(server)) for server in servers]


def cell(result: dict[str, Any] | None) -> str:
    """Rate, median and 99th percentile, processor time; or named figures; or nothing."""
    if result is None:
        return ""
    if "failed" in result:
        return "failed"
    if "per_second" not in result:
        return "<br>".join(report.figure(*item) for item in result.items())
    latency = result["latency_ms"]
    told = f"{report.rate(result)}<br>{latency['p50']:.3g} / {latency['p99']:.3g} ms<br>{report.cost(result)}"
    told += "".join(f"<br>{part}" for part in report.apart(result))
    if result["client_busy"] > report.CLIENT_BUSY_MAX:
        told += "<br>(limited by the clients)"
    return f"{told}<br>*x {result['ratio']:.2f}*" if "ratio" in result else told


def series(at: dict[int, Any], *keys: str) -> list[tuple[str, list[tuple[float, float]]]]:
    """For each server its points: x, and the figure that the keys lead to, but for 0, which no logarithm knows."""
    servers = dict.fromkeys(server for results in at.values() for server in results)
    return [(server, _points(at, server, keys)) for server in servers]


def _points(at: dict[int, Any], server: str, keys: tuple[str, ...]) -> list[tuple[float, float]]:
    usable = ((x, _dig(results[server], keys)) for x, results in at.items() if _usable(results, server))
    return [(x, y) for x, y in usable if y > 0]


def _usable(results: dict[str, Any], server: str) -> bool:
    return server in results and "failed" not in results[server]


def _dig(result: dict[str, Any], keys: tuple[str, ...]) -> float:
    value: Any = result
    for key in keys:
        value = value[key]
    return float(value)
