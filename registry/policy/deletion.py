"""What may be deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.oci.errors import BlobReferenced, DeletionDisabled

if TYPE_CHECKING:
    from registry.oci.digest import Digest


def require_enabled(*, enabled: bool) -> None:
    """DeletionDisabled where the operator switched deletion off."""
    if not enabled:
        raise DeletionDisabled


def require_unreferenced(blob: Digest, manifests: list[str]) -> None:
    """BlobReferenced while `manifests` of the repository name the blob: an accepted manifest stays complete."""
    if manifests:
        raise BlobReferenced(blob, manifests)
