"""The command: which servers, which cases, how thorough, and where the result goes."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from bench import report
from bench.cases import Case, all_cases
from bench.measuring import Bench, Effort
from bench.servers import Server, ours
from bench.tools import PROJECT

QUICK = Effort(seconds=1, rounds=2)
FULL = Effort(seconds=2, rounds=3)


def main() -> None:
    """Measure, print, store."""
    options = _options()
    if options.list:
        print("\n".join(case.name for case in all_cases()))
        return
    effort = QUICK if options.quick else FULL
    effort = Effort(options.seconds or effort.seconds, options.rounds or effort.rounds)
    print(report.header())
    with tempfile.TemporaryDirectory(prefix="registry-bench-", dir=options.scratch) as folder:
        results = Bench(_servers(options), effort, Path(folder), _say).run(_cases(options))
    if options.output:
        options.output.write_text(json.dumps({"cases": results}, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="a subset, two short rounds")
    add("--only", metavar="CASE,...", help="these cases, or those that begin so with a * at the end")
    add("--ours", metavar="PATH", type=Path, action="append", default=[], help="another checkout of ours")
    add("--seconds", type=float, help="of one round")
    add("--rounds", type=int)
    add("--scratch", type=Path, metavar="FOLDER", help="where the servers keep their data")
    add("--output", type=Path, metavar="FILE", help="the results as JSON")
    add("--list", action="store_true", help="print the names of the cases")
    return parser.parse_args()


def _servers(options: argparse.Namespace) -> list[Server]:
    others = [ours(f"ours@{path.resolve().name}", path.resolve()) for path in options.ours]
    return [ours("ours", PROJECT), *others]


def _cases(options: argparse.Namespace) -> list[Case]:
    wanted = options.only.split(",") if options.only else ["*"]
    return [case for case in all_cases() if any(_is(case.name, name) for name in wanted)]


def _is(name: str, wanted: str) -> bool:
    return name == wanted or (wanted.endswith("*") and name.startswith(wanted[:-1]))


def _say(case: str, results: dict[str, Any]) -> None:
    print("\n".join(report.lines(case, results)), flush=True)


if __name__ == "__main__":
    main()
