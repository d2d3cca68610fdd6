"""Runs cases on servers in turn (A B A B), each in the way that its kind asks for."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from bench import rounds
from bench.cases import Case, Known
from bench.combining import combined, with_ratios
from bench.failures import Failed
from bench.servers import Running, Server, running, scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bench.combining import Result, Round

    Once = Callable[[Server, Case, dict[str, Any]], Round]
    Results = dict[str, dict[str, Result]]
    LayOut = Callable[[Path], None]


T = TypeVar("T")


@dataclass(frozen=True)
class Effort:
    """How long a round takes, and how many there are."""

    seconds: float
    rounds: int


class Bench:
    """Cases on servers; `folder` is where they keep their data meanwhile, `say` is told of each result."""

    def __init__(
        self,
        servers: Sequence[Server],
        effort: Effort,
        folder: Path,
        say: Callable[[str, dict[str, Result]], None],
    ) -> None:
        self._servers = servers
        self._effort = effort
        self._folder = folder
        self._say = say

    def run(self, cases: Sequence[Case]) -> Results:
        """The results by case and server."""
        ways = {
            "read": self._on_filled_stores,
            "write": self._on_empty_stores,
            "memory": self._on_empty_stores,
            "start": self._on_empty_stores,
            "list": self._on_full_stores,
            "start-full": self._on_full_stores,
            "grown": self._on_grown_stores,
        }
        results: Results = {}
        for way in dict.fromkeys(ways.values()):
            those = [case for case in cases if ways[case.kind] == way]
            results |= way(those) if those else {}
        return results

    def _on_filled_stores(self, cases: Sequence[Case]) -> Results:
        """All cases on one store of each server."""
        with ExitStack() as stack:
            there = _prepared(self._servers, lambda server: self._filled(stack, server, cases))

            def once(server: Server, case: Case, job: dict[str, Any]) -> Round:
                return rounds.reading(case, *there(server), job)

            return self._each_in_turn(cases, self._servers, once)

    def _filled(self, stack: ExitStack, server: Server, cases: Sequence[Case]) -> tuple[Running, Known]:
        folder = stack.enter_context(scratch(self._folder, server.name))
        there = stack.enter_context(running(server, folder))
        return there, Known() if server.cases else rounds.filled(there, cases)

    def _on_empty_stores(self, cases: Sequence[Case]) -> Results:
        """Each round on a new one."""

        def once(server: Server, case: Case, job: dict[str, Any]) -> Round:
            with scratch(self._folder, server.name) as folder, running(server, folder) as there:
                if case.kind == "start":
                    return rounds.settled(there)
                if case.kind == "memory":
                    return rounds.swollen(case, there, job)
                return rounds.measured(there, job)

        return self._each_in_turn(cases, self._servers, once)

    def _on_full_stores(self, cases: Sequence[Case]) -> Results:
        """All cases on one store of each server that can be filled."""
        return self._on_laid_out(cases, {server: server.fill for server in self._servers if server.fill})

    def _on_grown_stores(self, cases: Sequence[Case]) -> Results:
        """The same for each number of entries, one after the other."""
        results: Results = {}
        for entries in sorted({case.entries for case in cases}):
            those = [case for case in cases if case.entries == entries]
            lay_out = {server: partial(server.grow, entries) for server in self._servers if server.grow}
            results |= self._on_laid_out(those, lay_out)
        return results

    def _on_laid_out(self, cases: Sequence[Case], lay_out: Mapping[Server, LayOut]) -> Results:
        """On one store of each server, into which its rows are laid before the start."""
        servers = list(lay_out)
        with ExitStack() as stack:
            there = _prepared(servers, lambda server: self._laid_out(stack, server, lay_out[server]))

            def once(server: Server, case: Case, job: dict[str, Any]) -> Round:
                if case.kind != "start-full":
                    return rounds.reading(case, there(server), Known(), job)
                with running(server, there(server).folder) as another:
                    return rounds.settled(another)

            return self._each_in_turn(cases, servers, once)

    def _laid_out(self, stack: ExitStack, server: Server, lay_out: LayOut) -> Running:
        folder = stack.enter_context(scratch(self._folder, server.name))
        lay_out(folder)
        return stack.enter_context(running(server, folder))

    def _each_in_turn(self, cases: Sequence[Case], servers: Sequence[Server], once: Once) -> Results:
        results = {}
        for case in cases:
            able = [server for server in servers if not server.cases or case.name in server.cases]
            results[case.name] = self._in_turn(case, able, once)
            self._say(case.name, results[case.name])
        return results

    def _in_turn(self, case: Case, servers: Sequence[Server], once: Once) -> dict[str, Result]:
        """A server that fails a case is not asked again."""
        found: dict[str, list[Round]] = {server.name: [] for server in servers}
        failures: dict[str, Result] = {}
        for number in range(1 if case.once else self._effort.rounds):
            job = {**case.job, "clients": case.clients, "seconds": self._effort.seconds, "salt": number + 1}
            for server in (server for server in servers if server.name not in failures):
                try:
                    found[server.name].append(once(server, case, job))
                except Failed as error:
                    failures[server.name] = {"failed": str(error)}
        return with_ratios({name: failures.get(name) or combined(those) for name, those in found.items()})


def _prepared(servers: Sequence[Server], prepare: Callable[[Server], T]) -> Callable[[Server], T]:
    """Prepares all servers; returns how to look up what came of one, which raises Failed where nothing did."""
    found: dict[Server, T] = {}
    failures: dict[Server, Failed] = {}
    for server in servers:
        try:
            found[server] = prepare(server)
        except Failed as failure:
            failures[server] = failure
    os.sync()  # or the disk would be busy with it while the first cases are measured

    def look_up(server: Server) -> T:
        if server in failures:
            raise failures[server]
        return found[server]

    return look_up
