"""Parts of blobs (RFC 9110, 14; row 21 of the checklist, 6.8 for what clients send)."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.content import Blob, blob
from tests.support.http import Registry, Repository, refusal

pytestmark = pytest.mark.anyio

SIZE = 2048
LAYER = blob("layer", SIZE)


@pytest.fixture
def repo(quick: Registry) -> Repository:
    """Give a repository; the range code knows neither store nor database (`tests/storage` reads parts of each)."""
    return quick.repository("ranges")


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("500-1499", 500, 1499),
        ("500-", 500, 2047),
        ("-500", 1548, 2047),
        ("2000-5000", 2000, 2047),
        ("0-0", 0, 0),
        ("2047-2047", 2047, 2047),
        ("2047-", 2047, 2047),
        ("0-", 0, 2047),
        ("-1", 2047, 2047),
        ("-5000", 0, 2047),
        ("0-9999999999999999999", 0, 2047),
        ("007-010", 7, 10),
    ],
)
@pytest.mark.parametrize("unit", ["bytes", "Bytes"])
async def test_part(repo: Repository, unit: str, asked: str, first: int, last: int) -> None:
    """One range is answered 206 with exactly its bytes, cut off at the end of the blob (21)."""
    await repo.upload(LAYER)
    answer = await repo.get(f"blobs/{LAYER.digest}", headers={"range": f"{unit}={asked}"})
    assert answer.status_code == 206
    assert answer.content == LAYER.content[first : last + 1]
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer.headers["content-length"] == str(last - first + 1)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["docker-content-digest"] == LAYER.digest


@pytest.mark.parametrize("asked", ["500-0", "5000-10000", "2048-", "2048-2048", "-0", "9999999999999999999-"])
async def test_part_that_does_not_exist(repo: Repository, asked: str) -> None:
    """A range of which nothing exists is 416 with the size (21)."""
    await repo.upload(LAYER)
    answer = await repo.get(f"blobs/{LAYER.digest}", headers={"range": f"bytes={asked}"})
    refusal(answer, 416, "BLOB_UPLOAD_INVALID")
    assert answer.headers["content-range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-99,200-299",
        "bytes=0-99, 50-, -1",
        "bytes=-",
        "bytes=",
        "bytes",
        "lines=1-2",
        "0-99",
        "bytes=a-b",
        "bytes=1-2-3",
        "bytes=0x10-20",
        "bytes= 1 - 2",
        "bytes=+1-2",
        "bytes=\u00b2-",
        f"bytes={'9' * 5000}-",
        "nonsense",
        "",
    ],
)
async def test_what_is_no_single_range_is_answered_whole(repo: Repository, header: str) -> None:
    """Several ranges, other units and nonsense get the whole blob with 200, which every client takes (6.8, trap 1)."""
    await repo.upload(LAYER)
    answer = await repo.get(f"blobs/{LAYER.digest}", headers={"range": header.encode("latin-1")})
    assert (answer.status_code, answer.content) == (200, LAYER.content)
    assert "content-range" not in answer.headers


@pytest.mark.parametrize("asked", ["0-", "0-0", "1-", "-0"])
async def test_empty_blob_has_no_parts(repo: Repository, asked: str) -> None:
    """Of the empty blob no range exists; without one it is 200 with length 0 (22)."""
    empty = Blob(b"")
    await repo.upload(empty)
    answer = await repo.get(f"blobs/{empty.digest}", headers={"range": f"bytes={asked}"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */0")
    whole = await repo.get(f"blobs/{empty.digest}")
    assert (whole.status_code, whole.headers["content-length"]) == (200, "0")


async def test_head_knows_no_parts(repo: Repository) -> None:
    """Range means something for GET alone (RFC 9110, 14.2): HEAD tells the whole size."""
    await repo.upload(LAYER)
    answer = await repo.head(f"blobs/{LAYER.digest}", headers={"range": "bytes=0-9"})
    assert (answer.status_code, answer.headers["content-length"]) == (200, str(SIZE))


@pytest.mark.parametrize(
    ("condition", "status"), [('"{}"', 206), ('"other"', 200), ('W/"{}"', 200), ("{}", 200)]
)
async def test_part_only_of_the_same(repo: Repository, condition: str, status: int) -> None:
    """If-Range gives a part only where it names the blob by its strong ETag (RFC 9110, 13.1.5)."""
    await repo.upload(LAYER)
    headers = {"range": "bytes=0-9", "if-range": condition.format(LAYER.digest)}
    assert (await repo.get(f"blobs/{LAYER.digest}", headers=headers)).status_code == status


async def test_unchanged_goes_before_range(repo: Repository) -> None:
    """If-None-Match is looked at before Range (RFC 9110, 13.2.2)."""
    await repo.upload(LAYER)
    headers = {"range": "bytes=5000-", "if-none-match": f'"{LAYER.digest}"'}
    assert (await repo.get(f"blobs/{LAYER.digest}", headers=headers)).status_code == 304


LARGE = blob("large", 3 * 1024 * 1024 + 5)
EDGE = st.integers(-2, 2).flatmap(
    lambda near: st.integers(0, 4).map(lambda mib: max(mib * 1024 * 1024 + near, 0))
)
PLACE = EDGE | st.integers(0, len(LARGE.content) + 10)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=PLACE | st.none(), last=PLACE | st.none())
async def test_parts_are_slices(repo: Repository, first: int | None, last: int | None) -> None:
    """Any range of a blob of several pieces is the slice that Python takes, or 416 where that is empty."""
    if (await repo.head(f"blobs/{LARGE.digest}")).status_code == 404:
        await repo.upload(LARGE)
    spelled = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    answer = await repo.get(f"blobs/{LARGE.digest}", headers={"range": spelled})
    if first is None and last is None:
        assert answer.status_code == 200
        return
    if first is None:
        expected = LARGE.content[-last:] if last else b""
    else:
        expected = LARGE.content[first : None if last is None else last + 1]
    assert answer.status_code == (206 if expected else 416)
    assert not expected or answer.content == expected
