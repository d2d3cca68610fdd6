"""Which servers are compared with which, and on which cases."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache, partial
from typing import TYPE_CHECKING, Final

from bench import peers
from bench.cases import Case, all_cases
from bench.failures import Unavailable
from bench.on_objects import on_objects, service
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


_GROWN = tuple(case.name for case in all_cases() if case.kind == "grown")
_BESIDE_PEERS = tuple(case.name for case in all_cases() if case.kind != "grown")
_REQUESTS = (
    "manifest-get-tag",
    "blob-head",
    "push-blob-1k-64c",
    "image-push-present-8c",
    "image-push-new-8c",
)
_LARGE_BLOBS = tuple(
    f"{stem}-{size}"
    for stem in ("upload-monolithic", "upload-streamed", "blob-get")
    for size in ("1m", "100m", "1g")
)


@dataclass(frozen=True)
class Comparison:
    """Servers by name, ours first, on some of the cases."""

    title: str
    servers: tuple[str, ...]
    cases: tuple[str, ...]
    rounds_max: int = 1000


def peers_suite() -> list[Comparison]:
    """Ours beside other registries, and beside itself in other settings: docs/performance.md."""
    main = ("ours", "debian", "distribution", "olareg", "bare")
    return [
        Comparison("one core", main, _BESIDE_PEERS),
        Comparison("two cores", ("ours-2-cores", "debian-2-cores", "distribution-2-cores"), _ESSENTIAL, 2),
        Comparison("with users", ("ours-auth", "debian-auth", "distribution-auth"), _ESSENTIAL, 2),
        Comparison("Postgres", ("ours-postgres", "ours"), _ESSENTIAL, 2),
    ]


def scale_suite() -> list[Comparison]:
    """What changes on the way from one process with files to many with Postgres and a bucket: docs/scaling.md."""
    return [
        Comparison("blobs", ("ours", "ours-s3", "ours-s3-redirect"), _LARGE_BLOBS),
        Comparison("requests", ("ours-postgres", "ours"), _REQUESTS),
        Comparison("lists", ("ours", "ours-postgres"), _GROWN),
    ]


SUITES: Final[Mapping[str, Callable[[], list[Comparison]]]] = {"peers": peers_suite, "scale": scale_suite}


def comparisons(suite: str, *, quick: bool) -> list[Comparison]:
    """Those of a suite; the quick ones of peers are of one core alone."""
    planned = SUITES[suite]()
    if not quick:
        return planned
    brief = {case.name for case in all_cases() if case.quick}
    planned = planned[:1] if suite == "peers" else planned
    return [replace(one, cases=tuple(name for name in one.cases if name in brief)) for one in planned]


class Choice:
    """Servers by name; those that cannot be had are told apart."""

    def __init__(self, stack: ExitStack) -> None:
        storage = cache(partial(service, stack))
        known: dict[str, Callable[[], Server]] = {
            "ours": partial(ours, "ours", PROJECT),
            "ours-2-cores": partial(two_workers, PROJECT),
            "ours-auth": partial(with_users, PROJECT),
            "ours-postgres": partial(on_postgres, PROJECT, stack),
            "ours-s3": partial(on_objects, "ours-s3", PROJECT, storage, "never"),
            "ours-s3-redirect": partial(on_objects, "ours-s3-redirect", PROJECT, storage, "always"),
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
