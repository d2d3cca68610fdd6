"""`/v2/<name>/tags/list`: in byte order, in pages that neither lose nor repeat a tag (3.7)."""

from __future__ import annotations

import pytest

from tests.api.conftest import Start
from tests.support.content import blob, image, index
from tests.support.http import Repository, next_page, pages, refusal

pytestmark = pytest.mark.anyio

TAGS = ["10", "9", "Z", "_x", "a", "a-b", "a.b", "aB", "a_b", "b"]
"""In byte order, which no language sorts by."""


@pytest.fixture
async def tagged(repo: Repository) -> Repository:
    """Give a repository with TAGS, pushed in another order."""
    await repo.push(index())
    for tag in reversed(TAGS):
        await repo.put_manifest(index(), tag)
    return repo


async def test_shape_and_order(tagged: Repository) -> None:
    """200 with name and all tags in byte order, as JSON, without a Link where all are there (63, 64, 68)."""
    answer = await tagged.get("tags/list")
    assert answer.json() == {"name": tagged.name, "tags": TAGS}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert next_page(answer) is None
    assert sorted(TAGS) == TAGS


async def test_unknown_repository(repo: Repository) -> None:
    """A repository that was never pushed to is 404 NAME_UNKNOWN with its name (63, 6.7)."""
    error = refusal(await repo.get("tags/list"), 404, "NAME_UNKNOWN")
    assert error["detail"] == {"name": repo.name}
    refusal(await repo.get("tags/list?n=0"), 404, "NAME_UNKNOWN")


async def test_no_tags(repo: Repository) -> None:
    """A repository without tags has an empty list, not null: with blobs alone, untagged manifests, or after deletes (63)."""
    await repo.upload(blob("base"))
    assert (await repo.get("tags/list")).json() == {"name": repo.name, "tags": []}
    await repo.push(image("app"))
    assert (await repo.get("tags/list")).json()["tags"] == []
    await repo.push(image("app"), "v1")
    await repo.delete("manifests/v1")
    assert (await repo.get("tags/list")).json()["tags"] == []


@pytest.mark.parametrize("n", range(1, 13))
async def test_pages(tagged: Repository, n: int) -> None:
    """Pages have exactly n tags but for the last; the Links lead through all of them once, and then end (65, 66)."""
    answers = await pages(tagged.registry, f"/v2/{tagged.name}/tags/list?n={n}")
    lists = [answer.json()["tags"] for answer in answers]
    assert sum(lists, []) == TAGS
    assert {len(tags) for tags in lists[:-1]} <= {n}
    assert 1 <= len(lists[-1]) <= n


async def test_nothing_of_many(tagged: Repository) -> None:
    """n=0 is an empty list without a Link (65)."""
    answer = await tagged.get("tags/list?n=0")
    assert (answer.json()["tags"], next_page(answer)) == ([], None)


@pytest.mark.parametrize("n", ["10", "11", "1000000", "9" * 18])
async def test_more_than_there_are(tagged: Repository, n: str) -> None:
    """As many as there are, or more: all, and no Link (65)."""
    answer = await tagged.get(f"tags/list?n={n}")
    assert (answer.json()["tags"], next_page(answer)) == (TAGS, None)


@pytest.mark.parametrize(
    "n", ["-1", "", "a", "1.5", "0x1", "1e3", "+1", "%C2%B2", "%D9%A3", "9" * 40, "1%00", "1 "]
)
async def test_n_that_is_none(tagged: Repository, n: str) -> None:
    """What is no number of entries is 400, with a code of the specification (6.7, row 8)."""
    refusal(await tagged.get(f"tags/list?n={n}"), 400, "UNSUPPORTED")


@pytest.mark.parametrize("position", range(len(TAGS)))
async def test_last(tagged: Repository, position: int) -> None:
    """`last` starts behind that tag, with and without n (67)."""
    rest = TAGS[position + 1 :]
    assert (await tagged.get(f"tags/list?last={TAGS[position]}")).json()["tags"] == rest
    assert (await tagged.get(f"tags/list?last={TAGS[position]}&n=2")).json()["tags"] == rest[:2]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("", TAGS),
        ("0", TAGS),
        ("A", TAGS[2:]),
        ("a-a", TAGS[5:]),
        ("zzz", []),
        ("b", []),
        ("%2F", TAGS),
        ("%C3%A9", []),
        ("%F0%9F%98%80", []),
        ("%FF", []),
        ("a%20b'%3B--", TAGS[5:]),
        ("%25", TAGS),
        ("a" * 3000, TAGS[9:]),
    ],
)
async def test_last_need_not_be_a_tag(tagged: Repository, last: str, expected: list[str]) -> None:
    """`last` may be anything: the list starts behind where it would stand in byte order (67)."""
    assert (await tagged.get(f"tags/list?last={last}")).json()["tags"] == expected


@pytest.mark.parametrize("query", ["last=%00", "last=a%00b", "n=1&last=%00", "ns=%00"])
async def test_nul_is_refused(tagged: Repository, query: str) -> None:
    """A NUL character, which no database can compare, is the client's mistake and no fault of ours."""
    answer = await tagged.get(f"tags/list?{query}")
    refusal(answer, 400, "UNSUPPORTED")


async def test_pages_are_clamped(start: Start) -> None:
    """More than lists.page_size_max are never given at once; a Link leads on, with n or without it (6.7, CVE-2023-2253)."""
    repo = (await start({"lists.page_size_max": 4})).repository("app")
    await repo.push(index(), *TAGS)
    for query in ("", "?n=5", f"?n={'9' * 18}"):
        answers = await pages(repo.registry, f"/v2/app/tags/list{query}")
        assert [len(answer.json()["tags"]) for answer in answers] == [4, 4, 2]


async def test_all_without_n(repo: Repository) -> None:
    """Without n a client that follows no Link gets everything of an ordinary repository (68)."""
    tags = sorted(f"v{number}" for number in range(250))
    for start in (0, 100, 200):
        query = "&".join(f"tag={tag}" for tag in tags[start : start + 100])
        await repo.put_manifest(index(), f"{index().digest}?{query}")
    assert await repo.tags() == tags


async def test_tags_that_come_and_go_between_pages(tagged: Repository) -> None:
    """A page starts behind a name, not at a number: what is deleted or pushed in between shifts nothing (66)."""
    first = await tagged.get("tags/list?n=3")
    await tagged.delete("manifests/10")
    await tagged.put_manifest(index(), "00")
    link = next_page(first)
    assert link is not None
    assert (await tagged.get(link)).json()["tags"] == TAGS[3:6]


async def test_head(tagged: Repository) -> None:
    """HEAD is GET without the list."""
    get, head = [await tagged.ask(method, "tags/list?n=2") for method in ("GET", "HEAD")]
    assert head.headers["content-length"] == get.headers["content-length"]
    assert next_page(head) == next_page(get) is not None
