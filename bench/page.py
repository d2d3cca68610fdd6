"""Writes the figures of a result into docs/performance.md, between its marks, and draws the pictures beside it.

python -m bench.page bench/results/full.json
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from bench import full, report
from bench.chart import Line, Panel, drawing
from bench.targets import verdicts
from bench.tools import PROJECT

_PAGE = PROJECT / "docs" / "performance.md"
_PICTURES = PROJECT / "docs" / "performance"
_MARKED = r"(<!-- {0} -->\n).*?(<!-- end -->)"
_CLIENTS = {
    "manifest-get-tag": (1, 8, 64, 256),
    "push-blob-1k": (1, 8, 64),
    "image-push-new": (1, 8, 64),
    "image-pull": (1, 8, 64),
}


def main() -> None:
    """Read the result, write page and pictures."""
    found = json.loads(Path(sys.argv[1]).read_text())
    cases = found["comparisons"]["one core"]
    write("measured", measured(found))
    write("targets", targets(cases))
    write("figures", "\n".join(comparison(*item) for item in found["comparisons"].items()))
    _PICTURES.mkdir(exist_ok=True)
    for stem, counts in _CLIENTS.items():
        (_PICTURES / f"{stem}.svg").write_text(drawing(against_clients(cases, stem, counts)))
    (_PICTURES / "tags.svg").write_text(drawing(against_tags(cases)))


def write(mark: str, text: str) -> None:
    """Put the text where the page has the mark."""
    pattern = re.compile(_MARKED.format(mark), re.DOTALL)
    page, count = pattern.subn(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", _PAGE.read_text())
    assert count == 1, f"{_PAGE} has no place for {mark}"
    _PAGE.write_text(page)


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


def targets(cases: dict[str, Any]) -> str:
    """Each target, and whether it was reached."""
    rows = [
        f"| {verdict.case} | {verdict.target} | {verdict.measured} | "
        f"{'yes' if verdict.share >= 1 else f'**{verdict.share:.0%} of it**'} |"
        for verdict in verdicts(cases)
    ]
    return "\n".join(["| case | target | measured | reached |", "| --- | --- | --- | --- |", *rows])


def comparison(title: str, cases: dict[str, Any]) -> str:
    """A table with a row for each case and a column for each server."""
    servers = list(dict.fromkeys(server for results in cases.values() for server in results))
    rows = [f"| {case} | {' | '.join(cells(results, servers))} |" for case, results in cases.items()]
    return "\n".join(
        [
            f"### {title.capitalize()}",
            "",
            f"| case | {' | '.join(servers)} |",
            "| --- " * (len(servers) + 1) + "|",
            *rows,
            "",
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
    if result["client_busy"] > report.CLIENT_BUSY_MAX:
        told += "<br>(limited by the clients)"
    return f"{told}<br>*x {result['ratio']:.2f}*" if "ratio" in result else told


def against_clients(cases: dict[str, Any], stem: str, counts: tuple[int, ...]) -> list[Panel]:
    """Throughput and latency of the same work by more and more clients."""
    at = {count: cases.get(f"{stem}-{count}c") or cases.get(stem, {}) for count in counts}
    rates = [Line(name, points) for name, points in _series(at, "per_second")]
    halves = [Line(name, points) for name, points in _series(at, "latency_ms", "p50")]
    tails = [Line(name, points, dashed=True) for name, points in _series(at, "latency_ms", "p99")]
    return [
        Panel(f"{stem}: throughput", "clients", "a second", rates),
        Panel(f"{stem}: latency, median and 99th percentile", "clients", "ms", [*halves, *tails]),
    ]


def against_tags(cases: dict[str, Any]) -> list[Panel]:
    """What the number of tags in a repository does to the cost of a page of them, and of one manifest."""
    panels = []
    for stem, title in (("tags-page", "a page of 100 tags"), ("manifest-get-tag-of", "a manifest by tag")):
        at = {count: cases.get(f"{stem}-{count}", {}) for count in full.TAGS}
        lines = [Line(name, points) for name, points in _series(at, "cpu_us_per_operation")]
        panels.append(Panel(f"processor time of {title}", "tags in the repository", "us", lines))
    return panels


def _series(at: dict[int, Any], *keys: str) -> list[tuple[str, list[tuple[float, float]]]]:
    """For each server its points: x, and the figure that the keys lead to."""
    servers = dict.fromkeys(server for results in at.values() for server in results)
    return [
        (server, [(x, _dig(results[server], keys)) for x, results in at.items() if _usable(results, server)])
        for server in servers
    ]


def _usable(results: dict[str, Any], server: str) -> bool:
    return server in results and "failed" not in results[server]


def _dig(result: dict[str, Any], keys: tuple[str, ...]) -> float:
    value: Any = result
    for key in keys:
        value = value[key]
    return float(value)


if __name__ == "__main__":
    main()
