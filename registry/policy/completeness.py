"""Whether a manifest may be accepted, by what is there of the content that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.oci.errors import ManifestBlobUnknown, ManifestSizesWrong

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from registry.oci.digest import Digest
    from registry.oci.manifest import Descriptor


def require_complete(missing: Iterable[Digest], *, allow_missing: bool) -> bool:
    """Whether nothing is missing; ManifestBlobUnknown where something is and `allow_missing` does not hold."""
    digests = sorted(set(missing))
    if digests and not allow_missing:
        raise ManifestBlobUnknown([str(digest) for digest in digests])
    return not digests


def require_sizes(named: Iterable[Descriptor], sizes: Mapping[Digest, int]) -> None:
    """ManifestSizesWrong where what is there has another size than the manifest says: clients would not take it."""
    wrong = {
        (content.digest, content.size, sizes[content.digest])
        for content in named
        if sizes.get(content.digest, content.size) != content.size
    }
    if wrong:
        raise ManifestSizesWrong(sorted(wrong))
