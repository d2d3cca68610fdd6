"""Lists, as a client turns their pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from registry.oci.access import Action, Principal, User
from registry.oci.errors import NameUnknown
from registry.oci.names import RepositoryName
from registry.operations import listing
from registry.operations.registry import Registry
from registry.policy.access import AccessRules
from tests.support.images import CONFIG_TYPE, digest, image, index
from tests.support.registries import ANYBODY, APP, changed, push_blobs, push_manifest

if TYPE_CHECKING:
    from registry.oci.digest import Digest
    from registry.oci.manifest import Manifest

pytestmark = pytest.mark.anyio

TAGS: Final = ["1.0", "1.1", "Latest", "_x", "latest", "v-1"]
NAMES: Final = ["a", "a-b", "a/b", "ab", "b"]


async def push_tags(registry: Registry) -> None:
    """A repository with all the tags."""
    await push_blobs(registry, APP, "config")
    await push_manifest(registry, APP, image(), *TAGS[::-1])


async def push_repositories(registry: Registry) -> None:
    """Repositories, each with a blob."""
    for name in NAMES[::-1]:
        await push_blobs(registry, RepositoryName(name), "config")


# Tags


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 100])
async def test_tags(registry: Registry, size: int) -> None:
    """Page behind page, every tag comes once, and `more` is said exactly where more come."""
    await push_tags(registry)
    entries: list[str] = []
    while True:
        page = await listing.list_tags(registry, APP, entries[-1] if entries else "", size)
        entries += page.entries
        assert page.more is (len(entries) < len(TAGS))
        if not page.more:
            break
        assert len(page.entries) == size
    assert entries == TAGS


async def test_pages_have_a_largest_size(registry: Registry) -> None:
    """Asked for no size, or for too large a one, a page has as many entries as the operator allows."""
    await push_tags(registry)
    small = changed(registry, page_size_max=2)
    for size in (None, 3, 10**17):
        page = await listing.list_tags(small, APP, "", size)
        assert (page.entries, page.more) == (TAGS[:2], True)


async def test_page_of_nothing(registry: Registry) -> None:
    """A page of no entries is empty, and does not say that more come: it would lead to itself."""
    await push_tags(registry)
    page = await listing.list_tags(registry, APP, "", 0)
    assert (page.entries, page.more) == ([], False)
    page = await listing.list_repositories(registry, ANYBODY, "", 0)
    assert (page.entries, page.more) == ([], False)


async def test_tags_of_nothing(registry: Registry) -> None:
    """A repository that is not there is unknown; one without tags has an empty list."""
    with pytest.raises(NameUnknown):
        await listing.list_tags(registry, APP, "", None)
    await push_blobs(registry, APP, "config")
    assert (await listing.list_tags(registry, APP, "", None)).entries == []


# Repositories


@pytest.mark.parametrize("size", [1, 2, 4, 5, 6])
async def test_repositories(registry: Registry, size: int) -> None:
    """Page behind page, every repository comes once, and `more` is said exactly where more come."""
    await push_repositories(registry)
    entries: list[str] = []
    while True:
        page = await listing.list_repositories(registry, ANYBODY, entries[-1] if entries else "", size)
        entries += page.entries
        assert page.more is (len(entries) < len(NAMES))
        if not page.more:
            break
    assert entries == NAMES


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("visible", [[], ["a"], ["b"], ["a-b", "ab"], ["a", "a-b", "b"]])
async def test_hidden_repositories(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, size: int, visible: list[str]
) -> None:
    """Repositories that the principal may not pull from are not listed, and leave no gaps in the pages."""

    def may(_rules: AccessRules, _who: Principal, action: Action, repository: RepositoryName | None) -> bool:
        return action == Action.PULL and repository in visible

    await push_repositories(registry)
    monkeypatch.setattr(listing, "may", may)
    entries: list[str] = []
    while True:
        page = await listing.list_repositories(registry, ANYBODY, entries[-1] if entries else "", size)
        entries += page.entries
        if not page.more:
            break
        assert len(page.entries) == size
    assert entries == visible


async def test_real_rules(registry: Registry) -> None:
    """The rules that the registry runs with decide what is listed."""
    await push_repositories(registry)
    closed = Registry(registry.database, registry.store, AccessRules(open_to_all=False), registry.settings)
    assert (await listing.list_repositories(closed, ANYBODY, "", None)).entries == []
    assert (await listing.list_repositories(closed, User("reader"), "", None)).entries == NAMES


# Referrers

SUBJECT: Final = image("base")


async def push_referrers(registry: Registry, referrers: list[Manifest]) -> None:
    """Referrers with the config that they name."""
    await push_blobs(registry, APP, "config")
    for referrer in referrers:
        await push_manifest(registry, APP, referrer)


async def all_referrers(registry: Registry, artifact_type: str | None = None) -> list[list[Digest]]:
    """The digests on each page."""
    pages: list[list[Digest]] = []
    last = ""
    while True:
        page = await listing.list_referrers(registry, APP, digest(SUBJECT), artifact_type, last)
        pages.append([entry.digest for entry in page.entries])
        if not page.more:
            return pages
        last = pages[-1][-1]


async def test_no_referrers(registry: Registry) -> None:
    """What nothing refers to has an empty list, also where the repository or the subject is not there."""
    assert await all_referrers(registry) == [[]]


async def test_referrers(registry: Registry) -> None:
    """All referrers come, in the order of their digests, of one type where one is asked for."""
    typed = [image(subject=SUBJECT, artifact_type="test/sbom", annotations={"n": str(n)}) for n in range(3)]
    others = [
        image(subject=SUBJECT),
        index(subject=SUBJECT, artifact_type="test/index"),
        index(subject=SUBJECT),
    ]
    await push_referrers(registry, [*typed, *others, image(subject=image("code"))])
    assert await all_referrers(registry) == [sorted(map(digest, [*typed, *others]))]
    assert await all_referrers(registry, "test/sbom") == [sorted(map(digest, typed))]
    assert await all_referrers(registry, CONFIG_TYPE) == [[digest(others[0])]]
    assert await all_referrers(registry, "test/none") == [[]]


@pytest.mark.parametrize("megabytes", [(1, 1), (1, 1, 1, 1), (2, 2, 2), (1, 1, 1, 1, 1, 1, 1)])
async def test_pages_of_referrers_are_small(registry: Registry, megabytes: tuple[int, ...]) -> None:
    """A page holds no more than clients can read at once, and no less than fits."""
    sizes: dict[str, int] = {}
    for number, size in enumerate(megabytes):
        referrer = image(subject=SUBJECT, annotations={"n": f"{number} {'x' * size * 1_000_000}"})
        await push_referrers(registry, [referrer])
        sizes[digest(referrer)] = size
    found = await all_referrers(registry)
    assert sum(found, []) == sorted(sizes)
    totals = [sum(sizes[entry] for entry in page) for page in found]
    assert max(totals) <= 3
    assert all(total + sizes[behind[0]] > 3 for total, behind in zip(totals, found[1:], strict=False))


async def test_large_referrer(registry: Registry) -> None:
    """A referrer that is too large for any page has one for itself."""
    large = image(subject=SUBJECT, annotations={"n": "x" * 3_500_000})
    small = [image(subject=SUBJECT, annotations={"n": str(n)}) for n in range(4)]
    await push_referrers(registry, [large, *small])
    found = await all_referrers(registry)
    assert sum(found, []) == sorted(map(digest, [large, *small]))
    assert all(found)


async def test_many_referrers(registry: Registry) -> None:
    """A page has at most as many entries as the operator allows."""
    referrers = [image(subject=SUBJECT, annotations={"n": str(n)}) for n in range(5)]
    await push_referrers(registry, referrers)
    found = await all_referrers(changed(registry, page_size_max=2))
    assert [len(page) for page in found] == [2, 2, 1]
    assert sum(found, []) == sorted(map(digest, referrers))
