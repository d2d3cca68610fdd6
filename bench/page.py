"""Writes the figures of a result into its page, between the marks there, and draws the pictures beside it.

python -m bench.page bench/results/full.json        docs/performance.md
python -m bench.page bench/results/scale.json       docs/scaling.md
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import full, scaling
from bench.chart import Line, Panel, drawing
from bench.tables import comparison, measured, series
from bench.targets import verdicts
from bench.tools import PROJECT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DOCS = PROJECT / "docs"
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
    if found.get("suite") == "scale":
        publish("scaling", scaling.texts(found), scaling.pictures(found["comparisons"]))
    else:
        publish("performance", texts(found), pictures(found["comparisons"]["one core"]))


def publish(name: str, texts: Mapping[str, str], pictures: Mapping[str, Sequence[Panel]]) -> None:
    """Put each text where the page has its mark, and the pictures into the folder beside it."""
    page = _DOCS / f"{name}.md"
    for mark, text in texts.items():
        page.write_text(marked(page.read_text(), mark, text))
    (_DOCS / name).mkdir(exist_ok=True)
    for stem, panels in pictures.items():
        (_DOCS / name / f"{stem}.svg").write_text(drawing(panels))


def marked(page: str, mark: str, text: str) -> str:
    """The page with the text where it has the mark."""
    pattern = re.compile(_MARKED.format(mark), re.DOTALL)
    page, count = pattern.subn(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", page)
    assert count == 1, f"the page has no place for {mark}"
    return page


def texts(found: dict[str, Any]) -> dict[str, str]:
    """What docs/performance.md tells, by mark."""
    return {
        "measured": measured(found),
        "targets": targets(found["comparisons"]["one core"]),
        "figures": "\n".join(comparison(*item) for item in found["comparisons"].items()),
    }


def pictures(cases: dict[str, Any]) -> dict[str, list[Panel]]:
    """Its pictures, by the name of their files."""
    by_clients = {stem: against_clients(cases, stem, counts) for stem, counts in _CLIENTS.items()}
    return {**by_clients, "tags": against_tags(cases)}


def targets(cases: dict[str, Any]) -> str:
    """Each target, and whether it was reached."""
    rows = [
        f"| {verdict.case} | {verdict.target} | {verdict.measured} | "
        f"{'yes' if verdict.share >= 1 else f'**{verdict.share:.0%} of it**'} |"
        for verdict in verdicts(cases)
    ]
    return "\n".join(["| case | target | measured | reached |", "| --- | --- | --- | --- |", *rows])


def against_clients(cases: dict[str, Any], stem: str, counts: tuple[int, ...]) -> list[Panel]:
    """Throughput and latency of the same work by more and more clients."""
    at = {count: cases.get(f"{stem}-{count}c") or cases.get(stem, {}) for count in counts}
    rates = [Line(name, points) for name, points in series(at, "per_second")]
    halves = [Line(name, points) for name, points in series(at, "latency_ms", "p50")]
    tails = [Line(name, points, dashed=True) for name, points in series(at, "latency_ms", "p99")]
    return [
        Panel(f"{stem}: throughput", "clients", "a second", rates),
        Panel(f"{stem}: latency, median and 99th percentile", "clients", "ms", [*halves, *tails]),
    ]


def against_tags(cases: dict[str, Any]) -> list[Panel]:
    """What the number of tags in a repository does to the cost of a page of them, and of one manifest."""
    panels = []
    for stem, title in (("tags-page", "a page of 100 tags"), ("manifest-get-tag-of", "a manifest by tag")):
        at = {count: cases.get(f"{stem}-{count}", {}) for count in full.TAGS}
        lines = [Line(name, points) for name, points in series(at, "cpu_us_per_operation")]
        panels.append(Panel(f"processor time of {title}", "tags in the repository", "us", lines))
    return panels


if __name__ == "__main__":
    main()
