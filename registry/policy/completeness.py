"""Whether a manifest may be accepted although it names content that is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.oci.errors import ManifestBlobUnknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.oci.digest import Digest


def require_complete(missing: Iterable[Digest], *, allow_missing: bool) -> bool:
    """Whether nothing is missing; ManifestBlobUnknown where something is and `allow_missing` does not hold."""
    digests = sorted(set(missing))
    if digests and not allow_missing:
        raise ManifestBlobUnknown([str(digest) for digest in digests])
    return not digests
