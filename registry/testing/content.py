"""What a test pushes and finds: blobs, manifests, images, indexes, artifacts, each with its exact bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from registry.oci.digest import Digest


@dataclass(frozen=True)
class File:
    """A file in a layer; `mode` as for chmod."""

    content: bytes
    mode: int = 0o644


@dataclass(frozen=True)
class Blob:
    """Bytes, and the type under which a manifest names them."""

    content: bytes = field(repr=False)
    media_type: str

    @cached_property
    def digest(self) -> str:
        """What the bytes hash to."""
        return Digest.of(self.content)

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self.content)

    @property
    def descriptor(self) -> dict[str, Any]:
        """How a manifest names it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True)
class Manifest:
    """A manifest of any kind in a repository; `tag` is None for one that has only its digest."""

    host: str
    repository: str
    tag: str | None
    blob: Blob

    @property
    def name(self) -> str:
        """What a client is given to pull it: HOST/REPOSITORY:TAG, or with its digest."""
        return f"{self.host}/{self.repository}:{self.tag}" if self.tag else self.name_with_digest

    @property
    def name_with_digest(self) -> str:
        """HOST/REPOSITORY@DIGEST."""
        return f"{self.host}/{self.repository}@{self.digest}"

    @property
    def digest(self) -> str:
        """What the bytes hash to."""
        return self.blob.digest

    @property
    def media_type(self) -> str:
        """The type that it was pushed with."""
        return self.blob.media_type

    @property
    def content(self) -> bytes:
        """The exact bytes."""
        return self.blob.content

    @property
    def document(self) -> dict[str, Any]:
        """What the bytes say."""
        document: dict[str, Any] = json.loads(self.content)
        return document

    @property
    def descriptor(self) -> dict[str, Any]:
        """How an index, or a referrer's subject, names it."""
        return self.blob.descriptor


@dataclass(frozen=True)
class Image(Manifest):
    """An image for one platform."""

    config: Blob
    layers: tuple[Blob, ...]

    @property
    def platform(self) -> dict[str, str]:
        """The platform as an index says it."""
        config = json.loads(self.config.content)
        return {key: config[key] for key in ("architecture", "os", "variant") if key in config}


@dataclass(frozen=True)
class Index(Manifest):
    """An index: images for several platforms, mostly."""

    manifests: tuple[Manifest, ...]

    @property
    def images(self) -> tuple[Image, ...]:
        """Those of its manifests that are images."""
        return tuple(one for one in self.manifests if isinstance(one, Image))


@dataclass(frozen=True)
class Artifact(Manifest):
    """Something that is no image: a signature, a list of materials, a chart."""

    blobs: tuple[Blob, ...]
