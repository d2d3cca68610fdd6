"""What docs/scaling.md tells of a result of the suite of scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from bench import grown
from bench.cases import MIB, SIZES
from bench.chart import Line, Panel
from bench.tables import measured, series, table

if TYPE_CHECKING:
    from collections.abc import Iterator

_DATABASES: Final = {"ours": "SQLite", "ours-postgres": "Postgres"}
_BLOBS: Final = {
    "upload-monolithic": "push in one PUT",
    "upload-streamed": "push in a PATCH",
    "blob-get": "pull",
}
_LISTS: Final = {"tags-middle": "tags", "catalog-middle": "catalog", "referrers": "referrers"}
FLAT_MAX: Final = 3
"""How many times as much a page may cost in any list as in the smallest."""
OPERATIONS_MIN: Final = 20
"""With fewer, chance tells more than the list does."""

Cases = dict[str, dict[str, Any]]


def texts(found: dict[str, Any]) -> dict[str, str]:
    """The page's parts, by mark."""
    told = {"measured": measured(found)}
    if blobs := found["comparisons"].get("blobs"):
        told["blobs"] = table(blobs)
    if requests := found["comparisons"].get("requests"):
        told["requests"] = table(requests)
    if lists := found["comparisons"].get("lists"):
        told["lists"] = lists_table(lists)
    return told


def pictures(comparisons: dict[str, Cases]) -> dict[str, list[Panel]]:
    """Its pictures, by the name of their files."""
    drawn = {}
    if blobs := comparisons.get("blobs"):
        drawn["blobs"] = [_against_size(blobs, stem, title) for stem, title in _BLOBS.items()]
    if lists := comparisons.get("lists"):
        drawn["lists"] = [_against_entries(lists, server, name) for server, name in _DATABASES.items()]
    return drawn


def lists_table(cases: Cases) -> str:
    """A row for each list and database, a column for each length; last, how flat it is."""
    heads = [*(f"{entries:,}" for entries in _lengths(cases)), "most / first"]
    return "\n".join(
        [
            f"| page of 100 | database | {' | '.join(heads)} |",
            "| --- " * (len(heads) + 2) + "|",
            *_rows(cases),
        ]
    )


def growth(cases: Cases, page: str, server: str) -> tuple[float, float]:
    """How many times the median latency, and the processor time, of the smallest list the one that takes most takes.

    NaN where that was too little for the system's clock, or where one of the lists was asked too few times.
    """
    results = [cases[f"grown-{page}-{entries}"][server] for entries in _lengths(cases)]
    if min(result["operations"] for result in results) < OPERATIONS_MIN:
        return math.nan, math.nan
    return (
        _most_to_first([result["latency_ms"]["p50"] for result in results]),
        _most_to_first([result["cpu_us_per_operation"] for result in results]),
    )


def _most_to_first(figures: list[float]) -> float:
    return max(figures) / figures[0] if figures[0] else math.nan


def _lengths(cases: Cases) -> list[int]:
    """Those of the lists that were measured."""
    return [entries for entries in grown.ENTRIES if f"grown-tags-first-{entries}" in cases]


def _rows(cases: Cases) -> Iterator[str]:
    for page in grown.pages(grown.ENTRIES[0]):
        for server, database in _DATABASES.items():
            cells = [_cell(cases[f"grown-{page}-{entries}"][server]) for entries in _lengths(cases)]
            told = _verdict(growth(cases, page, server))
            yield f"| {page.replace('-', ', ')} | {database} | {' | '.join(cells)} | {told} |"


def _verdict(ratios: tuple[float, float]) -> str:
    """In bold where one of them is too large; what was not measured is not called flat."""
    told = "<br><br>".join(
        "not measured" if math.isnan(ratio) else f"{ratio:.2f}" for ratio in dict.fromkeys(ratios)
    )
    return f"**{told}**" if any(ratio > FLAT_MAX for ratio in ratios) else told


def _cell(result: dict[str, Any]) -> str:
    latency = result["latency_ms"]
    return (
        f"{latency['p50']:.2f} / {latency['p99']:.2f} ms<br>{result['per_second']:,.0f} /s<br>"
        f"{result['cpu_us_per_operation']:,.0f} us"
    )


def _against_size(cases: Cases, stem: str, title: str) -> Panel:
    at = {SIZES[size] // MIB: cases.get(f"{stem}-{size}", {}) for size in ("1m", "100m", "1g")}
    lines = [Line(name, points) for name, points in series(at, "mib_per_second")]
    return Panel(title, "MiB", "MiB a second", lines)


def _against_entries(cases: Cases, server: str, database: str) -> Panel:
    lines = []
    for page, name in _LISTS.items():
        at = {entries: {server: cases[f"grown-{page}-{entries}"][server]} for entries in _lengths(cases)}
        lines += [Line(name, points) for _, points in series(at, "cpu_us_per_operation")]
    return Panel(f"processor time of a page, {database}", "entries in the list", "us", lines)
