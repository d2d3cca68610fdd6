"""The benchmark runs, fills what it measures, and tells of failures."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import tables
from bench.cases import MIB, all_cases
from bench.chart import Line, Panel, drawing
from bench.combining import combined
from bench.failures import Failed
from bench.load import run
from bench.measuring import Bench, Effort
from bench.ours import ours
from bench.servers import Command
from bench.servers import Server as BenchServer
from bench.targets import verdicts
from tests.server import PROJECT, Server, running_server

CASES = ["v2", "manifest-get-tag", "upload-chunked-78", "image-push-one-new-1c", "tags-page-100", "start"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Give the JSON of a run as short as can be."""
    output = tmp_path_factory.mktemp("bench") / "result.json"
    options = ["--servers", "ours", "--seconds", "0.1", "--rounds", "1", "--only", ",".join(CASES)]
    command = [sys.executable, "-m", "bench", *options, "--output", str(output)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(output.read_text())
    return result


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a registry to be asked for what it does not have."""
    with running_server(tmp_path_factory.mktemp("server"), {}) as server:
        yield server


def test_each_kind_of_case_gives_figures(found: dict[str, Any]) -> None:
    """Reads, writes, lists and starts of our own server end with figures, none with a failure."""
    cases = found["comparisons"]["chosen"]
    assert cases.keys() == set(CASES)
    for name in set(CASES) - {"start"}:
        assert cases[name]["ours"]["per_second"] > 0
        assert cases[name]["ours"]["cpu_us_per_operation"] >= 0
    assert cases["start"]["ours"]["idle_megabytes"] > 1


def test_full_store_has_tags(found: dict[str, Any]) -> None:
    """The rows that are laid into the database are what a client is told: a page of fifty tags is not empty."""
    page_of_tags = found["comparisons"]["chosen"]["tags-page-100"]["ours"]
    assert page_of_tags["mib_per_second"] / page_of_tags["per_second"] * MIB > 49 * len('"build-000000",')


def test_page_tells_the_result(found: dict[str, Any]) -> None:
    """Each case has its row in the table, and the targets that need no peer their verdict."""
    cases = found["comparisons"]["chosen"]
    table = tables.comparison("chosen", cases)
    assert all(f"| {name} |" in table for name in CASES)
    assert {verdict.case for verdict in verdicts(cases)} == {"manifest-get-tag", "start"}


def test_wrong_status_is_a_failure(server: Server) -> None:
    """A server that does not answer as it should is never measured as a fast one."""
    request = {"method": "GET", "path": "/v2/nobody/tags/list", "headers": "", "status": 200}
    job = {"address": server.host, "operation": "get", "clients": 2, "seconds": 0.1, "requests": [request]}
    with pytest.raises(Failed, match="status 404"):
        run(job)


def test_server_that_does_not_start_is_told_of(tmp_path: Path) -> None:
    """A server that fails is named as failed in each case, and the others are measured nevertheless."""
    broken = BenchServer("broken", lambda _folder, _port: Command(["false"]), "none")
    own = ours("ours", PROJECT)
    bench = Bench([broken, own], Effort(seconds=0.05, rounds=1), tmp_path, lambda _case, _results: None)
    results = bench.run([case for case in all_cases() if case.name in {"v2", "upload-streamed-78"}])
    for found in results.values():
        assert "did not start" in found["broken"]["failed"]
        assert found["ours"]["per_second"] > 0


@pytest.mark.parametrize("way", ["monolithic", "streamed", "chunked", "docker"])
@pytest.mark.parametrize("size", [16, 65_536, 3 * MIB + 1000])
def test_ways_of_uploading(server: Server, way: str, size: int) -> None:
    """Each way sends the bytes that it names, whatever their number: the registry takes them."""
    job = {"address": server.host, "operation": "upload", "way": way, "size": size, "repository": "a/b"}
    summary = run({**job, "clients": 2, "operations": 2, "seconds": 60, "salt": len(way)})
    assert (summary["operations"], summary["bytes"]) == (4, 4 * size)


def test_rounds_are_combined() -> None:
    """Rates are medians of the rounds; costs are over all of them."""
    rounds = [
        {
            "operations": operations,
            "seconds": 1.0,
            "bytes": operations * MIB,
            "latency_ms": {"p50": operations},
            "cpu_seconds": 0.5,
            "client_cpu_seconds": 0.1,
            "wall_seconds": 1.0,
        }
        for operations in (10, 90, 20)
    ]
    result = combined(rounds)
    assert (result["per_second"], result["latency_ms"]["p50"]) == (20, 20)
    assert result["cpu_us_per_operation"] == pytest.approx(1.5 / 120 * 1e6)
    assert result["cpu_seconds_per_gib"] == pytest.approx(1.5 / 120 * 1024)


def test_picture_is_well_formed() -> None:
    """A chart is XML with one line for each series."""
    lines = [Line("ours", [(1, 5), (64, 700)]), Line("a<b", [(1, 0.2), (64, 0.3)], dashed=True)]
    root = ET.fromstring(drawing([Panel("x & y", "clients", "ms", lines)]))  # noqa: S314 - made here
    assert len(root.findall(".//{http://www.w3.org/2000/svg}polyline")) == 2


def test_names_of_cases_differ() -> None:
    """A name means one case."""
    names = [case.name for case in all_cases()]
    assert len(names) == len(set(names))


def test_page_has_a_place_for_everything() -> None:
    """The page has each mark that the figures are written to once."""
    text = Path(PROJECT, "docs", "performance.md").read_text()
    assert [text.count(f"<!-- {mark} -->") for mark in ("measured", "targets", "figures")] == [1, 1, 1]
