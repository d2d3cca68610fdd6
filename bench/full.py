"""What a full store holds: the names that the lists of 100,000 entries are made of."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TAGS = (100, 1000, 10_000, 100_000)
"""There is a repository with so many tags for each of these."""
REPOSITORIES = 100_000
MEDIA_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST = b'{"schemaVersion":2,"mediaType":"%s","manifests":[]}' % MEDIA_TYPE.encode()
"""All tags point to this one: an index of nothing, which needs no blobs."""
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"


def tagged(count: int) -> str:
    """The repository with so many tags."""
    return f"tagged/{count}"


def tag(number: int) -> str:
    """A tag's name."""
    return f"build-{number:06}"


def repository(number: int) -> str:
    """A repository's name."""
    return f"many/app-{number:06}"


def repositories(count: int = REPOSITORIES) -> Iterator[str]:
    """Those that are there to be listed."""
    return (repository(number) for number in range(count))
