"""Uploads in chunks: their order is kept, what breaks it changes nothing, and the client is told where to go on (3.4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.content import blob
from tests.support.http import Registry, Repository, refusal

pytestmark = pytest.mark.anyio

LAYER = blob("layer", 3000)
DIGEST = LAYER.digest


async def patch(repo: Repository, location: str, first: int, last: int) -> httpx.Response:
    """Send the bytes from `first` to `last` of the layer as a chunk that says so."""
    content = LAYER.content[first : last + 1]
    return await repo.patch(location, content=content, headers={"content-range": f"{first}-{last}"})


async def close(repo: Repository, location: str, first: int, last: int) -> httpx.Response:
    """Send them with the closing PUT."""
    content = LAYER.content[first : last + 1]
    headers = {"content-range": f"{first}-{last}"}
    return await repo.put(f"{location}?digest={DIGEST}", content=content, headers=headers)


def assert_stands_at(answer: httpx.Response, status: int, location: str, last: int) -> None:
    """The answer says where the upload is and how far it came, in Docker's and the specification's words (35, 38, 6.4)."""
    assert answer.status_code == status
    assert answer.headers["location"] == location
    assert answer.headers["range"] == f"0-{last}"
    assert location.endswith(answer.headers["docker-upload-uuid"])


async def test_chunks_in_order(repo: Repository) -> None:
    """Each PATCH is 202 with Location and `Range: 0-<last byte>`, no `bytes=`; the PUT may bring the last chunk (34, 35, 40)."""
    location = await repo.start()
    for first in (0, 1000):
        answer = await patch(repo, location, first, first + 999)
        assert_stands_at(answer, 202, location, first + 999)
        assert answer.headers["content-length"] == "0"
        assert_stands_at(await repo.get(location), 204, location, first + 999)
    assert (await close(repo, location, 2000, 2999)).status_code == 201
    assert (await repo.get(f"blobs/{DIGEST}")).content == LAYER.content


OUT_OF_ORDER = {"gap": (1001, 1999), "replay": (0, 999), "overlap": (999, 1999), "far": (10**17, 10**17 + 9)}


@pytest.mark.parametrize("case", OUT_OF_ORDER)
async def test_chunk_out_of_order(repo: Repository, case: str) -> None:
    """A chunk that does not start where the upload ends is 416, and tells where that is; then it goes on (36, 38)."""
    location = await repo.start()
    await patch(repo, location, 0, 999)
    refused = await patch(repo, location, *OUT_OF_ORDER[case])
    refusal(refused, 416, "BLOB_UPLOAD_INVALID")
    assert_stands_at(refused, 416, location, 999)
    assert_stands_at(await repo.get(location), 204, location, 999)
    assert_stands_at(await patch(repo, location, 1000, 2999), 202, location, 2999)
    assert (await repo.put(f"{location}?digest={DIGEST}")).status_code == 201


async def test_first_chunk_must_start_at_0(repo: Repository) -> None:
    """The first chunk starts at 0, else 416 with `Range: 0-0` (36, 6.4)."""
    location = await repo.start()
    assert_stands_at(await patch(repo, location, 1000, 1999), 416, location, 0)
    assert_stands_at(await repo.get(location), 204, location, 0)
    assert (await close(repo, location, 0, 2999)).status_code == 201


@pytest.mark.parametrize("case", OUT_OF_ORDER)
async def test_last_chunk_out_of_order(repo: Repository, case: str) -> None:
    """A closing PUT out of order is 416; GET on that very URL is 204, and the right chunk closes the upload (39, 41)."""
    location = await repo.start()
    await patch(repo, location, 0, 999)
    assert_stands_at(await close(repo, location, *OUT_OF_ORDER[case]), 416, location, 999)
    assert (await repo.head(f"blobs/{DIGEST}")).status_code == 404
    assert_stands_at(await repo.get(f"{location}?digest={DIGEST}"), 204, location, 999)
    assert (await close(repo, location, 1000, 2999)).status_code == 201


async def test_older_locations_stay_valid(repo: Repository) -> None:
    """The Location of the POST works after PATCHes as well as the newest one (42)."""
    first = await repo.start()
    newest = (await patch(repo, first, 0, 999)).headers["location"]
    newest = (await patch(repo, newest, 1000, 1999)).headers["location"]
    assert_stands_at(await repo.get(first), 204, newest, 1999)
    assert_stands_at(await patch(repo, first, 0, 999), 416, newest, 1999)
    assert (await close(repo, first, 2000, 2999)).status_code == 201


@pytest.mark.parametrize(
    "given",
    [
        "bytes 0-999/3000",
        "bytes=0-999",
        "bytes 0-999",
        "0-",
        "-999",
        "999-0",
        "0-999/3000",
        "a-b",
        "0x0-0x9",
        "-1-5",
        "0--1",
        f"0-{'9' * 30}",
        "0-999,1000-1999",
        "",
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_malformed_content_range(repo: Repository, method: str, given: str) -> None:
    """A Content-Range that is not FIRST-LAST is 400 and changes nothing (34)."""
    location = await repo.start()
    headers = {"content-range": given}
    answer = await repo.ask(
        method, f"{location}?digest={DIGEST}", content=LAYER.content[:1000], headers=headers
    )
    refusal(answer, 400, "BLOB_UPLOAD_INVALID")
    assert_stands_at(await repo.get(location), 204, location, 0)


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("length", [0, 1, 999, 1001, 2000])
async def test_chunk_of_another_length(repo: Repository, method: str, length: int) -> None:
    """More or fewer bytes than Content-Range says are 400 SIZE_INVALID, and the chunk counts as not sent (30, 34)."""
    location = await repo.start()
    await patch(repo, location, 0, 999)
    content, headers = LAYER.content[1000 : 1000 + length], {"content-range": "1000-1999"}
    answer = await repo.ask(method, f"{location}?digest={DIGEST}", content=content, headers=headers)
    refusal(answer, 400, "SIZE_INVALID")
    assert_stands_at(await repo.get(location), 204, location, 999)
    assert (await close(repo, location, 1000, 2999)).status_code == 201


async def test_streams_and_chunks_mix(repo: Repository) -> None:
    """A PATCH without Content-Range is appended where the upload ends, also between chunks (37)."""
    location = await repo.start()
    await patch(repo, location, 0, 999)
    assert_stands_at(await repo.patch(location, content=LAYER.content[1000:1500]), 202, location, 1499)
    assert_stands_at(await patch(repo, location, 1500, 1999), 202, location, 1999)
    assert (await repo.put(f"{location}?digest={DIGEST}", content=LAYER.content[2000:])).status_code == 201
    assert (await repo.get(f"blobs/{DIGEST}")).content == LAYER.content


async def test_no_chunk_at_all(repo: Repository) -> None:
    """POST and PUT with nothing between them push the empty blob (45)."""
    empty = blob("", 0)
    assert (await repo.put(f"{await repo.start()}?digest={empty.digest}")).status_code == 201
    assert (await repo.head(f"blobs/{empty.digest}")).headers["content-length"] == "0"


async def test_one_writer_at_a_time(repo: Repository) -> None:
    """While one request writes, a second is 416 with what was acknowledged, and the first is not disturbed (trap 8)."""
    location = await repo.start()
    await patch(repo, location, 0, 999)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield LAYER.content[1000:1500]
        begun.set()
        await go_on.wait()
        yield LAYER.content[1500:]

    first = asyncio.create_task(repo.patch(location, content=slow()))
    await begun.wait()
    second = await repo.patch(location, content=b"intruder")
    refusal(second, 416, "BLOB_UPLOAD_INVALID")
    assert_stands_at(second, 416, location, 999)
    go_on.set()
    assert_stands_at(await first, 202, location, 2999)
    assert (await repo.put(f"{location}?digest={DIGEST}")).status_code == 201


async def test_racing_chunks(repo: Repository) -> None:
    """Of the same chunk sent several times at once, one is taken and the others are 416 (36, 4.6)."""
    location = await repo.start()
    answers = await asyncio.gather(*(patch(repo, location, 0, 999) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [202, 416, 416, 416]
    assert_stands_at(await repo.get(location), 204, location, 999)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, 3000), max_size=6).map(sorted),
    ranged=st.lists(st.booleans(), min_size=7, max_size=7),
    last_with_put=st.booleans(),
    algorithm=st.sampled_from(["sha256", "sha512"]),
)
async def test_any_division_into_chunks(
    quick: Registry,
    cuts: list[int],
    ranged: list[bool],
    last_with_put: bool,  # noqa: FBT001
    algorithm: str,
) -> None:
    """However a blob is divided into chunks and streams, it is the same blob (3.4)."""
    repo = quick.repository("divided")
    location = await repo.start()
    edges = [0, *cuts, 3000]
    parts = list(zip(edges, edges[1:], ranged, strict=False))
    *patches, last = parts if last_with_put else [*parts, (3000, 3000, False)]
    for first, end, with_range in patches:
        headers = {"content-range": f"{first}-{end - 1}"} if with_range and end > first else {}
        answer = await repo.patch(location, content=LAYER.content[first:end], headers=headers)
        assert_stands_at(answer, 202, location, max(end - 1, 0))
    digest = blob("layer", 3000, algorithm=algorithm).digest
    closed = await repo.put(f"{location}?digest={digest}", content=LAYER.content[last[0] : last[1]])
    assert closed.status_code == 201
    assert (await repo.get(f"blobs/{digest}")).content == LAYER.content
