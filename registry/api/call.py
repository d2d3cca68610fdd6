"""A request that has passed the door: who asks, for which repository, with which words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from registry.oci.errors import Unsupported

if TYPE_CHECKING:
    from registry.api.body import Body
    from registry.api.headers import Headers
    from registry.oci.access import Principal
    from registry.oci.names import RepositoryName
    from registry.operations.registry import Registry


class Query:
    """The query string; a name may come more than once, and unknown ones are ignored (containerd adds `ns`)."""

    def __init__(self, raw: bytes) -> None:
        self._pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True) if raw else []
        if any("\0" in value for _, value in self._pairs):
            raise Unsupported("the query string has a NUL character, which no name, tag or type can have")

    def get(self, name: str) -> str | None:
        """The first value, None where there is none."""
        return next((value for key, value in self._pairs if key == name), None)

    def all(self, name: str) -> list[str]:
        """Every value, in order."""
        return [value for key, value in self._pairs if key == name]


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler is given; `parameter` is the last, not yet parsed part of the path."""

    registry: Registry
    principal: Principal
    method: str
    headers: Headers
    query: Query
    body: Body
    name: RepositoryName | None
    parameter: str

    @property
    def repository(self) -> RepositoryName:
        """The repository in the path; only routes that have one ask."""
        assert self.name is not None  # noqa: S101 - the route table's own promise
        return self.name
