"""Whether a manifest may name what is not there."""

from __future__ import annotations

import pytest

from registry.oci.digest import Digest
from registry.oci.errors import ManifestBlobUnknown, ManifestSizesWrong
from registry.oci.manifest import Descriptor
from registry.policy.completeness import require_complete, require_sizes

ONE, TWO = sorted([Digest.of(b"1"), Digest.of(b"2")])


@pytest.mark.parametrize("allow_missing", [False, True])
def test_nothing_is_missing(allow_missing: bool) -> None:  # noqa: FBT001
    """A manifest that lacks nothing is complete."""
    assert require_complete([], allow_missing=allow_missing) is True


def test_missing_is_refused() -> None:
    """What is missing is named, each digest once and in order."""
    with pytest.raises(ManifestBlobUnknown) as caught:
        require_complete([TWO, ONE, TWO], allow_missing=False)
    assert caught.value.digests == [ONE, TWO]


def test_missing_is_allowed() -> None:
    """Where the operator allows it, the manifest is taken, and known to be incomplete."""
    assert require_complete([ONE], allow_missing=True) is False


def test_sizes() -> None:
    """What is there must have the size that is given for it; what is not there has none to compare."""
    named = [Descriptor("a/b", ONE, 1), Descriptor("a/b", TWO, 2)]
    require_sizes(named, {ONE: 1, TWO: 2})
    require_sizes(named, {ONE: 1})
    with pytest.raises(ManifestSizesWrong) as caught:
        require_sizes([*named, *named], {ONE: 1, TWO: 7})
    assert caught.value.wrong == [(TWO, 2, 7)]
