"""Uploads as a whole: how they start, every way to finish one, and what ends them (3.3, 6.4)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import Start
from tests.support.content import Blob, blob, digest_of, image
from tests.support.http import Repository, call, refusal, running

pytestmark = pytest.mark.anyio

BASE = blob("base")
LARGE = blob("large", 2 * 1024 * 1024 + 7)
UNKNOWN = "0" * 32


async def streamed(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    """The content in pieces, so that it travels without a length."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def push_monolithic(repo: Repository, content: bytes, digest: str) -> httpx.Response:
    """POST, then PUT with the bytes (end-4a, end-6)."""
    return await repo.put(f"{await repo.start()}?digest={digest}", content=content)


async def push_monolithic_streamed(repo: Repository, content: bytes, digest: str) -> httpx.Response:
    """POST, then PUT with the bytes and no length."""
    return await repo.put(f"{await repo.start()}?digest={digest}", content=streamed(content))


async def push_single(repo: Repository, content: bytes, digest: str) -> httpx.Response:
    """One POST (end-4b)."""
    return await repo.post(f"{repo.uploads}?digest={digest}", content=content)


async def push_single_streamed(repo: Repository, content: bytes, digest: str) -> httpx.Response:
    """One POST without length."""
    return await repo.post(f"{repo.uploads}?digest={digest}", content=streamed(content))


async def push_as_docker(repo: Repository, content: bytes, digest: str) -> httpx.Response:
    """POST, PATCH without Content-Range or length, PUT with nothing (dockerd, podman; row 37)."""
    patched = await repo.patch(await repo.start(), content=streamed(content))
    assert (patched.status_code, patched.headers["range"]) == (202, f"0-{max(len(content) - 1, 0)}")
    return await repo.put(f"{patched.headers['location']}?digest={digest}")


async def push_with_empty_patch(repo: Repository, content: bytes, digest: str) -> httpx.Response:
    """POST, an empty PATCH, a whole one, PUT with nothing."""
    location = await repo.start()
    for part in (b"", content):
        location = (await repo.patch(location, content=part)).headers["location"]
    return await repo.put(f"{location}?digest={digest}")


async def push_in_chunks(repo: Repository, content: bytes, digest: str) -> httpx.Response:
    """POST, PATCHes with Content-Range, PUT with nothing (3.4)."""
    location, size = await repo.start(), max(len(content) // 3, 1)
    for start in range(0, len(content), size):
        part = content[start : start + size]
        headers = {"content-range": f"{start}-{start + len(part) - 1}"}
        location = (await repo.patch(location, content=part, headers=headers)).headers["location"]
    return await repo.put(f"{location}?digest={digest}")


async def push_with_last_chunk(repo: Repository, content: bytes, digest: str) -> httpx.Response:
    """POST, one PATCH, PUT with the last bytes (row 40)."""
    half = len(content) // 2
    location = (await repo.patch(await repo.start(), content=content[:half])).headers["location"]
    return await repo.put(f"{location}?digest={digest}", content=content[half:])


Flow = Callable[[Repository, bytes, str], Awaitable[httpx.Response]]
FLOWS: list[Flow] = [
    push_monolithic,
    push_monolithic_streamed,
    push_single,
    push_single_streamed,
    push_as_docker,
    push_with_empty_patch,
    push_in_chunks,
    push_with_last_chunk,
]
CONTENTS = {
    "small": BASE,
    "empty": Blob(b""),
    "large": LARGE,
    "sha512": blob("strong", algorithm="sha512"),
    "large-sha512": blob("large", 2 * 1024 * 1024 + 7, algorithm="sha512"),
}
flows = pytest.mark.parametrize("flow", FLOWS)


# --- start ---


async def test_upload_starts(repo: Repository) -> None:
    """POST is 202 with a Location relative to the host and a session id of its own, `Range: 0-0`, no body (23, 24, 6.4)."""
    answers = [await repo.post(repo.uploads) for _ in range(2)]
    for answer in answers:
        assert (answer.status_code, answer.content) == (202, b"")
        assert answer.headers["range"] == "0-0"
        assert answer.headers["content-length"] == "0"
        upload = answer.headers["docker-upload-uuid"]
        assert re.fullmatch(r"[0-9a-f]{32}", upload)
        assert answer.headers["location"] == f"/v2/{repo.name}/blobs/uploads/{upload}"
    assert answers[0].headers["location"] != answers[1].headers["location"]


async def test_upload_starts_without_slash(repo: Repository) -> None:
    """POST to `.../uploads` is answered as such: a redirect would break it (5.5)."""
    answer = await repo.post("blobs/uploads")
    assert answer.status_code == 202
    assert (await repo.get(answer.headers["location"])).status_code == 204


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_algorithm_is_told_ahead(repo: Repository, algorithm: str) -> None:
    """The hint digest-algorithm is taken, and binds to nothing: any digest may close the upload (26)."""
    for real in ("sha256", "sha512"):
        location = await repo.start(params={"digest-algorithm": algorithm})
        await repo.patch(location, content=b"base")
        closed = await repo.put(f"{location}?digest={digest_of(b'base', real)}")
        assert closed.status_code == 201
        assert closed.headers["docker-content-digest"] == digest_of(b"base", real)


@pytest.mark.parametrize("algorithm", ["md5", "blake3", "SHA256", "sha256:", "x" * 500])
async def test_unknown_algorithm(repo: Repository, algorithm: str) -> None:
    """A digest-algorithm that this registry does not compute is 400 and names those that it does (26, 27)."""
    answer = await repo.post(repo.uploads, params={"digest-algorithm": algorithm})
    assert "sha256 or sha512" in refusal(answer, 400, "DIGEST_INVALID")["message"]


# --- finish ---


@flows
@pytest.mark.parametrize("kind", CONTENTS)
async def test_every_way_to_push(repo: Repository, flow: Flow, kind: str) -> None:
    """Every flow ends with 201 and a Location that pulls the very bytes, for each size and algorithm (28, 29, 40, 45)."""
    content = CONTENTS[kind]
    answer = await flow(repo, content.content, content.digest)
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["content-length"] == "0"
    assert answer.headers["docker-content-digest"] == content.digest
    assert answer.headers["location"] == f"/v2/{repo.name}/blobs/{content.digest}"
    assert (await repo.get(answer.headers["location"])).content == content.content
    assert (await repo.head(f"blobs/{content.digest}")).headers["content-length"] == str(len(content.content))


@flows
@pytest.mark.parametrize("kind", ["small", "empty", "sha512"])
async def test_other_bytes_are_refused(repo: Repository, flow: Flow, kind: str) -> None:
    """Bytes that hash to something else are 400 DIGEST_INVALID in every flow, and nothing is there after it (30, 44)."""
    wanted = digest_of(b"something else", CONTENTS[kind].algorithm)
    error = refusal(await flow(repo, CONTENTS[kind].content, wanted), 400, "DIGEST_INVALID")
    assert error["detail"] == {"expected": wanted, "actual": CONTENTS[kind].digest}
    for digest in (wanted, CONTENTS[kind].digest):
        assert (await repo.head(f"blobs/{digest}")).status_code == 404


async def test_refused_upload_can_be_put_right(repo: Repository) -> None:
    """After a wrong digest the upload stands where it stood, and the right bytes or digest finish it (38, 39)."""
    location = await repo.start()
    await repo.patch(location, content=b"ba")
    wrong = f"{location}?digest={digest_of(b'wrong')}"
    refusal(await repo.put(wrong, content=b"xy"), 400, "DIGEST_INVALID")
    status = await repo.get(wrong)
    assert (status.status_code, status.headers["range"]) == (204, "0-1")
    assert (await repo.put(f"{location}?digest={BASE.digest}", content=b"se")).status_code == 201


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:bad",
        f"sha256:{BASE.digest[7:].upper()}",
        f"md5:{'0' * 32}",
        f"blake3:{'0' * 64}",
        "base",
        "",
        "%00",
    ],
)
async def test_digest_that_is_none(repo: Repository, digest: str) -> None:
    """A malformed or unsupported digest is 400 for POST and PUT, and the upload goes on (27)."""
    location = await repo.start()
    for answer in (
        await repo.put(f"{location}?digest={digest}", content=b"base"),
        await repo.post(f"{repo.uploads}?digest={digest}", content=b"base"),
    ):
        assert answer.status_code == 400
    assert (await repo.put(f"{location}?digest={BASE.digest}", content=b"base")).status_code == 201


async def test_missing_digest(repo: Repository) -> None:
    """PUT without a digest is 400 and says how to give it."""
    error = refusal(await repo.put(await repo.start(), content=b"base"), 400, "DIGEST_INVALID")
    assert "digest=" in error["message"]


@pytest.mark.parametrize("query", ["digest={}", "_state=x&digest={}&ns=docker.io", "ns=&digest={}&_state"])
@pytest.mark.parametrize("encoded", [False, True])
async def test_query_as_clients_write_it(repo: Repository, query: str, encoded: bool) -> None:  # noqa: FBT001
    """The digest may be percent-encoded and stand between parameters that mean nothing here (6.4, 81, trap 6)."""
    digest = BASE.digest.replace(":", "%3A") if encoded else BASE.digest
    closed = await repo.put(f"{await repo.start()}?{query.format(digest)}", content=b"base")
    assert closed.status_code == 201


async def test_finished_upload_is_gone(repo: Repository) -> None:
    """After the closing PUT the session is unknown (32)."""
    location = await repo.start()
    await repo.put(f"{location}?digest={BASE.digest}", content=b"base")
    refusal(await repo.get(location), 404, "BLOB_UPLOAD_UNKNOWN")


async def test_same_blob_at_once(repo: Repository) -> None:
    """Concurrent pushes of one blob, each in a session of its own, all succeed and leave one blob (4.6)."""
    answers = await asyncio.gather(*(push_as_docker(repo, LARGE.content, LARGE.digest) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert (await repo.get(f"blobs/{LARGE.digest}")).content == LARGE.content


async def test_repository_exists_from_the_first_blob(repo: Repository) -> None:
    """A session makes no repository; a blob does, with an empty list of tags (63)."""
    await repo.start()
    refusal(await repo.get("tags/list"), 404, "NAME_UNKNOWN")
    await repo.upload(BASE)
    assert await repo.tags() == []


# --- sessions ---


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "upload", [UNKNOWN, "x", "..", f"{UNKNOWN}0", UNKNOWN.replace("0", "G"), "%2e%2e%2fetc", "%00"]
)
async def test_unknown_upload(repo: Repository, method: str, upload: str) -> None:
    """An upload that does not exist, or could not, is 404 BLOB_UPLOAD_UNKNOWN for every method (32)."""
    path = f"/v2/{repo.name}/blobs/uploads/{upload}?digest={BASE.digest}"
    answer = await repo.registry.client.send(
        repo.registry.client.build_request(method, path, content=b"base")
    )
    if "%2f" in upload or upload == "..":
        assert answer.status_code in {404, 405}  # another path altogether
    else:
        refusal(answer, 404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
async def test_upload_of_another_repository(repo: Repository, other: Repository, method: str) -> None:
    """A session belongs to its repository: elsewhere it is unknown, and stays untouched (CVE-2026-32589)."""
    location = await repo.start()
    elsewhere = location.replace(repo.name, other.name)
    answer = await other.ask(method, f"{elsewhere}?digest={BASE.digest}", content=b"base")
    refusal(answer, 404, "BLOB_UPLOAD_UNKNOWN")
    assert (await repo.get(location)).headers["range"] == "0-0"


async def test_cancelled_upload_is_gone(repo: Repository) -> None:
    """DELETE is 204; after it every method answers 404 (43)."""
    location = await repo.start()
    await repo.patch(location, content=b"base")
    assert (await repo.delete(location)).status_code == 204
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        answer = await repo.ask(method, f"{location}?digest={BASE.digest}", content=b"")
        refusal(answer, 404, "BLOB_UPLOAD_UNKNOWN")
    assert (await repo.head(f"blobs/{BASE.digest}")).status_code == 404


async def test_head_of_an_upload(repo: Repository) -> None:
    """HEAD answers as GET does, before any byte, after some, and once the upload has ended."""
    location = await repo.start()
    for content in (b"", b"some"):
        await repo.patch(location, content=content)
        get, head = await repo.get(location), await repo.head(location)
        assert (head.status_code, head.headers["range"]) == (get.status_code, get.headers["range"])
        assert (head.status_code, head.headers["location"]) == (204, location)
    await repo.delete(location)
    assert (await repo.head(location)).status_code == 404


async def test_idle_upload_is_purged(start: Start) -> None:
    """An upload that nobody goes on with for the configured time is forgotten; one in use is not (31)."""
    registry = await start({"uploads.idle_seconds_max": 0.3, "uploads.purge_interval_seconds": 0.05})
    repo = registry.repository("app")
    idle, used = await repo.start(), await repo.start()
    deadline = time.monotonic() + 30
    while (await repo.get(idle)).status_code == 204:
        assert (await repo.patch(used, content=b"x")).status_code == 202
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    refusal(await repo.get(idle), 404, "BLOB_UPLOAD_UNKNOWN")
    assert (await repo.get(used)).status_code == 204


# --- interrupted, continued elsewhere ---


async def test_cut_connection_keeps_what_came(repo: Repository) -> None:
    """Where a client vanishes in the middle of a PATCH, GET tells what arrived, and the upload goes on from there (trap 8)."""
    location = await repo.start()

    half = [LARGE.content[:1_000_000], LARGE.content[1_000_000:1_500_000]]
    assert await call(repo.registry.app, "PATCH", location, body=half, then="hang-up") == []
    status = await repo.get(location)
    assert (status.status_code, status.headers["range"]) == (204, "0-1499999")
    assert status.headers["location"] == location
    rest = LARGE.content[1_500_000:]
    headers = {"content-range": f"1500000-{len(LARGE.content) - 1}"}
    assert (await repo.patch(location, content=rest, headers=headers)).status_code == 202
    assert (await repo.put(f"{location}?digest={LARGE.digest}")).status_code == 201
    assert (await repo.get(f"blobs/{LARGE.digest}")).content == LARGE.content


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_cut_connection_publishes_nothing(repo: Repository, method: str) -> None:
    """Where a client vanishes before the last byte, no blob is there; a PUT can be sent again."""
    location = await repo.start()

    path, query = location if method == "PUT" else repo.uploads, f"digest={BASE.digest}".encode()
    sent = await call(repo.registry.app, method, path, query=query, body=[b"ba", b"se"], then="hang-up")
    assert sent == []
    assert (await repo.head(f"blobs/{BASE.digest}")).status_code == 404
    assert (await repo.put(f"{location}?digest={BASE.digest}")).status_code == (
        201 if method == "PUT" else 400
    )


@pytest.fixture(params=["sqlite", "postgres"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    """Give settings that several processes can share: files, and a database of either kind."""
    settings: dict[str, object] = {"storage.directory": tmp_path / "data"}
    if request.param == "postgres":
        settings["database.url"] = request.getfixturevalue("postgres_url")()
    return settings


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_restart_in_the_middle(shared: dict[str, object], anyio_backend: str, algorithm: str) -> None:
    """An upload outlives the server: after a restart its status is known, and it goes on to the right digest (4.6)."""
    content = blob("large", 1_100_000, algorithm=algorithm)
    async with running(shared) as before:
        location = await before.repository("app").start()
        await before.repository("app").patch(location, content=content.content[:700_000])
    async with running(shared) as after:
        repo = after.repository("app")
        assert (await repo.get(location)).headers["range"] == "0-699999"
        headers = {"content-range": f"700000-{len(content.content) - 1}"}
        assert (
            await repo.patch(location, content=content.content[700_000:], headers=headers)
        ).status_code == 202
    async with running(shared) as last:
        repo = last.repository("app")
        assert (await repo.put(f"{location}?digest={content.digest}")).status_code == 201
        assert (await repo.get(f"blobs/{content.digest}")).content == content.content


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_chunks_at_different_workers(
    shared: dict[str, object], anyio_backend: str, algorithm: str
) -> None:
    """Each request of an upload may reach another process: order is kept and the digest is right (trap 8)."""
    content = blob("large", 400_000, algorithm=algorithm)
    async with AsyncExitStack() as stack:
        workers = [(await stack.enter_async_context(running(shared))).repository("app") for _ in range(3)]
        location = await workers[0].start()
        for number, start in enumerate(range(0, 400_000, 50_000)):
            repo, part = workers[number % 3], content.content[start : start + 50_000]
            late = {"content-range": f"{max(start - 50_000, 1)}-{start + 1}"}
            refused = await repo.patch(location, content=part, headers=late)
            assert refused.status_code == 416
            headers = {"content-range": f"{start}-{start + len(part) - 1}"}
            assert (await repo.patch(location, content=part, headers=headers)).status_code == 202
        assert (await workers[0].put(f"{location}?digest={content.digest}")).status_code == 201
        for repo in workers:
            assert (await repo.get(f"blobs/{content.digest}")).content == content.content


async def test_two_workers_one_push(shared: dict[str, object], anyio_backend: str) -> None:
    """What one process acknowledged, another one serves at once."""
    async with running(shared) as one, running(shared) as two:
        app = image("app")
        await one.repository("app").push(app, "v1")
        assert (await two.repository("app").get("manifests/v1")).content == app.content
        await two.repository("app").delete("manifests/v1")
        assert (await one.repository("app").get("manifests/v1")).status_code == 404
