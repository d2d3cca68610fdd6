"""Which servers are compared with which, and on which cases."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache, partial
from typing import TYPE_CHECKING

from bench import peers
from bench.cases import Case, all_cases
from bench.failures import Unavailable
from bench.ours import on_postgres, ours, two_workers, with_users
from bench.tools import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import ExitStack

    from bench.servers import Server

# What tells most, where everything would take too long.
_ESSENTIAL = (
    "v2",
    "manifest-get-tag",
    "manifest-get-digest",
    "blob-get-78",
    "blob-get-100m",
    "upload-streamed-1m",
    "upload-streamed-200m",
    "push-blob-1k-1c",
    "push-blob-1k-64c",
    "image-push-new-8c",
    "image-push-present-8c",
    "image-pull-8c",
)


@dataclass(frozen=True)
class Comparison:
    """Servers by name, ours first, on some of the cases."""

    title: str
    servers: tuple[str, ...]
    cases: tuple[str, ...] = field(default_factory=lambda: tuple(case.name for case in all_cases()))
    rounds_max: int = 1000


def comparisons(*, quick: bool) -> list[Comparison]:
    """All of them; the quick ones are of one core alone."""
    main = ("ours", "debian", "distribution", "olareg", "bare")
    if quick:
        return [Comparison("one core", main, tuple(case.name for case in all_cases() if case.quick))]
    return [
        Comparison("one core", main),
        Comparison("two cores", ("ours-2-cores", "debian-2-cores", "distribution-2-cores"), _ESSENTIAL, 2),
        Comparison("with users", ("ours-auth", "debian-auth", "distribution-auth"), _ESSENTIAL, 2),
        Comparison("Postgres", ("ours-postgres", "ours"), _ESSENTIAL, 2),
    ]


class Choice:
    """Servers by name; those that cannot be had are told apart."""

    def __init__(self, stack: ExitStack) -> None:
        known: dict[str, Callable[[], Server]] = {
            "ours": partial(ours, "ours", PROJECT),
            "ours-2-cores": partial(two_workers, PROJECT),
            "ours-auth": partial(with_users, PROJECT),
            "ours-postgres": partial(on_postgres, PROJECT, stack),
            "olareg": peers.olareg,
            "bare": peers.bare,
        }
        for name, peer in (("debian", peers.debian), ("distribution", peers.distribution)):
            made = cache(peer)
            known[name] = made
            known[f"{name}-2-cores"] = partial(_changed, made, peers.on_both_cores)
            known[f"{name}-auth"] = partial(_changed, made, peers.with_users)
        self.known: Mapping[str, Callable[[], Server]] = known
        self.unavailable: dict[str, str] = {}

    def servers(self, names: Iterable[str]) -> list[Server]:
        """Those that can be had here."""
        found = []
        for name in names:
            if name not in self.known:
                raise SystemExit(f"there is no server {name}, but {', '.join(self.known)}")
            try:
                found.append(self.known[name]())
            except Unavailable as reason:
                self.unavailable[name] = str(reason)
                print(f"not measured: {name}: {reason}: {reason.details}")
        return found


def selected(names: Iterable[str], wanted: Iterable[str]) -> list[Case]:
    """The cases of those names that match one of the patterns wanted."""
    names, wanted = set(names), list(wanted)
    return [
        case
        for case in all_cases()
        if case.name in names and any(fnmatchcase(case.name, pattern) for pattern in wanted)
    ]


def _changed(made: Callable[[], Server], change: Callable[[Server], Server]) -> Server:
    return change(made())
