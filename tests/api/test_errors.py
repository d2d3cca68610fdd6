"""Every error that a client can be told: its status, its code, the specification's form, and words that help (3.0, 6.9)."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import structlog

from registry.api import door
from registry.oci import errors
from tests.api.access import PASSWORDS, users_file
from tests.api.conftest import Start
from tests.support.content import NOWHERE, OCI_IMAGE, blob, image
from tests.support.http import Registry, Repository, ask_raw, codes

pytestmark = pytest.mark.anyio

APP = image("app")
BASE = blob("base")


class Scene:
    """Where an error is provoked: a registry with any settings, its files, and a way to break things."""

    def __init__(self, start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.start = start
        self.folder = folder
        self.monkeypatch = monkeypatch

    async def repo(self, **settings: object) -> Repository:
        """A repository of a registry with these settings, `__` for the dot in a key, and an image tagged v1."""
        given = {key.replace("__", "."): value for key, value in settings.items()}
        repo = (await self.start(given)).repository("team/app")
        await repo.push(APP, "v1")
        return repo


async def name_invalid(scene: Scene) -> httpx.Response:
    """A name in capitals."""
    return await (await scene.repo()).get("/v2/Team/App/tags/list")


async def reference_invalid(scene: Scene) -> httpx.Response:
    """A tag that begins with a dash."""
    return await (await scene.repo()).get("manifests/-v1")


async def name_unknown(scene: Scene) -> httpx.Response:
    """Tags of a repository that is not there."""
    return await (await scene.repo()).get("/v2/other/tags/list")


async def digest_invalid(scene: Scene) -> httpx.Response:
    """A digest that is too short."""
    return await (await scene.repo()).get("blobs/sha256:abc")


async def digest_mismatch(scene: Scene) -> httpx.Response:
    """Bytes under another digest."""
    return await (await scene.repo()).post(f"blobs/uploads/?digest={NOWHERE}", content=b"base")


async def size_invalid(scene: Scene) -> httpx.Response:
    """A chunk of another length than it says."""
    repo = await scene.repo()
    return await repo.patch(await repo.start(), content=b"base", headers={"content-range": "0-9"})


async def blob_unknown(scene: Scene) -> httpx.Response:
    """A blob that is not there."""
    return await (await scene.repo()).get(f"blobs/{NOWHERE}")


async def blob_referenced(scene: Scene) -> httpx.Response:
    """Delete of a layer in use."""
    return await (await scene.repo()).delete(f"blobs/{BASE.digest}")


async def blob_upload_unknown(scene: Scene) -> httpx.Response:
    """An upload that is not there."""
    return await (await scene.repo()).get(f"blobs/uploads/{'0' * 32}")


async def blob_upload_invalid(scene: Scene) -> httpx.Response:
    """A Content-Range in another header's form."""
    repo = await scene.repo()
    return await repo.patch(await repo.start(), content=b"base", headers={"content-range": "bytes 0-3/4"})


async def upload_out_of_order(scene: Scene) -> httpx.Response:
    """A chunk behind a gap."""
    repo = await scene.repo()
    return await repo.patch(await repo.start(), content=b"base", headers={"content-range": "4-7"})


async def upload_busy(scene: Scene) -> httpx.Response:
    """Two requests that write to one upload."""
    repo = await scene.repo()
    location, begun, go_on = await repo.start(), asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"a"
        begun.set()
        await go_on.wait()

    first = asyncio.create_task(repo.patch(location, content=slow()))
    await begun.wait()
    second = await repo.patch(location, content=b"b")
    go_on.set()
    assert (await first).status_code == 202
    return second


async def manifest_invalid(scene: Scene) -> httpx.Response:
    """A manifest that is no JSON."""
    headers = {"content-type": OCI_IMAGE}
    return await (await scene.repo()).put("manifests/v1", content=b"<xml>", headers=headers)


async def manifest_too_large(scene: Scene) -> httpx.Response:
    """A manifest above the limit."""
    repo = await scene.repo(manifests__size_bytes_max=2000)
    return await repo.put_manifest(APP.saying(annotations={"a": "x" * 2000}), "v1")


async def manifest_unknown(scene: Scene) -> httpx.Response:
    """A tag that is not there."""
    return await (await scene.repo()).get("manifests/v2")


async def manifest_blob_unknown(scene: Scene) -> httpx.Response:
    """A manifest before its layers."""
    return await (await scene.repo()).put_manifest(image("other", layers=["x", "y"]), "v1")


async def manifest_sizes_wrong(scene: Scene) -> httpx.Response:
    """A manifest whose descriptors give other sizes."""
    repo = await scene.repo()
    layers = [{**layer, "size": 7} for layer in APP.document["layers"]]
    return await repo.put_manifest(APP.saying(layers=layers), "v1")


async def deletion_disabled(scene: Scene) -> httpx.Response:
    """Delete where that is off."""
    return await (await scene.repo(deletion__enabled=False)).delete("manifests/v1")


async def unsupported(scene: Scene) -> httpx.Response:
    """A page of minus one tags."""
    return await (await scene.repo()).get("tags/list?n=-1")


async def route_unknown(scene: Scene) -> httpx.Response:
    """A path of Docker's first registry."""
    return await (await scene.repo()).get("/v1/_ping")


async def method_unsupported(scene: Scene) -> httpx.Response:
    """A POST to a list."""
    return await (await scene.repo()).post("tags/list")


async def too_many_tags(scene: Scene) -> httpx.Response:
    """More tags than may come with one push."""
    repo = await scene.repo(manifests__tags_per_push_max=1)
    return await repo.put_manifest(APP, f"{APP.digest}?tag=a&tag=b")


async def range_not_satisfiable(scene: Scene) -> httpx.Response:
    """A part behind the end."""
    return await (await scene.repo()).get(f"blobs/{BASE.digest}", headers={"range": "bytes=100-"})


async def unauthorized(scene: Scene) -> httpx.Response:
    """No credentials where they are needed."""
    registry = await scene.start({"auth.htpasswd.file": users_file(scene.folder)})
    return await registry.get("/v2/")


async def denied(scene: Scene) -> httpx.Response:
    """A reader who pushes."""
    file = users_file(scene.folder)
    registry = await scene.start({"auth.htpasswd.file": file, "auth.htpasswd.readers": ["reader"]})
    return await registry.repository("app").post("blobs/uploads/", auth=("reader", PASSWORDS["reader"]))


async def request_timeout(scene: Scene) -> httpx.Response:
    """A body that stops coming."""
    repo = await scene.repo(http__body_idle_seconds_max=0.05)

    length = [(b"content-length", b"4")]
    location = await repo.start()
    return await ask_raw(repo.registry.app, "PATCH", location, headers=length, body=[b"ba"], then="silence")


async def storage_full(scene: Scene) -> httpx.Response:
    """No space on the device, as the system reports it (`tests/faults` fills a real one)."""
    repo = await scene.repo(storage__kind="filesystem", storage__directory=scene.folder)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    scene.monkeypatch.setattr("registry.storage.filesystem.os.pwrite", full)
    return await repo.post(f"blobs/uploads/?digest={BASE.digest}", content=b"base")


async def unavailable(scene: Scene) -> httpx.Response:
    """A database that somebody else keeps to himself."""
    file = scene.folder / "registry.db"
    repo = await scene.repo(database__url=f"sqlite:///{file}", database__busy_seconds_max=0.05)
    with sqlite3.connect(file, isolation_level=None) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        answer = await repo.delete("manifests/v1")
        intruder.execute("ROLLBACK")
    intruder.close()
    return answer


Provoke = Callable[[Scene], Awaitable[httpx.Response]]
CASES: dict[type[errors.RegistryError], tuple[Provoke, int, str, str]] = {
    errors.NameInvalid: (name_invalid, 400, "NAME_INVALID", "lower-case"),
    errors.ReferenceInvalid: (reference_invalid, 400, "NAME_INVALID", "1 to 128"),
    errors.NameUnknown: (name_unknown, 404, "NAME_UNKNOWN", "first push"),
    errors.DigestInvalid: (digest_invalid, 400, "DIGEST_INVALID", "exactly 64"),
    errors.DigestMismatch: (digest_mismatch, 400, "DIGEST_INVALID", "send it again"),
    errors.SizeInvalid: (size_invalid, 400, "SIZE_INVALID", "send the chunk again"),
    errors.BlobUnknown: (blob_unknown, 404, "BLOB_UNKNOWN", "not in this repository"),
    errors.BlobReferenced: (blob_referenced, 405, "UNSUPPORTED", "delete those first"),
    errors.BlobUploadUnknown: (blob_upload_unknown, 404, "BLOB_UPLOAD_UNKNOWN", "start a new one"),
    errors.BlobUploadInvalid: (blob_upload_invalid, 400, "BLOB_UPLOAD_INVALID", "FIRST-LAST"),
    errors.UploadOutOfOrder: (upload_out_of_order, 416, "BLOB_UPLOAD_INVALID", "must start at 0"),
    errors.UploadBusy: (upload_busy, 416, "BLOB_UPLOAD_INVALID", "go on there"),
    errors.ManifestInvalid: (manifest_invalid, 400, "MANIFEST_INVALID", "not valid JSON"),
    errors.ManifestTooLarge: (manifest_too_large, 413, "MANIFEST_INVALID", "at most 2000 bytes"),
    errors.ManifestUnknown: (manifest_unknown, 404, "MANIFEST_UNKNOWN", "no manifest v2"),
    errors.ManifestBlobUnknown: (manifest_blob_unknown, 400, "MANIFEST_BLOB_UNKNOWN", "push it first"),
    errors.ManifestSizesWrong: (manifest_sizes_wrong, 400, "MANIFEST_INVALID", "has 7 bytes, and it has 4"),
    errors.DeletionDisabled: (deletion_disabled, 405, "UNSUPPORTED", "deletion.enabled"),
    errors.Unsupported: (unsupported, 400, "UNSUPPORTED", "0 or more"),
    errors.RouteUnknown: (route_unknown, 404, "UNSUPPORTED", "https://"),
    errors.MethodUnsupported: (method_unsupported, 405, "UNSUPPORTED", "GET, HEAD"),
    errors.TooManyTags: (too_many_tags, 414, "UNSUPPORTED", "at most 1"),
    errors.RangeNotSatisfiable: (range_not_satisfiable, 416, "BLOB_UPLOAD_INVALID", "4 bytes"),
    errors.Unauthorized: (unauthorized, 401, "UNAUTHORIZED", "log in"),
    errors.Denied: (denied, 403, "DENIED", "ask its operator"),
    errors.RequestTimeout: (request_timeout, 408, "BLOB_UPLOAD_INVALID", "0.05 seconds"),
    errors.StorageFull: (storage_full, 507, "UNAVAILABLE", "tell its operator"),
    errors.Unavailable: (unavailable, 503, "UNAVAILABLE", "try again"),
}


def kinds(base: type[errors.RegistryError]) -> set[type[errors.RegistryError]]:
    """Every class below `base`."""
    return {kind for child in base.__subclasses__() for kind in {child, *kinds(child)}}


def test_every_error_is_provoked_here() -> None:
    """No error exists that this file does not provoke: a new class needs a case."""
    assert {
        kind for kind in kinds(errors.RegistryError) if kind.__module__.startswith("registry.")
    } == CASES.keys()


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
async def test_error(
    kind: type[errors.RegistryError], start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is told with its status and code, in the specification's form, with words that say what to do (7, 8, 6.9)."""
    monkeypatch.setattr("registry.api.body._DRAIN_SECONDS_MAX", 0.1)
    provoke, status, code, words = CASES[kind]
    seen: list[type[errors.RegistryError]] = []
    render = door.error_response

    def watch(error: errors.RegistryError, headers: dict[str, str]) -> object:
        seen.append(type(error))
        return render(error, headers)

    monkeypatch.setattr(door, "error_response", watch)
    answer = await provoke(Scene(start, tmp_path, monkeypatch))
    assert seen == [kind]
    assert answer.status_code == status
    assert set(codes(answer)) == {code}
    assert words in answer.json()["errors"][0]["message"]
    assert "Traceback" not in answer.text


HEADERS = {
    errors.Unauthorized: {"www-authenticate": 'Basic realm="Registry"'},
    errors.MethodUnsupported: {"allow": "GET, HEAD"},
    errors.BlobReferenced: {"allow": "GET, HEAD"},
    errors.DeletionDisabled: {"allow": "GET, HEAD"},
    errors.RangeNotSatisfiable: {"content-range": "bytes */4"},
    errors.UploadOutOfOrder: {"range": "0-0"},
}


@pytest.mark.parametrize("kind", HEADERS, ids=lambda kind: kind.__name__)
async def test_error_has_its_headers(
    kind: type[errors.RegistryError], start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What HTTP or the specification wants beside an error is there (RFC 9110, 15.5; 6.9)."""
    answer = await CASES[kind][0](Scene(start, tmp_path, monkeypatch))
    assert HEADERS[kind].items() <= dict(answer.headers).items()


async def test_busy_registry_says_when_to_come_back(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 503 has Retry-After in seconds, which clients heed (6.9)."""
    answer = await unavailable(Scene(start, tmp_path, monkeypatch))
    assert answer.headers["retry-after"].isdigit()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("manifests/v9", 404),
        (f"blobs/{NOWHERE}", 404),
        ("manifests/-v", 400),
        ("/v2/UP/tags/list", 400),
        ("/no", 404),
    ],
)
async def test_head_errors_have_no_body(quick: Registry, path: str, status: int) -> None:
    """HEAD is refused with the same status and length as GET, without the body (6.9)."""
    repo = quick.repository("app")
    get, head = [await repo.ask(method, path) for method in ("GET", "HEAD")]
    assert (get.status_code, head.status_code, head.content) == (status, status, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


async def test_our_own_fault_tells_nothing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours is a 500 in the same form that holds nothing but the id to find it by (6.9)."""
    repo = (await start()).repository("app")

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret: /var/lib/registry, password hunter2")

    monkeypatch.setattr("registry.operations.listing.tags.page", broken)
    await repo.upload(BASE)
    answer = await repo.get("tags/list", headers={"x-request-id": "find-me"})
    assert (answer.status_code, codes(answer)) == (500, ["UNKNOWN"])
    assert "find-me" in answer.json()["errors"][0]["message"]
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text


@pytest.mark.parametrize("path", ["%3Cscript%3E", "a%22%0D%0Ax: y", "é" * 300, "A" * 5000])
async def test_echo_is_only_json(quick: Registry, path: str) -> None:
    """What an error repeats of the request is inside JSON, cut to a bound, and never in a header."""
    answer = await quick.get(f"/v2/{path}/tags/list")
    assert answer.status_code in {400, 404}
    codes(answer)
    assert len(answer.content) < 6000
    assert "script" not in str(answer.headers)


@pytest.mark.parametrize(
    ("kind", "cause"),
    [(errors.Unavailable, "OperationalError: database is locked"), (errors.StorageFull, "OSError: ")],
)
async def test_cause_is_logged(
    kind: type[errors.RegistryError],
    cause: str,
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cannot be served is one warning with the request's id and what was behind it; the client is not told that."""
    with structlog.testing.capture_logs() as logs:
        answer = await CASES[kind][0](Scene(start, tmp_path, monkeypatch))
    [line] = [line for line in logs if line["event"] == "request not served"]
    assert (line["log_level"], line["id"]) == ("warning", answer.headers["x-request-id"])
    assert line["cause"].startswith(cause)
    assert cause not in answer.text
