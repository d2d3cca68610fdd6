"""Media types: which are manifests, and what a Content-Type header says."""

from __future__ import annotations

import pytest

from registry.oci import media_types


def test_kinds_do_not_overlap() -> None:
    """No type is an image and an index at once, and schema 1 is neither."""
    assert not media_types.IMAGES & media_types.INDEXES
    assert not media_types.MANIFESTS & media_types.DOCKER_SCHEMA_1
    assert len(media_types.MANIFESTS) == 5


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", True),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", True),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", True),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", False),
        ("application/vnd.oci.image.layer.v1.tar+gzip", False),
        ("", False),
    ],
)
def test_nondistributable(media_type: str, expected: bool) -> None:  # noqa: FBT001
    """Layers that nobody may distribute are known by their types, of Docker and of OCI."""
    assert media_types.is_nondistributable(media_type) is expected


@pytest.mark.parametrize("header", ["a/b", "A/B", " a/b ", "a/b;charset=utf-8", "a/b ; x=y; z"])
def test_without_parameters(header: str) -> None:
    """The type is what stands before the parameters, in lower case."""
    assert media_types.without_parameters(header) == "a/b"
