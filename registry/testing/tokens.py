"""A token endpoint for tests (docker's token authentication), in front of a registry that knows only passwords.

Its tokens are random words that only this object knows: no JWT, no key, and nothing that another service could verify.
What a client sees is the real thing: the challenge, the endpoint, tokens for the access that was asked for, and tokens
that are refused when they are over. Behind it, the registry is told the user's password.
"""

from __future__ import annotations

import base64
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from registry.testing.layers import answer_json, header, refuse
from registry.testing.targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

PATH: Final = "/token"
SERVICE: Final = "registry.testing"
_SECONDS: Final = 300
_EVERYTHING: Final = "pull,push,delete"


@dataclass(frozen=True)
class _Grant:
    """What a token is good for: `access` as (repository, action)."""

    authorization: str | None
    access: frozenset[tuple[str, str]]
    until: float


class Tokens:
    """Gives tokens and takes them; `required`: who comes with anything else is sent to get one."""

    def __init__(self, users: Mapping[str, str], *, required: bool) -> None:
        self._passwords = {_basic(name, password) for name, password in users.items()}
        self._required = required
        self._grants: dict[str, _Grant] = {}

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        if scope["path"] == PATH:
            await self._issue(scope, send)
        elif (token := _bearer(scope)) is not None:
            await self._use(token, app, scope, receive, send)
        elif self._required and scope["path"].startswith("/v2"):
            await self.refuse(scope, send)
        else:
            await app(scope, receive, send)

    def revoke(self, scope: Scope) -> None:
        """The token that came with a request is over."""
        self._grants.pop(_bearer(scope) or "", None)

    async def refuse(self, scope: Scope, send: Send, error: str | None = None) -> None:
        """401, with the way to a token in WWW-Authenticate (RFC 6750, 3)."""
        needed = _needed(scope)
        challenge = f'Bearer realm="{scope["scheme"]}://{header(scope, "host")}{PATH}",service="{SERVICE}"'
        challenge += f',scope="repository:{needed[0]}:{_actions(needed[1])}"' if needed else ""
        challenge += f',error="{error}"' if error else ""
        message = "a token of the token endpoint is needed"
        headers = {"www-authenticate": challenge, "connection": "close"}
        await refuse(send, 401, "UNAUTHORIZED", message, headers)

    async def _issue(self, scope: Scope, send: Send) -> None:
        authorization = header(scope, "authorization")
        if scope["method"] != "GET":
            await refuse(send, 405, "UNSUPPORTED", "tokens are had with GET", {"allow": "GET"})
        elif self._passwords and authorization not in self._passwords:
            challenge = {"www-authenticate": f'Basic realm="{SERVICE}"'}
            await refuse(send, 401, "UNAUTHORIZED", "user name or password is wrong", challenge)
        else:
            asked = parse_qs(scope["query_string"].decode("latin-1")).get("scope", [])
            token = secrets.token_urlsafe(24)
            known = authorization if self._passwords else None
            self._grants[token] = _Grant(known, _access(asked), time.monotonic() + _SECONDS)
            await answer_json(send, 200, {"token": token, "access_token": token, "expires_in": _SECONDS}, {})

    async def _use(self, token: str, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        grant, needed = self._grants.get(token), _needed(scope)
        if grant is None or grant.until < time.monotonic():
            await self.refuse(scope, send, "invalid_token")
        elif needed is not None and needed not in grant.access:
            await self.refuse(scope, send, "insufficient_scope")
        else:
            headers = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
            if grant.authorization is not None:
                headers.append((b"authorization", grant.authorization.encode("latin-1")))
            await app({**scope, "headers": headers}, receive, send)


def _basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def _bearer(scope: Scope) -> str | None:
    kind, _, token = (header(scope, "authorization") or "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def _needed(scope: Scope) -> tuple[str, str] | None:
    """The repository and the action that a token must be for; None outside of repositories."""
    repository = Target.of(scope["method"], scope["path"]).repository
    if repository is None:
        return None
    return repository, {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}.get(scope["method"], "push")


def _actions(action: str) -> str:
    """What a client is told to ask for: who pushes will also want to look."""
    return "pull" if action == "pull" else f"pull,{action}"


def _access(scopes: Iterable[str]) -> frozenset[tuple[str, str]]:
    """`repository:NAME:pull,push`, several of them in one parameter or in several."""
    access: set[tuple[str, str]] = set()
    for scope in " ".join(scopes).split():
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        if kind == "repository":
            access |= {(name, action) for action in actions.replace("*", _EVERYTHING).split(",")}
    return frozenset(access)
