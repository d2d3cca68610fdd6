"""`/v2/_catalog`: the names of all repositories that the caller may pull from, in pages (6.7)."""

from __future__ import annotations

import pytest

from registry.oci.access import Action, Principal
from registry.oci.names import RepositoryName
from registry.operations import listing
from registry.policy.access import AccessRules
from tests.api.conftest import Start
from tests.support.content import blob
from tests.support.http import Registry, next_page, pages, refusal

pytestmark = pytest.mark.anyio

NAMES = ["0", "a", "a-b", "a.b", "a/b", "a/b/c", "a_b", "aa", "b/tags/list", "z"]
"""In byte order: '-' < '.' < '/' < digits < '_' < letters."""


@pytest.fixture
async def filled(registry: Registry) -> Registry:
    """Give a registry with the repositories NAMES."""
    if not (await registry.get("/v2/_catalog?n=1")).json()["repositories"]:
        for name in reversed(NAMES):
            await registry.repository(name).upload(blob("base"))
    return registry


async def test_shape_and_order(filled: Registry) -> None:
    """200 with all names in byte order, as JSON, without a Link where all are there."""
    answer = await filled.get("/v2/_catalog")
    assert answer.json() == {"repositories": NAMES}
    assert answer.headers["content-type"] == "application/json"
    assert next_page(answer) is None
    assert sorted(NAMES) == NAMES


async def test_empty_registry(start: Start) -> None:
    """A registry without repositories has an empty list; sessions and refused pushes add none."""
    registry = await start()
    await registry.repository("app").start()
    assert (await registry.get("/v2/_catalog")).json() == {"repositories": []}


@pytest.mark.parametrize("n", range(1, 12))
async def test_pages(filled: Registry, n: int) -> None:
    """Pages have exactly n names but for the last; the Links lead through all of them once, slashes encoded."""
    lists = [answer.json()["repositories"] for answer in await pages(filled, f"/v2/_catalog?n={n}")]
    assert sum(lists, []) == NAMES
    assert {len(names) for names in lists[:-1]} <= {n}


async def test_nothing_of_many(filled: Registry) -> None:
    """n=0 is an empty list without a Link."""
    answer = await filled.get("/v2/_catalog?n=0")
    assert (answer.json(), next_page(answer)) == ({"repositories": []}, None)


@pytest.mark.parametrize("n", ["-1", "", "a", "9" * 40, "%00"])
async def test_n_that_is_none(filled: Registry, n: str) -> None:
    """What is no number of entries is 400."""
    refusal(await filled.get(f"/v2/_catalog?n={n}"), 400, "UNSUPPORTED")


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("a", NAMES[2:]),
        ("a%2Fb", NAMES[5:]),
        ("a/a", NAMES[4:]),
        ("zz", []),
        ("A", NAMES[1:]),
        ("%C3%BC", []),
    ],
)
async def test_last(filled: Registry, last: str, expected: list[str]) -> None:
    """`last` starts behind where that name stands or would stand, with and without n."""
    assert (await filled.get(f"/v2/_catalog?last={last}")).json()["repositories"] == expected
    assert (await filled.get(f"/v2/_catalog?n=1&last={last}")).json()["repositories"] == expected[:1]


async def test_pages_are_clamped(start: Start) -> None:
    """More than lists.page_size_max are never given at once, with n or without it."""
    registry = await start({"lists.page_size_max": 4})
    for name in NAMES:
        await registry.repository(name).upload(blob("base"))
    for query in ("", "?n=100"):
        answers = await pages(registry, f"/v2/_catalog{query}")
        assert [len(answer.json()["repositories"]) for answer in answers] == [4, 4, 2]


@pytest.mark.parametrize("n", ["", "?n=1", "?n=2", "?n=3"])
async def test_only_what_may_be_pulled(filled: Registry, monkeypatch: pytest.MonkeyPatch, n: str) -> None:
    """Names that the caller may not pull from are left out, and leave no gap in a page (6.7)."""

    def may(
        rules: AccessRules, principal: Principal, action: Action, repository: RepositoryName | None
    ) -> bool:
        return not str(repository).startswith("a")

    monkeypatch.setattr(listing, "may", may)
    lists = [answer.json()["repositories"] for answer in await pages(filled, f"/v2/_catalog{n}")]
    assert sum(lists, []) == ["0", "b/tags/list", "z"]
    assert all(lists)
