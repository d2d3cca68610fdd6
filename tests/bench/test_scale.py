"""The benchmark's scale suite: what it lays out is what a client is told, and links are followed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from bench import grown, rounds, scaling
from bench.cases import MIB, Known, all_cases
from bench.combining import combined
from bench.on_objects import on_objects
from bench.ours import on_postgres, ours
from bench.plan import Choice, comparisons, selected
from bench.servers import Running, running
from tests.s3 import S3Server
from tests.server import PROJECT

ENTRIES: Final = 1000


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def grown_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """Give a registry with as many entries of everything."""
    folder = tmp_path_factory.mktemp("grown")
    with ExitStack() as stack:
        server = ours("ours", PROJECT) if request.param == "sqlite" else on_postgres(PROJECT, stack)
        assert server.grow
        server.grow(ENTRIES, folder)
        yield stack.enter_context(running(server, folder))


def page_of(there: Running, name: str) -> httpx.Response:
    """A page of a grown list."""
    answer = httpx.get(f"http://{there.address}/v2/{grown.pages(ENTRIES)[name]}")
    assert answer.status_code == 200, answer.text
    return answer


def entries_of(page: dict[str, Any]) -> list[Any]:
    """What a page of any list holds."""
    found: list[Any] = page.get("tags") or page.get("repositories") or page["manifests"]
    return found


@pytest.mark.parametrize("name", grown.pages(ENTRIES))
def test_page_of_a_grown_list(grown_server: Running, name: str) -> None:
    """Every page that is measured is full; tags and repositories go on behind it, but for the last page."""
    answer = page_of(grown_server, name)
    assert len(entries_of(answer.json())) == grown.PAGE
    assert ("link" in answer.headers) == name.endswith(("first", "middle"))


def test_middle_is_where_it_says(grown_server: Running) -> None:
    """A page from the middle begins behind the entry in the middle."""
    tags, repositories = (
        entries_of(page_of(grown_server, name).json()) for name in ("tags-middle", "catalog-middle")
    )
    assert (tags[0], repositories[0]) == (grown.tag(501), grown.repository(501))


def test_cost_of_the_database_is_told_apart(grown_server: Running) -> None:
    """Where Postgres works for the registry, its part of the cost is told; SQLite has none of its own."""
    [case] = selected(["grown-tags-first-1000"], ["*"])
    job = {**case.job, "clients": 1, "operations": 50, "seconds": 60}
    result = combined([rounds.reading(case, grown_server, Known(), job)])
    on_its_own = grown_server.server.name == "ours-postgres"
    assert ("database_cpu_us_per_operation" in result) == on_its_own
    assert result.get("database_cpu_us_per_operation", 0) <= result["cpu_us_per_operation"]


def measured_lists(growing: float) -> dict[str, Any]:
    """Results of lists that cost so many times as much at each length."""
    return {
        f"grown-{name}-{entries}": {
            server: {
                "operations": 20.0,
                "per_second": 100.0,
                "latency_ms": {"p50": 2.0 * growing**step, "p99": 3.0},
                "cpu_us_per_operation": 500.0,
            }
            for server in ("ours", "ours-postgres")
        }
        for step, entries in enumerate(grown.ENTRIES)
        for name in grown.pages(entries)
    }


@pytest.mark.parametrize(
    ("growing", "told"), [(1.4, "| 2.74<br><br>1.00 |"), (2, "| **8.00<br><br>1.00** |")]
)
def test_lists_that_are_not_flat_stand_out(growing: float, told: str) -> None:
    """A list whose page costs more than three times as much as at its shortest is told in bold."""
    rows = scaling.lists_table(measured_lists(growing)).splitlines()[2:]
    assert len(rows) == 2 * len(grown.pages(1000))
    assert all(row.endswith(told) for row in rows)


def test_pictures_have_a_line_for_each_list() -> None:
    """The picture of the lists has a panel for each database, and a point for each length."""
    panels = scaling.pictures({"lists": measured_lists(1)})["lists"]
    assert [len(panel.lines) for panel in panels] == [3, 3]
    assert all(len(line.points) == len(grown.ENTRIES) for panel in panels for line in panel.lines)


def test_too_little_to_be_counted() -> None:
    """A page that cost less than the system's clock can tell has no ratio, and no point in the picture."""
    cases = measured_lists(1)
    for name in grown.pages(1000):
        cases[f"grown-{name}-1000"]["ours"]["cpu_us_per_operation"] = 0.0
    rows = scaling.lists_table(cases).splitlines()[2:]
    assert rows[0].endswith("| 1.00<br><br>not measured |")
    panels = scaling.pictures({"lists": cases})["lists"]
    assert [len(panel.lines[0].points) for panel in panels] == [3, 4]


def test_the_worst_length_counts() -> None:
    """A list that costs much at a length between the shortest and the longest stands out, too."""
    cases = measured_lists(1)
    cases["grown-tags-first-100000"]["ours"]["latency_ms"]["p50"] = 7.0
    assert scaling.lists_table(cases).splitlines()[2].endswith("| **3.50<br><br>1.00** |")


def test_asked_too_few_times() -> None:
    """A list of which one length was asked fewer than 20 times is not called flat."""
    cases = measured_lists(1)
    cases["grown-tags-first-100000"]["ours"]["operations"] = 19.0
    rows = scaling.lists_table(cases).splitlines()[2:]
    assert [row.endswith("| not measured |") for row in rows[:2]] == [True, False]


def test_page_has_a_place_for_everything() -> None:
    """The page has each mark that the figures are written to once."""
    text = Path(PROJECT, "docs", "scaling.md").read_text()
    marks = ("measured", "blobs", "lists", "requests")
    assert [text.count(f"<!-- {mark} -->") for mark in marks] == [1, 1, 1, 1]


@pytest.fixture
def by_redirect(s3_server: S3Server, tmp_path: Path) -> Iterator[Running]:
    """Give a registry that sends its clients to object storage."""
    server = on_objects("ours-s3-redirect", PROJECT, lambda: s3_server, "always")
    with running(server, tmp_path) as there:
        yield there


def test_links_are_followed(by_redirect: Running) -> None:
    """Bytes come from object storage where the registry says so, and the cost of both is told apart."""
    [case] = selected(["blob-get-1m"], ["*"])
    known = rounds.filled(by_redirect, [case])
    assert case.requests
    job = {"operation": "get", "clients": 2, "operations": 3, "seconds": 60, "requests": case.requests(known)}
    summary = rounds.measured(by_redirect, job)
    assert (summary["operations"], summary["redirects"]) == (6, 6)
    assert summary["bytes"] == 6 * MIB
    assert summary["storage_cpu_seconds"] >= 0


def test_files_are_not_elsewhere(tmp_path: Path) -> None:
    """A registry with files sends the bytes itself, and no storage is charged for it."""
    with running(ours("ours", PROJECT), tmp_path) as there:
        [case] = selected(["blob-get-78"], ["*"])
        summary = rounds.reading(
            case,
            there,
            rounds.filled(there, [case]),
            {**case.job, "clients": 1, "operations": 3, "seconds": 60},
        )
    assert (summary["operations"], summary["redirects"]) == (3, 0)
    assert "storage_cpu_seconds" not in summary


@pytest.mark.parametrize("suite", ["peers", "scale"])
@pytest.mark.parametrize("quick", [False, True])
def test_plan_names_what_there_is(suite: str, quick: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Every comparison of a suite has cases and servers that there are."""
    known = {case.name for case in all_cases()}
    with ExitStack() as stack:
        servers = Choice(stack).known
    for comparison in comparisons(suite, quick=quick):
        assert comparison.cases
        assert set(comparison.cases) <= known
        assert set(comparison.servers) <= servers.keys()


def test_sizes_are_measured_on_stores_of_their_size() -> None:
    """A case on a grown store asks for pages of a list of that size."""
    [case] = selected(["grown-tags-last-100000"], ["*"])
    assert case.requests
    assert case.requests(Known())[0]["path"].endswith(f"last={grown.tag(99_899)}")
    assert case.entries == 100_000
