"""Content for tests by symbolic names: an image called "app" with layers "base" and "code"; digests are filled in."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
EMPTY_JSON = "application/vnd.oci.empty.v1+json"

NOWHERE = f"sha256:{'0' * 64}"
"""A well-formed digest of no content."""


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """The digest of the content."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


@dataclass(frozen=True)
class Blob:
    """Bytes that a manifest can name."""

    content: bytes
    media_type: str = OCI_LAYER
    algorithm: str = "sha256"

    @property
    def digest(self) -> str:
        """What the bytes hash to."""
        return digest_of(self.content, self.algorithm)

    def descriptor(self, **more: Any) -> dict[str, Any]:
        """How a manifest names it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content), **more}


@dataclass(frozen=True)
class Manifest:
    """A manifest or index, with what it names."""

    content: bytes
    media_type: str
    blobs: tuple[Blob, ...] = ()
    children: tuple[Manifest, ...] = ()
    algorithm: str = "sha256"

    @property
    def digest(self) -> str:
        """What the bytes hash to."""
        return digest_of(self.content, self.algorithm)

    @property
    def document(self) -> dict[str, Any]:
        """What the bytes say."""
        document: dict[str, Any] = json.loads(self.content)
        return document

    def descriptor(self, **more: Any) -> dict[str, Any]:
        """How an index, or a referrer, names it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content), **more}

    def by(self, algorithm: str) -> Manifest:
        """The same bytes, named by another algorithm's digest."""
        return replace(self, algorithm=algorithm)

    def saying(self, **changes: Any) -> Manifest:
        """The same with other fields; None takes one away."""
        document = self.document | changes
        kept = {key: value for key, value in document.items() if value is not None}
        return replace(self, content=json.dumps(kept).encode())


def blob(name: str, size: int | None = None, media_type: str = OCI_LAYER, algorithm: str = "sha256") -> Blob:
    """The blob of this name: its bytes are the name, or `size` random ones that the name decides."""
    content = name.encode() if size is None else random.Random(name).randbytes(size)  # noqa: S311 (no secret)
    return Blob(content, media_type, algorithm)


def image(
    name: str,
    layers: Sequence[str | Blob] = ("base", "code"),
    *,
    config_type: str = OCI_CONFIG,
    media_type: str = OCI_IMAGE,
    subject: Manifest | None = None,
    **fields: Any,
) -> Manifest:
    """The image of this name; `fields` are more fields of its manifest."""
    config = Blob(json.dumps({"name": name}).encode(), config_type)
    blobs = [layer if isinstance(layer, Blob) else blob(layer) for layer in layers]
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config.descriptor(),
        "layers": [layer.descriptor() for layer in blobs],
        **_subject(subject),
        **fields,
    }
    return Manifest(json.dumps(document).encode(), media_type, (config, *blobs))


def index(
    children: Sequence[Manifest] = (),
    *,
    media_type: str = OCI_INDEX,
    subject: Manifest | None = None,
    **fields: Any,
) -> Manifest:
    """An index of these manifests."""
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": [child.descriptor() for child in children],
        **_subject(subject),
        **fields,
    }
    return Manifest(json.dumps(document).encode(), media_type, children=tuple(children))


def artifact(name: str, subject: Manifest | None = None, **fields: Any) -> Manifest:
    """An image manifest that is no image: an artifact with the empty config and one blob."""
    config = Blob(b"{}", EMPTY_JSON)
    content = blob(name)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": config.descriptor(),
        "layers": [content.descriptor()],
        **_subject(subject),
        **fields,
    }
    return Manifest(json.dumps(document).encode(), OCI_IMAGE, (config, content))


def of_size(manifest: Manifest, size: int) -> Manifest:
    """The manifest, filled up to exactly `size` bytes by an annotation."""
    empty = manifest.saying(annotations={"filler": ""})
    return manifest.saying(annotations={"filler": "x" * (size - len(empty.content))})


def _subject(subject: Manifest | None) -> Mapping[str, Any]:
    return {} if subject is None else {"subject": subject.descriptor()}
