"""Manifests and indexes: what a pushed document says, checked once (image-spec, manifest.md and image-index.md)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

from registry.oci import media_types
from registry.oci.digest import Digest
from registry.oci.errors import DigestInvalid, ManifestInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEMA_VERSION = 2
_SIZE_MAX = 2**63 - 1
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A pointer to content (image-spec, descriptor.md); `size` in bytes."""

    media_type: str
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Referrer(Descriptor):
    """A descriptor in a referrers list (spec.md, Listing Referrers); the annotations are the manifest's own."""

    artifact_type: str | None
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A valid manifest: the exact bytes, and what the registry needs to know of them.

    `blobs` are the blobs that must be in the repository, `manifests` the children of an index. `artifact_type` is
    what a referrers list shows (spec.md, Listing Referrers): the config's media type where an image names none.
    """

    content: bytes = field(repr=False)
    media_type: str
    blobs: tuple[Descriptor, ...]
    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None
    artifact_type: str | None
    annotations: Mapping[str, str]

    @classmethod
    def parse(cls, content: bytes, content_type: str | None) -> Manifest:
        """What `content`, pushed as `content_type`, says; else ManifestInvalid."""
        document = _load(content)
        blobs: tuple[Descriptor, ...] = ()
        manifests: tuple[Descriptor, ...] = ()
        media_type = _media_type(document, content_type)
        if media_type in media_types.INDEXES:
            _must_not_have(document, media_type, "layers", "config", "fsLayers", "blobs")
            manifests = _descriptors(document, "manifests", required=True)
        elif media_type in media_types.IMAGES:
            _must_not_have(document, media_type, "manifests", "fsLayers", "blobs")
            config = _descriptor(document.get("config"), "config")
            blobs = (config, *_descriptors(document, "layers", required=True))
        else:
            _must_not_have(document, media_type, "manifests", "layers", "config", "fsLayers")
            blobs = _descriptors(document, "blobs", required=False)
        _check_schema_version(document, media_type)
        return cls(
            content=content,
            media_type=media_type,
            blobs=tuple(blob for blob in blobs if not media_types.is_nondistributable(blob.media_type)),
            manifests=manifests,
            subject=None if document.get("subject") is None else _descriptor(document["subject"], "subject"),
            artifact_type=_artifact_type(document, media_type),
            annotations=_annotations(document),
        )


def _load(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ManifestInvalid("the manifest is nested too deeply") from None
    except ValueError as error:
        raise ManifestInvalid(f"the manifest is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise ManifestInvalid("a manifest is a JSON object")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # A key twice is read differently by different parsers: the ambiguity of CVE-2021-41190 by another way.
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _media_type(document: dict[str, Any], content_type: str | None) -> str:
    """The type that header and document agree on: different ones make a document ambiguous (CVE-2021-41190)."""
    inner = document.get("mediaType")
    if inner is not None and not isinstance(inner, str):
        raise ManifestInvalid("mediaType must be a string")
    outer = media_types.without_parameters(content_type) if content_type else ""
    if inner and outer and inner != outer:
        raise ManifestInvalid(
            f"the Content-Type header says {outer}, the manifest's mediaType {inner}; they must be the same"
        )
    media_type = outer or inner
    if _is_schema_1(document, media_type):
        raise ManifestInvalid(
            "Docker schema 1 manifests are not accepted, since their content cannot be verified; push the image again"
            " with Docker 1.10 or newer, or convert it: skopeo copy --format v2s2"
        )
    if not media_type:
        raise ManifestInvalid("the type of the manifest is missing: send it as the Content-Type header")
    if media_type not in media_types.MANIFESTS:
        raise ManifestInvalid(
            f"{media_type[:255]} is not a type of manifest; an artifact is pushed as {media_types.OCI_IMAGE} with an"
            " artifactType",
            {"accepted": sorted(media_types.MANIFESTS)},
        )
    return media_type


def _is_schema_1(document: dict[str, Any], media_type: str | None) -> bool:
    """By its type; or, as old tools send it, as plain JSON or without one."""
    if media_type in media_types.DOCKER_SCHEMA_1:
        return True
    return media_type not in media_types.MANIFESTS and document.get("schemaVersion") == 1


def _must_not_have(document: dict[str, Any], media_type: str, *keys: str) -> None:
    for key in keys:
        if document.get(key) is not None:
            raise ManifestInvalid(
                f"a manifest of type {media_type} must not have {key}, it would be ambiguous"
            )


def _check_schema_version(document: dict[str, Any], media_type: str) -> None:
    if media_type == media_types.OCI_ARTIFACT:
        return
    version = document.get("schemaVersion")
    if version != _SCHEMA_VERSION or isinstance(version, bool):
        raise ManifestInvalid("schemaVersion must be 2")


def _descriptors(document: dict[str, Any], key: str, *, required: bool) -> tuple[Descriptor, ...]:
    values = document.get(key)
    if values is None and not required:
        return ()
    if not isinstance(values, list):
        raise ManifestInvalid(f"{key} must be a list of descriptors (an empty one is fine)")
    return tuple(_descriptor(value, f"{key}[{number}]") for number, value in enumerate(values))


def _descriptor(value: object, where: str) -> Descriptor:
    if not isinstance(value, dict):
        raise ManifestInvalid(f"{where} must be a descriptor: an object with mediaType, digest and size")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not _is_media_type(media_type):
        raise ManifestInvalid(
            f"{where}.mediaType must be a media type: printable ASCII, at most 255 characters"
        )
    if not isinstance(digest, str):
        raise ManifestInvalid(f"{where}.digest must be a string")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _SIZE_MAX:
        raise ManifestInvalid(f"{where}.size must be a number of bytes")
    try:
        return Descriptor(media_type, Digest.parse_foreign(digest), size)
    except DigestInvalid as error:
        raise ManifestInvalid(f"{where}.digest: {error.message}") from None


def _is_media_type(value: object) -> TypeGuard[str]:
    # No allow-list and no grammar, only what every database and every header can hold.
    return isinstance(value, str) and _PRINTABLE.fullmatch(value) is not None


def _artifact_type(document: dict[str, Any], media_type: str) -> str | None:
    artifact_type = document.get("artifactType")
    if artifact_type and not _is_media_type(artifact_type):
        raise ManifestInvalid("artifactType must be a media type: printable ASCII, at most 255 characters")
    if not artifact_type and media_type in media_types.IMAGES:
        return str(document["config"]["mediaType"])
    return artifact_type or None


def _annotations(document: dict[str, Any]) -> dict[str, str]:
    annotations = document.get("annotations")
    if annotations is None:
        return {}
    if not isinstance(annotations, dict) or not all(isinstance(value, str) for value in annotations.values()):
        raise ManifestInvalid("annotations must be an object of strings")
    return annotations
