"""Runs cases on servers in turn (A B A B), and makes one figure of the rounds."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bench import load
from bench.cases import GIB, MIB, REPOSITORY, Case, Known
from bench.processes import processor_seconds
from bench.servers import Running, Server, running, scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

IMAGE = {
    "operation": "push-image",
    "kind": "present",
    "size": 4096,
    "layers": 10,
    "repository": "bench/filled",
}
Round = dict[str, Any]
Results = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Effort:
    """How long and how often."""

    seconds: float
    rounds: int


class Bench:
    """Cases on servers; `folder` is where they keep their data meanwhile, `say` is told of each result."""

    def __init__(
        self, servers: Sequence[Server], effort: Effort, folder: Path, say: Callable[[str, Any], None]
    ) -> None:
        self._servers = servers
        self._effort = effort
        self._folder = folder
        self._say = say

    def run(self, cases: Sequence[Case]) -> Results:
        """The results by case and server; those that read share one filled store of each server."""
        reading = [case for case in cases if case.requests]
        results = {}
        if reading:
            with ExitStack() as stack:
                filled = {server: self._filled(stack, server, reading) for server in self._servers}
                for case in reading:
                    results[case.name] = self._in_turn(
                        case, lambda server, case: _read(case, *filled[server])
                    )
        for case in cases:
            if not case.requests:
                results[case.name] = self._in_turn(case, self._write)
        return results

    def _in_turn(self, case: Case, once: Callable[[Server, Case], Round]) -> dict[str, Any]:
        rounds: dict[str, list[Round]] = {server.name: [] for server in self._servers}
        failures: dict[str, str] = {}
        for number in range(self._effort.rounds):
            for server in self._servers:
                if server.name in failures:
                    continue
                job = {
                    **case.job,
                    "clients": case.clients,
                    "seconds": self._effort.seconds,
                    "salt": number + 1,
                }
                try:
                    rounds[server.name].append(once(server, replace(case, job=job)))
                except load.LoadFailed as error:
                    failures[server.name] = str(error)
        result: dict[str, Any] = {
            name: combined(those) for name, those in rounds.items() if name not in failures
        }
        result |= {name: {"failed": why} for name, why in failures.items()}
        self._say(case.name, result)
        return result

    def _filled(self, stack: ExitStack, server: Server, cases: Sequence[Case]) -> tuple[Running, Known]:
        folder = stack.enter_context(scratch(self._folder, server.name))
        there = stack.enter_context(running(server, folder))
        known = Known()
        for size in sorted({case.blob for case in cases if case.blob}):
            upload = {"operation": "upload", "way": "monolithic", "size": size, "repository": REPOSITORY}
            known.blobs[size] = _once(there, upload)
        known.manifest = _once(there, IMAGE)
        return there, known

    def _write(self, server: Server, case: Case) -> Round:
        with scratch(self._folder, server.name) as folder, running(server, folder) as there:
            if case.prepare:
                _once(there, case.prepare | {"clients": case.clients})
            return _measured(there, case.job)


def _read(case: Case, there: Running, known: Known) -> Round:
    assert case.requests is not None
    job = {**case.job, "requests": case.requests(known)}
    _measured(there, {**job, "seconds": 0.1})  # to warm up
    return _measured(there, job)


def _once(there: Running, job: dict[str, Any]) -> str:
    """Let every client do it once; the digest of what the first one pushed."""
    last: str = _run(there, {"clients": 1, "operations": 1, **job})["last"]
    return last


def _run(there: Running, job: dict[str, Any]) -> dict[str, Any]:
    return load.run({"address": there.address, "authorization": there.server.authorization, **job})


def _measured(there: Running, job: dict[str, Any]) -> Round:
    before = processor_seconds(there.pids)
    started = time.monotonic()
    summary = _run(there, job)
    wall = time.monotonic() - started
    return summary | {"cpu_seconds": processor_seconds(there.pids) - before, "wall_seconds": wall}


def combined(rounds: Sequence[Round]) -> dict[str, Any]:
    """One result of several rounds: medians, and costs over all of them."""
    operations = sum(one["operations"] for one in rounds)
    gibibytes = sum(one["bytes"] for one in rounds) / GIB
    cpu_seconds = sum(one["cpu_seconds"] for one in rounds)
    return {
        "per_second": _median(one["operations"] / one["seconds"] for one in rounds),
        "mib_per_second": _median(one["bytes"] / one["seconds"] / MIB for one in rounds),
        "latency_ms": {
            share: _median(one["latency_ms"][share] for one in rounds) for share in rounds[0]["latency_ms"]
        },
        "cpu_us_per_operation": cpu_seconds / operations * 1e6,
        "cpu_seconds_per_gib": cpu_seconds / gibibytes if gibibytes else None,
        "client_busy": _median(one["client_cpu_seconds"] / one["wall_seconds"] for one in rounds),
        "operations": operations,
        "rounds_per_second": [one["operations"] / one["seconds"] for one in rounds],
    }


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)
