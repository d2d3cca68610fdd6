"""Measure this registry beside others: same data, same clients, the server on one core and the clients on another."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import report
from bench.cases import all_cases
from bench.machine import machine
from bench.measuring import Bench, Effort
from bench.ours import ours
from bench.plan import SUITES, Choice, Comparison, comparisons, selected

if TYPE_CHECKING:
    from bench.servers import Server

QUICK = Effort(seconds=0.5, rounds=2)
FULL = Effort(seconds=0.8, rounds=3)
_EXAMPLES = """\
python -m bench --quick                                   a subset, about three minutes
python -m bench --output bench/results/full.json          everything, about twenty minutes
python -m bench --suite scale --output bench/results/scale.json    files beside object storage, lists that grow
python -m bench --only 'upload-*,v2' --servers ours,debian
python -m bench --quick --servers ours --ours ../before   this checkout against another one of ours
"""


def main() -> None:
    """Measure, print, store."""
    options = _options()
    if options.list:
        print("\n".join(case.name for case in all_cases()))
        return
    started = time.monotonic()
    with ExitStack() as stack:
        found = _measure(options, stack)
    print(f"took {time.monotonic() - started:.0f} s")
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(found, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--suite", choices=SUITES, default="peers", help="beside other registries, or how ours scales")
    add("--quick", action="store_true", help="a subset of the cases, shorter rounds")
    add("--only", metavar="CASE,...", default="*", help="these cases, or patterns such as upload-*")
    add("--servers", metavar="NAME,...", help="these servers instead of those that are planned, ours first")
    add("--ours", metavar="PATH", type=Path, action="append", default=[], help="another checkout of ours")
    add("--seconds", type=float, help="that a round takes")
    add("--rounds", type=int, help="of which the median counts")
    add("--scratch", type=Path, metavar="FOLDER", help="where the servers keep their data, on a real disk")
    add("--output", type=Path, metavar="FILE", help="store the results as JSON")
    add("--list", action="store_true", help="print the names of the cases")
    return parser.parse_args()


def _measure(options: argparse.Namespace, stack: ExitStack) -> dict[str, Any]:
    default = QUICK if options.quick else FULL
    effort = Effort(options.seconds or default.seconds, options.rounds or default.rounds)
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory("", "registry-bench-", options.scratch)))
    choice = Choice(stack)
    found: dict[str, Any] = {"suite": options.suite, "machine": machine(), "effort": vars(effort)}
    found |= {"versions": {}, "comparisons": {}}
    for comparison in _plan(options):
        servers = choice.servers(comparison.servers) + _others(options)
        found["versions"] = {server.name: server.version for server in servers} | found["versions"]
        cases = selected(comparison.cases, options.only.split(","))
        if not cases:
            continue
        print(f"\n{comparison.title}\n{report.header()}")
        limited = replace(effort, rounds=min(effort.rounds, comparison.rounds_max))
        found["comparisons"][comparison.title] = Bench(servers, limited, scratch, _say).run(cases)
    if not found["comparisons"]:
        raise SystemExit(f"no case is called {options.only}: --list prints their names")
    found["unavailable"] = choice.unavailable
    return found


def _plan(options: argparse.Namespace) -> list[Comparison]:
    planned = comparisons(options.suite, quick=options.quick)
    if options.servers:
        cases = dict.fromkeys(name for comparison in planned for name in comparison.cases)
        return [Comparison("chosen", tuple(options.servers.split(",")), tuple(cases))]
    return planned


def _others(options: argparse.Namespace) -> list[Server]:
    return [ours(f"ours@{path.resolve().name}", path.resolve()) for path in options.ours]


def _say(case: str, results: dict[str, Any]) -> None:
    print("\n".join(report.lines(case, results)), flush=True)


if __name__ == "__main__":
    main()
