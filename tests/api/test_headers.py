"""Headers that every answer has, and those that no answer may have (3.0, 6.1, 6.4, 6.8, 6.10, traps 3 and 4)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.support.content import NOWHERE, OCI_INDEX, blob, image
from tests.support.http import Registry, Repository

pytestmark = pytest.mark.anyio

APP = image("app")
BASE = blob("base")

Ask = Callable[[Repository, dict[str, str]], Awaitable[httpx.Response]]


async def _continued(repo: Repository, method: str, query: str, headers: dict[str, str]) -> httpx.Response:
    return await repo.ask(method, f"{await repo.start()}{query}", headers=headers, content=b"base")


ANSWERS: dict[str, tuple[int, Ask]] = {
    "front": (200, lambda repo, given: repo.get("/", headers=given)),
    "alive": (200, lambda repo, given: repo.get("/healthz", headers=given)),
    "ready": (200, lambda repo, given: repo.get("/readyz", headers=given)),
    "ping": (200, lambda repo, given: repo.get("/v2/", headers=given)),
    "ping-head": (200, lambda repo, given: repo.head("/v2/", headers=given)),
    "catalog": (200, lambda repo, given: repo.get("/v2/_catalog", headers=given)),
    "manifest": (200, lambda repo, given: repo.get("manifests/v1", headers=given)),
    "manifest-head": (200, lambda repo, given: repo.head("manifests/v1", headers=given)),
    "manifest-pushed": (
        201,
        lambda repo, given: repo.put(
            "manifests/v2", content=APP.content, headers={"content-type": APP.media_type, **given}
        ),
    ),
    "manifest-unknown": (404, lambda repo, given: repo.get("manifests/v9", headers=given)),
    "manifest-refused": (400, lambda repo, given: repo.put("manifests/v2", content=b"{}", headers=given)),
    "manifest-delete-unknown": (404, lambda repo, given: repo.delete("manifests/v9", headers=given)),
    "blob": (200, lambda repo, given: repo.get(f"blobs/{BASE.digest}", headers=given)),
    "blob-head": (200, lambda repo, given: repo.head(f"blobs/{BASE.digest}", headers=given)),
    "blob-part": (
        206,
        lambda repo, given: repo.get(f"blobs/{BASE.digest}", headers={"range": "bytes=0-1", **given}),
    ),
    "blob-no-part": (
        416,
        lambda repo, given: repo.get(f"blobs/{BASE.digest}", headers={"range": "bytes=9-", **given}),
    ),
    "blob-unchanged": (
        304,
        lambda repo, given: repo.get(f"blobs/{BASE.digest}", headers={"if-none-match": BASE.digest, **given}),
    ),
    "blob-unknown": (404, lambda repo, given: repo.head(f"blobs/{NOWHERE}", headers=given)),
    "blob-delete-refused": (405, lambda repo, given: repo.delete(f"blobs/{BASE.digest}", headers=given)),
    "upload-started": (202, lambda repo, given: repo.post(repo.uploads, headers=given)),
    "upload-single": (
        201,
        lambda repo, given: repo.post(f"{repo.uploads}?digest={BASE.digest}", content=b"base", headers=given),
    ),
    "upload-mounted": (
        201,
        lambda repo, given: repo.post(f"{repo.uploads}?mount={BASE.digest}&from={repo.name}", headers=given),
    ),
    "upload-not-mounted": (
        202,
        lambda repo, given: repo.post(f"{repo.uploads}?mount={NOWHERE}&from=x", headers=given),
    ),
    "upload-patched": (202, lambda repo, given: _continued(repo, "PATCH", "", given)),
    "upload-out-of-order": (
        416,
        lambda repo, given: _continued(repo, "PATCH", "", {"content-range": "5-8", **given}),
    ),
    "upload-status": (204, lambda repo, given: _continued(repo, "GET", "", given)),
    "upload-finished": (201, lambda repo, given: _continued(repo, "PUT", f"?digest={BASE.digest}", given)),
    "upload-mismatch": (400, lambda repo, given: _continued(repo, "PUT", f"?digest={NOWHERE}", given)),
    "upload-cancelled": (204, lambda repo, given: _continued(repo, "DELETE", "", given)),
    "tags": (200, lambda repo, given: repo.get("tags/list", headers=given)),
    "tags-page": (200, lambda repo, given: repo.get("tags/list?n=1", headers=given)),
    "referrers": (200, lambda repo, given: repo.get(f"referrers/{APP.digest}", headers=given)),
    "method-unknown": (405, lambda repo, given: repo.post("tags/list", headers=given)),
    "path-unknown": (404, lambda repo, given: repo.get("/nothing", headers=given)),
    "name-invalid": (400, lambda repo, given: repo.get("/v2/UPPER/tags/list", headers=given)),
}
PLAIN_TEXT = {"front"}


@pytest.fixture
async def repo(quick: Registry) -> Repository:
    """Give a repository with an image under two tags."""
    repo = quick.repository("team/app")
    await repo.push(APP, "v1", "v2")
    return repo


async def answer_of(name: str, repo: Repository, headers: dict[str, str] | None = None) -> httpx.Response:
    """One of the ANSWERS, which has the status that is meant."""
    status, ask = ANSWERS[name]
    answer = await ask(repo, headers or {})
    assert answer.status_code == status, answer.text
    return answer


@pytest.mark.parametrize("name", ANSWERS)
async def test_version_is_on_every_answer(repo: Repository, name: str) -> None:
    """Docker-Distribution-API-Version is on every answer, errors too: old clients look for it (11, 6.1)."""
    assert (await answer_of(name, repo)).headers["docker-distribution-api-version"] == "registry/2.0"


@pytest.mark.parametrize("name", ANSWERS)
async def test_every_answer_has_a_length(repo: Repository, name: str) -> None:
    """Every answer that can have a body says how long it is, HEAD as GET would (17, 22, 6.4, trap 4)."""
    answer = await answer_of(name, repo)
    if answer.status_code in {204, 304}:
        assert answer.content == b""
        assert answer.headers.get("content-length", "0") == "0"
    elif answer.request.method == "HEAD":
        assert answer.headers["content-length"].isdigit()
    else:
        assert answer.headers["content-length"] == str(len(answer.content))
    assert "transfer-encoding" not in answer.headers


@pytest.mark.parametrize("name", ANSWERS)
async def test_types_have_no_parameters(repo: Repository, name: str) -> None:
    """No answer of the API adds a charset or anything else to its type (16, trap 3)."""
    if name not in PLAIN_TEXT:
        assert ";" not in (await answer_of(name, repo)).headers.get("content-type", "")


@pytest.mark.parametrize("name", ANSWERS)
async def test_nothing_is_compressed(repo: Repository, name: str) -> None:
    """Whatever encodings a client takes, no answer uses one (trap 3)."""
    answer = await answer_of(name, repo, {"accept-encoding": "gzip, zstd, br, deflate, identity;q=0"})
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("name", ANSWERS)
async def test_no_answer_warns_or_redirects(repo: Repository, name: str) -> None:
    """No answer has a Warning, a redirect, cookies, or words for browsers of other sites (6, 10)."""
    answer = await answer_of(name, repo)
    assert not answer.has_redirect_location
    assert not {"warning", "set-cookie", "access-control-allow-origin", "server"} & {*answer.headers}


FORWARDING = [
    {"x-forwarded-proto": "https", "x-forwarded-host": "evil.example", "x-forwarded-prefix": "/evil"},
    {"forwarded": "proto=https;host=evil.example", "x-forwarded-port": "1"},
    {"host": "evil.example:444", "x-original-url": "/evil"},
]


@pytest.mark.parametrize("forwarding", FORWARDING, ids=["x-forwarded", "forwarded", "host"])
@pytest.mark.parametrize("name", ANSWERS)
async def test_places_are_relative_to_the_host(
    repo: Repository, name: str, forwarding: dict[str, str]
) -> None:
    """Every Location and Link begins with `/v2/`, whatever is said about host and scheme: right behind any proxy (6.4)."""
    answer = await answer_of(name, repo, forwarding)
    if answer.status_code in {201, 202} and answer.request.method != "DELETE":
        assert answer.headers["location"].startswith("/v2/team/app/")
    assert "evil" not in str(answer.headers)
    assert answer.headers.get("link", "</v2/").startswith("</v2/")


@pytest.mark.parametrize("name", ANSWERS)
async def test_namespace_of_a_mirror_is_ignored(repo: Repository, name: str) -> None:
    """`ns` and any other unknown parameter change no answer; nobody claims to have used them (81)."""
    plain = await answer_of(name, repo)
    path = plain.request.url.copy_merge_params({"ns": "docker.io", "x": "\u00e9&="})
    if name.startswith("upload-") and plain.request.method not in {"POST"}:
        return  # its session has ended; POSTs speak for uploads
    headers = {key: value for key, value in plain.request.headers.items() if key != "content-length"}
    again = await repo.registry.client.request(
        plain.request.method, path, content=plain.request.content, headers=headers
    )
    assert again.status_code == plain.status_code
    assert "oci-namespace" not in again.headers


@pytest.mark.parametrize("given", ["abc", "Root=1-67891233-abc", "urn:uuid:f81d4fae", "a,b+c/d=#", "0" * 128])
@pytest.mark.parametrize("name", ANSWERS)
async def test_request_id_is_returned(repo: Repository, name: str, given: str) -> None:
    """X-Request-Id comes back on every answer as the client gave it."""
    assert (await answer_of(name, repo, {"x-request-id": given})).headers["x-request-id"] == given


@pytest.mark.parametrize(
    "given", ["", "a b", "a" * 129, 'a"b', "a'b", "a\\nb", "a\tb", "\x7f", "\u00e9", "<script>"]
)
async def test_odd_request_id_is_replaced(repo: Repository, given: str) -> None:
    """An id that could spoil a log or a page is replaced by one of ours."""
    answer = await repo.get("/v2/", headers={"x-request-id": given.encode("latin-1")})  # type: ignore[dict-item]
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])


async def test_request_ids_differ(repo: Repository) -> None:
    """Without one from the client every request has an id of its own."""
    ids = {(await repo.get("/v2/")).headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


@pytest.mark.parametrize("name", ["manifest", "blob", "blob-part"])
async def test_pushed_content_is_no_page(repo: Repository, name: str) -> None:
    """What somebody pushed is marked so that no browser takes it for a page (threat: script in content)."""
    assert (await answer_of(name, repo)).headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v2/", "GET, HEAD"),
        ("PUT", "/v2/_catalog", "GET, HEAD"),
        ("POST", "/v2/a/tags/list", "GET, HEAD"),
        ("DELETE", f"/v2/a/referrers/{NOWHERE}", "GET, HEAD"),
        ("POST", "/v2/a/manifests/v1", "DELETE, GET, HEAD, PUT"),
        ("PATCH", "/v2/a/manifests/v1", "DELETE, GET, HEAD, PUT"),
        ("PUT", f"/v2/a/blobs/{NOWHERE}", "DELETE, GET, HEAD"),
        ("GET", "/v2/a/blobs/uploads/", "POST"),
        ("PUT", "/v2/a/blobs/uploads", "POST"),
        ("POST", "/v2/a/blobs/uploads/x", "DELETE, GET, HEAD, PATCH, PUT"),
        ("OPTIONS", "/v2/a/tags/list", "GET, HEAD"),
        ("PROPFIND", "/", "GET, HEAD"),
    ],
)
async def test_other_methods_are_405(quick: Registry, method: str, path: str, allowed: str) -> None:
    """A method that a path does not take is 405 UNSUPPORTED, and Allow lists those that it does."""
    answer = await quick.ask(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert answer.json()["errors"][0]["code"] == "UNSUPPORTED"


async def test_ping(quick: Registry) -> None:
    """`/v2/`, with or without its slash, is 200 with an empty object: no redirect (13, 5.5, 6.1)."""
    for path in ("/v2/", "/v2"):
        answer = await quick.get(path)
        assert (answer.status_code, answer.json()) == (200, {})
        assert (await quick.ask("HEAD", path)).headers["content-length"] == "2"


async def test_referrers_type_is_exact(repo: Repository) -> None:
    """The list of referrers has exactly the index's type (69)."""
    assert (await answer_of("referrers", repo)).headers["content-type"] == OCI_INDEX
