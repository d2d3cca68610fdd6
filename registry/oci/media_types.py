"""Media types of manifests and of the layers that nobody may distribute (image-spec, media-types.md)."""

from __future__ import annotations

from typing import Final

OCI_IMAGE: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_ARTIFACT: Final = "application/vnd.oci.artifact.manifest.v1+json"
"""Only in release candidates of image-spec 1.1; tools of that time pushed it."""
DOCKER_IMAGE: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"

IMAGES: Final = frozenset({OCI_IMAGE, DOCKER_IMAGE})
INDEXES: Final = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS: Final = IMAGES | INDEXES | {OCI_ARTIFACT}

DOCKER_SCHEMA_1: Final = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)

_DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign."
_OCI_NONDISTRIBUTABLE_LAYER = "application/vnd.oci.image.layer.nondistributable."


def is_nondistributable(media_type: str) -> bool:
    """Whether content of this type is fetched from elsewhere, so that nobody pushes it."""
    return media_type.startswith((_DOCKER_FOREIGN_LAYER, _OCI_NONDISTRIBUTABLE_LAYER))


def without_parameters(content_type: str) -> str:
    """The media type in a Content-Type header, in lower case (RFC 9110, 8.3.1)."""
    return content_type.partition(";")[0].strip().lower()
