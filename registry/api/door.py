"""The door: every request passes here, is given an id, is asked who it is and whether it may, and is logged.

From a request to an answer: identify the principal, recognise the route, parse the name, ask whether the principal
may, let the handler answer. Whatever is raised on the way becomes the specification's error, or a bare 500.
"""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from registry import logs
from registry.api.body import Body, ClientGone
from registry.api.call import Call, Query
from registry.api.client import client_address
from registry.api.errors import error_response, fault_response, headers_of, status_of
from registry.api.exchange import Exchange
from registry.api.headers import Headers
from registry.api.routes import ROUTES, Endpoint, Public, Route, require_declared
from registry.api.uploads import progress_headers
from registry.oci.access import Anonymous
from registry.oci.errors import (
    MethodUnsupported,
    RegistryError,
    RouteUnknown,
    Unauthorized,
    UploadOutOfOrder,
)
from registry.oci.names import RepositoryName
from registry.operations.access import admit, authorize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from ipaddress import IPv4Network, IPv6Network

    from starlette.responses import Response
    from starlette.types import Message, Receive, Scope, Send

    from registry.auth.authenticator import Authenticator
    from registry.oci.access import Principal
    from registry.operations.registry import Registry

_REQUEST_ID = re.compile(r"(?:(?![\"'<>\\])[!-~]){1,128}")
"""Visible ASCII, without what could end a string or begin a tag where somebody shows it."""
_OURS: Final = 500
"""The first status that tells of a cause on this side."""
_SPECIFICATION: Final = "https://github.com/opencontainers/distribution-spec"

log = logs.logger(__name__)


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """`log_access`: is told the facts of each request, if given.

    `trusted_proxies`: whose word about the client is believed.
    """

    body_idle_seconds_max: float
    log_access: Callable[..., None] | None
    trusted_proxies: Sequence[IPv4Network | IPv6Network] = ()


class Door:
    """The ASGI application for HTTP."""

    def __init__(
        self,
        registry: Registry,
        authenticator: Authenticator,
        settings: DoorSettings,
        routes: Sequence[Route] = ROUTES,
    ) -> None:
        """Refuse to exist with a route that does not declare what it needs (RouteUndeclared)."""
        require_declared(routes)
        self._registry = registry
        self._authenticator = authenticator
        self._settings = settings
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = Headers(scope["headers"])
        exchange = Exchange(_request_id(headers), scope["method"], send)
        body = Body(receive, self._settings.body_idle_seconds_max)
        try:
            await self._answer(scope, headers, body, exchange)
        except ClientGone:
            exchange.gone = True
        except asyncio.CancelledError:
            log.warning("cut off: the server stops and its time is up", id=exchange.request_id)
            raise
        finally:
            if self._settings.log_access is not None:
                client = client_address(scope, headers, self._settings.trusted_proxies)
                self._settings.log_access(**exchange.facts(scope, body), client=client)

    async def _answer(self, scope: Scope, headers: Headers, body: Body, exchange: Exchange) -> None:
        try:
            response = await self._handle(scope, headers, body)
            await response(scope, _nothing_to_receive, exchange.send)
        except ClientGone:
            raise
        except RegistryError as error:
            if status_of(error) >= _OURS:
                log.warning(
                    "request not served", id=exchange.request_id, error=error.message, cause=error.cause
                )
            if exchange.status:
                raise  # too late to say so: the server closes the connection
            response = error_response(error, self._headers_of(error, scope))
            await self._refuse(response, scope, headers, body, exchange)
        except Exception:
            log.exception(
                "request failed", id=exchange.request_id, method=scope["method"], path=scope["path"]
            )
            if exchange.status:
                raise
            await self._refuse(fault_response(exchange.request_id), scope, headers, body, exchange)

    async def _handle(self, scope: Scope, headers: Headers, body: Body) -> Response:
        principal = await self._identify(scope["path"], headers)
        endpoint, name, parameter = self._find(scope["method"], scope["path"])
        repository = None if name is None else RepositoryName.parse(name)
        if not isinstance(endpoint.needs, Public):
            authorize(self._registry, principal, endpoint.needs, repository)
        query = Query(scope["query_string"])
        call = Call(self._registry, principal, scope["method"], headers, query, body, repository, parameter)
        return await endpoint.handler(call)

    async def _identify(self, path: str, headers: Headers) -> Principal:
        """Who asks. Below /v2/ that must be somebody known before anything is said, even that a path does not exist."""
        if path != "/v2" and not path.startswith("/v2/"):
            return Anonymous()  # nobody is asked there: old credentials fail no health check
        principal = await self._authenticator.identify(headers.get("authorization"))
        admit(self._registry, principal)
        return principal

    def _find(self, method: str, path: str) -> tuple[Endpoint, str | None, str]:
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            if match is None:
                continue
            endpoint = route.methods.get(method)
            if endpoint is None:
                raise MethodUnsupported(method, sorted(route.methods))
            groups = match.groupdict()
            return endpoint, groups.get("name"), groups.get("parameter", "")
        raise RouteUnknown(f"nothing is at this path; the API is described at {_SPECIFICATION}")

    async def _refuse(
        self, response: Response, scope: Scope, headers: Headers, body: Body, exchange: Exchange
    ) -> None:
        """Answer although the client may still be sending; the connection cannot be used for more after that."""
        has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        if body.finished or not has_body:
            await response(scope, _nothing_to_receive, exchange.send)
            return
        response.headers["connection"] = "close"
        exchange.hold_back_end = True
        await response(scope, _nothing_to_receive, exchange.send)
        if headers.get("expect", "").lower() != "100-continue" or body.received:
            await body.drain()
        exchange.hold_back_end = False
        await exchange.send({"type": "http.response.body", "body": b"", "more_body": False})

    def _headers_of(self, error: RegistryError, scope: Scope) -> Mapping[str, str]:
        """What the specification, or HTTP, wants beside the error."""
        if isinstance(error, Unauthorized):
            return {"www-authenticate": self._authenticator.challenge}
        if isinstance(error, UploadOutOfOrder):
            _, name, upload = self._find(scope["method"], scope["path"])
            return progress_headers(name or "", upload, error.size)
        return headers_of(error)


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    if given and _REQUEST_ID.fullmatch(given):
        return given
    return f"{random.getrandbits(64):016x}"


async def _nothing_to_receive() -> Message:
    return {"type": "http.disconnect"}
