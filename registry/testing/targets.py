"""What a request is about, and descriptions of requests to look for or to spoil."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Iterable

_PATH = re.compile(
    r"/v2/(?P<repository>.+)/(?P<kind>manifests|blobs/uploads|blobs|tags|referrers)/(?P<parameter>[^/]*)"
)


@dataclass(frozen=True)
class Target:
    """A request's method, its path, and what the path speaks of.

    `reference`: the tag or digest of a manifest. `blob`: the digest of a blob, also where an upload is to become it.
    """

    method: str
    path: str
    repository: str | None = None
    reference: str | None = None
    blob: str | None = None

    @classmethod
    def of(cls, method: str, path: str, query: str = "") -> Target:
        """What a request is about.

        >>> Target.of("GET", "/v2/team/app/manifests/1").reference
        '1'
        """
        match = _PATH.fullmatch(path)
        if match is None:
            return cls(method, path)
        kind, parameter = match["kind"], match["parameter"]
        blob = parameter if kind == "blobs" else _digest_in(query) if kind == "blobs/uploads" else None
        return cls(method, path, match["repository"], parameter if kind == "manifests" else None, blob)


def _digest_in(query: str) -> str | None:
    given = parse_qs(query)
    return next((given[name][0] for name in ("digest", "mount") if name in given), None)


@dataclass(frozen=True)
class Wanted:
    """A description of requests; None matches everything. `path` and `repository` may have `*`, `?` and `[...]`."""

    methods: frozenset[str] = frozenset()
    path: str | None = None
    repository: str | None = None
    reference: str | None = None
    blob: str | None = None

    @classmethod
    def of(
        cls,
        methods: Iterable[str],
        path: str | None,
        repository: str | None,
        reference: str | None,
        blob: str | None,
    ) -> Wanted:
        """The description with method names in any case."""
        return cls(frozenset(method.upper() for method in methods), path, repository, reference, blob)

    def matches(self, target: Target) -> bool:
        """Whether a request is one of those."""
        return (
            (not self.methods or target.method in self.methods)
            and _matches(self.path, target.path)
            and _matches(self.repository, target.repository)
            and self.reference in {None, target.reference}
            and self.blob in {None, target.blob}
        )

    def __str__(self) -> str:
        named = {name: getattr(self, name) for name in ("path", "repository", "reference", "blob")}
        words = [f"{name}={value}" for name, value in named.items() if value is not None]
        return " ".join([",".join(sorted(self.methods)) or "any request", *words])


def _matches(pattern: str | None, value: str | None) -> bool:
    return pattern is None or (value is not None and fnmatchcase(value, pattern))
