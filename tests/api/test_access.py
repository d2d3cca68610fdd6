"""Who may do what through the door: every route of the table, asked by everybody (6.2, 4.6)."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from registry import logs
from registry.api.door import Door, DoorSettings
from registry.api.routes import ROUTES, Endpoint, Public, Route, RouteUndeclared
from registry.app import build_authenticator, build_registry
from registry.config import load
from registry.oci.access import Action
from tests.api.access import PASSWORDS, users_file
from tests.support.content import NOWHERE, blob, image
from tests.support.http import IN_MEMORY, Registry, Repository, refusal, running

pytestmark = pytest.mark.anyio

BASE = blob("base")
APP = image("app")
_numbers = itertools.count(1)

ENDPOINTS = [(route, method, endpoint) for route in ROUTES for method, endpoint in route.methods.items()]
ENDPOINT_NAMES = [f"{method} {route.pattern.pattern}" for route, method, _ in ENDPOINTS]
CREDENTIALS: dict[str, tuple[str, str] | None] = {
    "anonymous": None,
    "wrong-password": ("writer", "wrong"),
    "unknown-user": ("nobody", "w-secret"),
    "empty-password": ("writer", ""),
    "reader": ("reader", PASSWORDS["reader"]),
    "writer": ("writer", PASSWORDS["writer"]),
}
MAY = {
    "reader": {Action.PULL, Action.CATALOG},
    "writer": {Action.PULL, Action.CATALOG, Action.PUSH, Action.DELETE},
}
READER, WRITER, OTHER = ((name, PASSWORDS[name]) for name in ("reader", "writer", "other"))


@pytest.fixture(scope="module")
async def guarded(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Registry]:
    """Give a registry with users, one of whom may only read."""
    users = users_file(tmp_path_factory.mktemp("users"))
    async with running(
        {**IN_MEMORY, "auth.htpasswd.file": users, "auth.htpasswd.readers": ["reader"]}
    ) as registry:
        yield registry


@pytest.fixture
async def repo(guarded: Registry) -> Repository:
    """Give a repository of the writer's with an image."""
    repo = guarded.repository(f"team/app-{next(_numbers)}")
    await push(repo)
    return repo


async def push(repo: Repository) -> None:
    """Push an image as the writer."""
    for content in APP.blobs:
        await repo.upload(content, auth=WRITER)
    headers = {"content-type": APP.media_type}
    answer = await repo.put("manifests/v1", content=APP.content, headers=headers, auth=WRITER)
    assert answer.status_code == 201


def path_of(route: Route, repo: Repository, upload: str) -> str:
    """A path that the route takes and where something is."""
    examples = [
        f"/v2/{repo.name}/manifests/v1",
        f"/v2/{repo.name}/blobs/uploads/",
        f"/v2/{repo.name}/blobs/uploads/{upload}",
        f"/v2/{repo.name}/blobs/{BASE.digest}",
        f"/v2/{repo.name}/tags/list",
        f"/v2/{repo.name}/referrers/{NOWHERE}",
        "/v2/",
        "/v2/_catalog",
        "/",
        "/healthz",
        "/readyz",
    ]
    return next(path for path in examples if next(r for r in ROUTES if r.pattern.fullmatch(path)) is route)


@pytest.mark.parametrize("who", CREDENTIALS)
@pytest.mark.parametrize(("route", "method", "endpoint"), ENDPOINTS, ids=ENDPOINT_NAMES)
async def test_every_route_for_everybody(
    repo: Repository, route: Route, method: str, endpoint: Endpoint, who: str
) -> None:
    """Each route lets in whom its declaration lets in: others are 401 with a challenge, or 403 where they are known (6.2)."""
    upload = (await repo.start(auth=WRITER)).rpartition("/")[2]
    path = path_of(route, repo, upload)
    answer = await repo.ask(method, path, auth=CREDENTIALS[who])
    if isinstance(endpoint.needs, Public):
        assert answer.status_code == 200
    elif who not in MAY:
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Basic realm="Registry"'
    elif endpoint.needs in MAY[who]:
        assert answer.status_code not in {401, 403}
    else:
        assert answer.status_code == 403
        assert "www-authenticate" not in answer.headers
    if method != "HEAD" and answer.status_code in {401, 403}:
        refusal(answer, answer.status_code, "UNAUTHORIZED" if answer.status_code == 401 else "DENIED")


@pytest.mark.parametrize("auth", [None, ("writer", "wrong")])
@pytest.mark.parametrize(
    ("method", "path", "known"),
    [
        ("GET", "/v2/nowhere", 404),
        ("GET", "/v2", 200),
        ("GET", "/v2/BAD_NAME/tags/list", 400),
        ("GET", "/v2/a/manifests/-", 400),
        ("PUT", "/v2/_catalog", 405),
        ("PURGE", "/v2/a/tags/list", 405),
        ("GET", "/v2/_catalog?n=x", 400),
    ],
)
async def test_unknown_paths_for_everybody(
    guarded: Registry, method: str, path: str, known: int, auth: tuple[str, str] | None
) -> None:
    """Below /v2/, who gave no good credentials learns nothing but the challenge, whatever the path; others all of it."""
    answer = await guarded.ask(method, path, auth=auth)
    assert answer.headers["www-authenticate"] == 'Basic realm="Registry"'
    refusal(answer, 401, "UNAUTHORIZED")
    assert (await guarded.ask(method, path, auth=WRITER)).status_code == known


async def test_outside_of_the_api(guarded: Registry) -> None:
    """Paths outside of /v2/ ask nobody, whether they exist or not."""
    for path, status in (("/healthz", 200), ("/v2x", 404), ("/v1/", 404)):
        assert (await guarded.get(path, auth=("writer", "wrong"))).status_code == status


async def test_refused_requests_do_nothing(repo: Repository) -> None:
    """What anonymous and reader were refused has left no trace."""
    for auth in (None, READER):
        assert (await repo.delete("manifests/v1", auth=auth)).status_code in {401, 403}
        assert (await repo.delete(f"blobs/{BASE.digest}", auth=auth)).status_code in {401, 403}
        refused = await repo.post(f"{repo.uploads}?digest={blob('new').digest}", content=b"new", auth=auth)
        assert refused.status_code in {401, 403}
    assert (await repo.get("manifests/v1", auth=WRITER)).content == APP.content
    assert (await repo.head(f"blobs/{blob('new').digest}", auth=WRITER)).status_code == 404


async def test_route_without_declaration_does_not_start() -> None:
    """A route that does not say what it needs stops the start: a forgotten declaration would be a hole."""
    config = load(None, IN_MEMORY)
    forgotten = Endpoint(ROUTES[0].methods["GET"].handler, None)  # type: ignore[arg-type]
    routes = [*ROUTES, Route(ROUTES[0].pattern, {"GET": forgotten})]
    registry = build_registry(config)
    try:
        with pytest.raises(RouteUndeclared, match="GET .*manifests"):
            Door(registry, build_authenticator(config), DoorSettings(60, logs.access_log()), routes)
    finally:
        registry.database.close()


def test_only_these_routes_are_public() -> None:
    """Nothing below `/v2/` is open to everybody, and nothing outside needs credentials."""
    for route, _, endpoint in ENDPOINTS:
        assert isinstance(endpoint.needs, Public) == (not route.pattern.pattern.startswith("/v2"))


def test_methods_need_what_they_do() -> None:
    """Reading needs pull, uploading (also asking for its status, and cancelling it) push, deleting delete (6.3.7)."""
    for route, method, endpoint in ENDPOINTS:
        if isinstance(endpoint.needs, Public) or "_catalog" in route.pattern.pattern:
            continue
        if "/uploads" in route.pattern.pattern or method == "PUT":
            assert endpoint.needs is Action.PUSH
        else:
            assert endpoint.needs is (Action.DELETE if method == "DELETE" else Action.PULL)


# --- the answer to somebody unknown ---


@pytest.mark.parametrize(
    "path", ["/v2/", "/v2", "/v2/_catalog", "/v2/team/app/tags/list", "/v2/never/pushed/manifests/v1"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_challenge(guarded: Registry, method: str, path: str) -> None:
    """Without credentials everything is 401 with the same challenge, the ping first: podman looks nowhere else (6.1, 6.3.9)."""
    answer = await guarded.ask(method, path)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Basic realm="Registry"')
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"


async def test_login(guarded: Registry) -> None:
    """`docker login` is a GET of `/v2/`: 200 with right credentials, 401 with wrong ones (6.2)."""
    assert (await guarded.get("/v2/", auth=READER)).status_code == 200
    refusal(await guarded.get("/v2/", auth=("reader", "wrong")), 401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    "header",
    [
        "Bearer abc",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic dXNlcg==",
        "Basic /////w==",
        "basic",
        "Digest username=writer",
        "",
        "Basic d3JpdGVyOnctc2VjcmV0 extra",
        f"Basic {'A' * 50_000}",
    ],
)
async def test_credentials_of_no_kind(guarded: Registry, header: str) -> None:
    """Other schemes and what cannot be read are 401 with a challenge, never a fault."""
    answer = await guarded.get("/v2/", headers={"authorization": header})
    refusal(answer, 401, "UNAUTHORIZED")
    assert "www-authenticate" in answer.headers


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
async def test_scheme_in_any_case(guarded: Registry, scheme: str) -> None:
    """The scheme's name is compared without case (RFC 9110, 11.1)."""
    header = {"authorization": f"{scheme} d3JpdGVyOnctc2VjcmV0"}
    assert (await guarded.get("/v2/", headers=header)).status_code == 200


async def test_existence_is_not_told(guarded: Registry, repo: Repository) -> None:
    """Somebody unknown gets one answer for what exists and what does not, whatever he asks (6.3.9)."""
    for method, path in (
        ("GET", "manifests/v1"),
        ("GET", "tags/list"),
        ("POST", "blobs/uploads/"),
        ("DELETE", "manifests/v1"),
    ):
        here = await repo.ask(method, path)
        nowhere = await guarded.repository("never/pushed").ask(method, path)
        assert (here.status_code, here.content) == (nowhere.status_code, nowhere.content)


async def test_request_in_other_words_is_asked_too(guarded: Registry, repo: Repository) -> None:
    """No spelling of a path, method or header leads past the question."""
    for path in (
        f"/v2/{repo.name}%2Fmanifests%2Fv1",
        f"/v2/{repo.name.replace('/', '%2F')}/manifests/v1",
        "/v2/%5Fcatalog",
    ):
        assert (await guarded.get(path)).status_code == 401
    for headers in (
        {"x-http-method-override": "GET"},
        {"x-forwarded-user": "writer"},
        {"x-original-url": "/healthz"},
    ):
        assert (await repo.delete("manifests/v1", headers=headers)).status_code == 401
    assert (await repo.get("manifests/v1?account=writer")).status_code == 401


# --- users among themselves ---


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
async def test_upload_of_another_user(repo: Repository, method: str) -> None:
    """A session is its user's: for another one, who may push here too, it is 404, and it stays as it was (CVE-2026-32589)."""
    location = await repo.start(auth=WRITER)
    await repo.patch(location, content=b"ba", auth=WRITER)
    answer = await repo.ask(method, f"{location}?digest={BASE.digest}", content=b"se", auth=OTHER)
    refusal(answer, 404, "BLOB_UPLOAD_UNKNOWN")
    assert (await repo.get(location, auth=WRITER)).headers["range"] == "0-1"
    assert (await repo.put(f"{location}?digest={BASE.digest}", content=b"se", auth=WRITER)).status_code == 201


async def test_content_of_another_repository(guarded: Registry, repo: Repository) -> None:
    """With users too, a blob is seen by HEAD, GET and DELETE only where it was pushed or mounted (CVE-2026-35172)."""
    elsewhere = guarded.repository(f"{repo.name}/elsewhere")
    for method in ("HEAD", "GET", "DELETE"):
        assert (await elsewhere.ask(method, f"blobs/{BASE.digest}", auth=WRITER)).status_code == 404
    mounted = await elsewhere.post(f"{elsewhere.uploads}?mount={BASE.digest}&from={repo.name}", auth=WRITER)
    assert mounted.status_code == 201
    assert (await elsewhere.get(f"blobs/{BASE.digest}", auth=READER)).content == b"base"


@pytest.mark.parametrize("source", ["named", "anywhere"])
async def test_deleted_content(guarded: Registry, repo: Repository, source: str) -> None:
    """A deleted blob is read by nobody through HEAD, GET or mount, whoever read it a moment ago (CVE-2026-35172)."""
    secret = blob(f"secret {repo.name}")
    await repo.upload(secret, auth=WRITER)
    assert (await repo.get(f"blobs/{secret.digest}", auth=READER)).status_code == 200
    assert (await repo.delete(f"blobs/{secret.digest}", auth=WRITER)).status_code == 202
    for method in ("HEAD", "GET"):
        assert (await repo.ask(method, f"blobs/{secret.digest}", auth=READER)).status_code == 404
    elsewhere = guarded.repository(f"{repo.name}/elsewhere")
    query = f"mount={secret.digest}" + (f"&from={repo.name}" if source == "named" else "")
    assert (await elsewhere.post(f"{elsewhere.uploads}?{query}", auth=OTHER)).status_code == 202


async def test_reader_mounts_nothing(guarded: Registry, repo: Repository) -> None:
    """A mount is a push: a reader may not."""
    elsewhere = guarded.repository(f"{repo.name}/elsewhere")
    answer = await elsewhere.post(f"{elsewhere.uploads}?mount={BASE.digest}&from={repo.name}", auth=READER)
    refusal(answer, 403, "DENIED")


async def test_removed_user(anyio_backend: str, tmp_path: Path) -> None:
    """A user who is taken out of the file is refused with the next request, although he was let in before."""
    users = users_file(tmp_path)
    async with running({**IN_MEMORY, "auth.htpasswd.file": users}) as registry:
        assert (await registry.get("/v2/", auth=OTHER)).status_code == 200
        users.write_text(
            "".join(line for line in users.read_text().splitlines(keepends=True) if "other" not in line)
        )
        assert (await registry.get("/v2/", auth=OTHER)).status_code == 401
        assert (await registry.get("/v2/", auth=WRITER)).status_code == 200


async def test_credentials_where_nobody_is_asked(quick: Registry) -> None:
    """A registry without users takes requests with credentials as it takes those without (docker sends old log-ins)."""
    for auth in (None, ("anybody", "anything")):
        assert (await quick.get("/v2/", auth=auth)).status_code == 200
    answer: httpx.Response = await quick.get("/v2/", headers={"authorization": "Bearer stale"})
    assert answer.status_code == 200
