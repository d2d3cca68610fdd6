"""What a store that has grown holds: so many of everything that is listed, and 100 referrers of one digest."""

from __future__ import annotations

from typing import Final

ENTRIES: Final = (1000, 10_000, 100_000, 1_000_000)
"""There is a store with so many repositories, one of which has so many tags and manifests, for each of these."""
PAGE: Final = 100
REFERRERS: Final = 100
"""They are spread evenly over the manifests of their repository."""
REPOSITORY: Final = "grown/app"
SUBJECT: Final = f"sha256:{'5' * 64}"


def tag(number: int) -> str:
    """A tag's name; grown_rows.py writes the same."""
    return f"build-{number:07}"


def repository(number: int) -> str:
    """A repository's name; grown_rows.py writes the same."""
    return f"many/app-{number:07}"


def pages(entries: int) -> dict[str, str]:
    """Where pages of 100 are, behind /v2/: the first of a list, one from its middle, its last."""
    tags, catalog = f"{REPOSITORY}/tags/list?n={PAGE}", f"_catalog?n={PAGE}"
    middle, last = entries // 2, entries - PAGE - 1  # behind these
    return {
        "tags-first": tags,
        "tags-middle": f"{tags}&last={tag(middle)}",
        "tags-last": f"{tags}&last={tag(last)}",
        "catalog-first": catalog,
        "catalog-middle": f"{catalog}&last={repository(middle)}",
        "catalog-last": f"{catalog}&last={repository(last)}",
        "referrers": f"{REPOSITORY}/referrers/{SUBJECT}",
    }
