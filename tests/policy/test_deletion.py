"""What may be deleted."""

from __future__ import annotations

import pytest

from registry.oci.digest import Digest
from registry.oci.errors import BlobReferenced, DeletionDisabled
from registry.policy.deletion import require_enabled, require_unreferenced

BLOB = Digest.of(b"")


def test_deletion_can_be_switched_off() -> None:
    """Where deletion is off, every deletion is refused; where it is on, none is for that."""
    require_enabled(enabled=True)
    with pytest.raises(DeletionDisabled, match=r"deletion\.enabled"):
        require_enabled(enabled=False)


def test_named_blob_stays() -> None:
    """A blob that manifests name is not deleted, and they are told; one that none names may go."""
    require_unreferenced(BLOB, [])
    with pytest.raises(BlobReferenced) as caught:
        require_unreferenced(BLOB, ["sha256:one"])
    assert caught.value.detail == {"digest": BLOB, "manifests": ["sha256:one"]}
