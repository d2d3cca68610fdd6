"""Token authentication as clients know it: challenge, endpoint, tokens that end."""

from __future__ import annotations

import re

import httpx
import pytest

from registry.oci.digest import Digest
from registry.testing import OciRegistry
from tests.testing.clients import ask, client

CONTENT = b"a layer"
DIGEST = Digest.of(CONTENT)
ALICE = ("alice", "secret")
with_tokens = pytest.mark.oci_registry(auth={"alice": "secret"}, tokens=True)


def challenge(answer: httpx.Response) -> dict[str, str]:
    """What a 401 says."""
    assert answer.status_code == 401, answer.text
    kind, _, rest = answer.headers["www-authenticate"].partition(" ")
    assert kind == "Bearer"
    return dict(re.findall(r'(\w+)="([^"]*)"', rest))


def bearer(told: dict[str, str], auth: tuple[str, str] | None, scope: str | None = None) -> dict[str, str]:
    """Get a token as the challenge says; the header that carries it."""
    params = {"service": told["service"], "scope": scope or told.get("scope", "")}
    answer = httpx.get(told["realm"], params=params, auth=auth, trust_env=False)
    assert answer.status_code == 200, answer.text
    return {"authorization": f"Bearer {answer.json()['token']}"}


@with_tokens
def test_the_way_to_a_token(oci_registry: OciRegistry) -> None:
    """A client without a token is told where to get one for what it wants, gets it for its password, and comes in."""
    oci_registry.push_image("team/app:1")
    path = "/v2/team/app/manifests/1"
    told = challenge(ask(oci_registry, "GET", path))
    assert told == {
        "realm": f"{oci_registry.url}/token",
        "service": "registry.testing",
        "scope": "repository:team/app:pull",
    }
    assert ask(oci_registry, "GET", path, headers=bearer(told, ALICE)).status_code == 200
    assert oci_registry.requests.to(path="/token")[0].query.startswith("service=registry.testing")


@with_tokens
def test_wrong_password(oci_registry: OciRegistry) -> None:
    """There is no token for a wrong password, nor for none; a password instead of a token is no token."""
    assert ask(oci_registry, "GET", "/token", auth=("alice", "wrong")).status_code == 401
    assert ask(oci_registry, "GET", "/token").status_code == 401
    assert challenge(ask(oci_registry, "GET", "/v2/", auth=ALICE))["realm"].endswith("/token")


@with_tokens
def test_scope(oci_registry: OciRegistry) -> None:
    """A token is good for the repository and the actions that it was asked for."""
    told = challenge(ask(oci_registry, "POST", "/v2/app/blobs/uploads/"))
    assert told["scope"] == "repository:app:pull,push"
    for_pull = bearer(told, ALICE, "repository:app:pull")
    refused = ask(oci_registry, "POST", "/v2/app/blobs/uploads/", headers=for_pull)
    assert challenge(refused)["error"] == "insufficient_scope"
    other = bearer(told, ALICE, "repository:other:pull,push")
    assert (
        challenge(ask(oci_registry, "GET", "/v2/app/tags/list", headers=other))["error"]
        == "insufficient_scope"
    )
    both = bearer(told, ALICE, "repository:other:pull repository:app:*")
    assert ask(oci_registry, "POST", "/v2/app/blobs/uploads/", headers=both).status_code == 202


@with_tokens
def test_an_invented_token(oci_registry: OciRegistry) -> None:
    """A token that nobody gave is invalid."""
    answer = ask(oci_registry, "GET", "/v2/", headers={"authorization": "Bearer made-up"})
    assert challenge(answer)["error"] == "invalid_token"


@pytest.mark.parametrize(
    "options", [{"auth": {"alice": "secret"}, "tokens": True}, {}], ids=["users", "anybody"]
)
def test_expired_in_the_middle_of_a_push(oci_registry_factory: object, options: dict[str, object]) -> None:
    """The token ends between two requests of a push; with a new one the push goes on where it was."""
    oci: OciRegistry = oci_registry_factory(**options)  # type: ignore[operator]
    auth = ALICE if options else None
    oci.faults.on("PATCH").expired_token().times(1)
    with client(oci) as http:
        first = challenge(http.post("/v2/app/blobs/uploads/")) if options else {}
        headers = bearer(first, auth) if options else {}
        location = http.post("/v2/app/blobs/uploads/", headers=headers).headers["location"]
        told = challenge(http.patch(location, content=CONTENT, headers=headers))
        assert (told["error"], told["scope"]) == ("invalid_token", "repository:app:pull,push")
        if options:
            assert (
                challenge(http.patch(location, content=CONTENT, headers=headers))["error"] == "invalid_token"
            )
        renewed = bearer(told, auth)
        assert http.patch(location, content=CONTENT, headers=renewed).status_code == 202
        assert http.put(location, params={"digest": DIGEST}, headers=renewed).status_code == 201
    assert oci.blob(DIGEST) == CONTENT


@with_tokens
def test_post_to_the_endpoint(oci_registry: OciRegistry) -> None:
    """Clients that try OAuth 2 first are told to use GET."""
    assert ask(oci_registry, "POST", "/token", content="grant_type=password").status_code == 405


@pytest.mark.oci_registry(auth={"alice": "secret"}, tokens=True, tls=True)
def test_under_tls(oci_registry: OciRegistry) -> None:
    """The way to the endpoint is HTTPS where the registry is."""
    assert challenge(ask(oci_registry, "GET", "/v2/"))["realm"] == f"{oci_registry.url}/token"
