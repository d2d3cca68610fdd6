"""The route table: each path, its methods, the specification's row, and what the caller must be allowed to do.

Names contain slashes, so a path is recognised by its end: whatever stands before `/manifests/<reference>` is the name.
Paths are tried in this order, so those that are asked for most stand first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from registry.api import base, blobs, lists, manifests, uploads
from registry.oci.access import Action

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from starlette.responses import Response

    from registry.api.call import Call


class Public(Enum):
    """A declaration that a route is for everybody, even where users are configured."""

    PUBLIC = "public"


Needs = Action | Public
PUBLIC: Final = Public.PUBLIC


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method of a route."""

    handler: Callable[[Call], Awaitable[Response]]
    needs: Needs
    row: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """Paths that match `pattern`, whose groups are the repository's name and a parameter."""

    pattern: re.Pattern[str]
    methods: Mapping[str, Endpoint]


class RouteUndeclared(Exception):
    """A route does not say what it needs; the registry does not start with it."""


def _route(pattern: str, **methods: Endpoint) -> Route:
    return Route(re.compile(pattern), methods)


_NAME = r"/v2/(?P<name>.+)"

ROUTES: Final[Sequence[Route]] = (
    _route(
        _NAME + r"/manifests/(?P<parameter>[^/]+)",
        GET=Endpoint(manifests.get, Action.PULL, "end-3"),
        HEAD=Endpoint(manifests.get, Action.PULL, "end-3"),
        PUT=Endpoint(manifests.put, Action.PUSH, "end-7a, end-7b"),
        DELETE=Endpoint(manifests.delete, Action.DELETE, "end-9"),
    ),
    _route(
        _NAME + r"/blobs/(?!uploads\Z)(?P<parameter>[^/]+)",
        GET=Endpoint(blobs.get, Action.PULL, "end-2"),
        HEAD=Endpoint(blobs.head, Action.PULL, "end-2"),
        DELETE=Endpoint(blobs.delete, Action.DELETE, "end-10"),
    ),
    _route(
        _NAME + r"/blobs/uploads/?",
        POST=Endpoint(uploads.post, Action.PUSH, "end-4a, end-4b, end-4c, end-11"),
    ),
    _route(
        _NAME + r"/blobs/uploads/(?P<parameter>[^/]+)",
        GET=Endpoint(uploads.get, Action.PUSH, "end-13"),
        HEAD=Endpoint(uploads.get, Action.PUSH, "end-13"),
        PATCH=Endpoint(uploads.patch, Action.PUSH, "end-5"),
        PUT=Endpoint(uploads.put, Action.PUSH, "end-6"),
        DELETE=Endpoint(uploads.delete, Action.PUSH, "end-14"),
    ),
    _route(
        _NAME + r"/tags/list",
        GET=Endpoint(lists.tags, Action.PULL, "end-8a, end-8b"),
        HEAD=Endpoint(lists.tags, Action.PULL, "end-8a, end-8b"),
    ),
    _route(
        _NAME + r"/referrers/(?P<parameter>[^/]+)",
        GET=Endpoint(lists.referrers, Action.PULL, "end-12a, end-12b"),
        HEAD=Endpoint(lists.referrers, Action.PULL, "end-12a, end-12b"),
    ),
    _route(
        r"/v2/?",
        GET=Endpoint(base.ping, Action.PULL, "end-1"),
        HEAD=Endpoint(base.ping, Action.PULL, "end-1"),
    ),
    _route(
        r"/v2/_catalog",
        GET=Endpoint(lists.catalog, Action.CATALOG),
        HEAD=Endpoint(lists.catalog, Action.CATALOG),
    ),
    _route("/", GET=Endpoint(base.front, PUBLIC), HEAD=Endpoint(base.front, PUBLIC)),
    _route("/healthz", GET=Endpoint(base.alive, PUBLIC), HEAD=Endpoint(base.alive, PUBLIC)),
    _route("/readyz", GET=Endpoint(base.ready, PUBLIC), HEAD=Endpoint(base.ready, PUBLIC)),
)


def require_declared(routes: Sequence[Route]) -> None:
    """RouteUndeclared unless every endpoint says what it needs: a forgotten declaration would be a hole."""
    for route in routes:
        for method, endpoint in route.methods.items():
            if not isinstance(endpoint.needs, Action | Public):
                raise RouteUndeclared(f"{method} {route.pattern.pattern} does not declare what it needs")
