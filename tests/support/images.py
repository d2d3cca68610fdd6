"""Content by symbolic names: a blob called "base", an image that names it. Digests are filled in here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from registry.oci.digest import Digest
from registry.oci.manifest import Manifest
from registry.oci.media_types import OCI_IMAGE, OCI_INDEX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+gzip"


def blob(name: str) -> bytes:
    """The content of the blob called `name`."""
    return f"the content of {name}".encode()


def blob_digest(name: str) -> Digest:
    """The digest of the blob called `name`."""
    return Digest.of(blob(name))


def digest(manifest: Manifest) -> Digest:
    """The digest of a manifest."""
    return Digest.of(manifest.content)


def image(
    *layers: str,
    config: str = "config",
    subject: Manifest | None = None,
    artifact_type: str | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """An image whose config and layers are the blobs of these names."""
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": _descriptor(CONFIG_TYPE, blob(config)),
        "layers": [_descriptor(LAYER_TYPE, blob(layer)) for layer in layers],
    }
    return _manifest(document, subject, artifact_type, annotations)


def index(
    *children: Manifest,
    subject: Manifest | None = None,
    artifact_type: str | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """An index of these manifests."""
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [_descriptor(child.media_type, child.content) for child in children],
    }
    return _manifest(document, subject, artifact_type, annotations)


def names_of(manifest: Manifest, names: Sequence[str]) -> set[str]:
    """Those of the names whose blobs the manifest names."""
    named = {descriptor.digest for descriptor in manifest.blobs}
    return {name for name in names if blob_digest(name) in named}


def _manifest(
    document: dict[str, Any],
    subject: Manifest | None,
    artifact_type: str | None,
    annotations: Mapping[str, str] | None,
) -> Manifest:
    if subject is not None:
        document["subject"] = _descriptor(subject.media_type, subject.content)
    if artifact_type is not None:
        document["artifactType"] = artifact_type
    if annotations is not None:
        document["annotations"] = dict(annotations)
    return Manifest.parse(json.dumps(document).encode(), document["mediaType"])


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": Digest.of(content), "size": len(content)}
