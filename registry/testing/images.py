"""Makes the bytes of layers, configurations and manifests: the same ones every time and everywhere."""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from gzip import decompress as unpack
from typing import Any, Final, Literal

from registry.oci import media_types
from registry.testing.content import Blob, File

Layer = Mapping[str, "bytes | str | File"] | bytes | int
"""Files by path; or the exact bytes of a layer; or the size of a file of random bytes."""
Format = Literal["oci", "docker"]

EMPTY: Final = Blob(b"{}", "application/vnd.oci.empty.v1+json")
EPOCH: Final = "1970-01-01T00:00:00Z"
_GZIP_HEADER: Final = b"\x1f\x8b\x08" + bytes(6) + b"\xff"  # no name, no time, no system
_STORED_BYTES_MAX: Final = 0xFFFF


@dataclass(frozen=True)
class _Types:
    manifest: str
    index: str
    config: str
    layer: str
    layer_gzip: str


_TYPES: Final[Mapping[Format, _Types]] = {
    "oci": _Types(
        media_types.OCI_IMAGE,
        media_types.OCI_INDEX,
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
    ),
    "docker": _Types(
        media_types.DOCKER_IMAGE,
        media_types.DOCKER_LIST,
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ),
}


def layer(content: Layer, form: Format) -> tuple[Blob, str]:
    """A layer, and its diff id: the digest of what is in it once it is unpacked (image-spec, config.md)."""
    if isinstance(content, bytes):
        unpacked = _unpacked(content)
        media_type = _TYPES[form].layer if unpacked is None else _TYPES[form].layer_gzip
        return Blob(content, media_type), _digest(content if unpacked is None else unpacked)
    if isinstance(content, int):
        content = {"random": random.Random(content).randbytes(content)}  # noqa: S311 (no secret)
    archive = tar(content)
    return Blob(gzip(archive), _TYPES[form].layer_gzip), _digest(archive)


def config(platform: str, settings: Mapping[str, Any], diff_ids: list[str], form: Format) -> Blob:
    """An image's configuration; `platform` is os/architecture or os/architecture/variant."""
    system, architecture, *variant = platform.split("/")
    document = {
        "created": EPOCH,
        "architecture": architecture,
        "os": system,
        **({"variant": variant[0]} if variant else {}),
        "config": dict(settings),
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": EPOCH, "created_by": "registry.testing"} for _ in diff_ids],
    }
    return Blob(_json(document), _TYPES[form].config)


def manifest(config: Blob, layers: tuple[Blob, ...], more: Mapping[str, Any], form: Format = "oci") -> Blob:
    """An image manifest; `more` are further fields of it."""
    document = {
        "schemaVersion": 2,
        "mediaType": _TYPES[form].manifest,
        "config": config.descriptor,
        "layers": [layer.descriptor for layer in layers],
        **more,
    }
    return Blob(_json(document), _TYPES[form].manifest)


def index(descriptors: list[dict[str, Any]], more: Mapping[str, Any], form: Format) -> Blob:
    """An index of these manifests."""
    document = {"schemaVersion": 2, "mediaType": _TYPES[form].index, "manifests": descriptors, **more}
    return Blob(_json(document), _TYPES[form].index)


def tar(files: Mapping[str, bytes | str | File]) -> bytes:
    """An archive of the files, which belong to root and are as old as Unix."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as writer:
        for path, given in files.items():
            file = (
                given
                if isinstance(given, File)
                else File(given.encode() if isinstance(given, str) else given)
            )
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(file.content), file.mode
            writer.addfile(entry, io.BytesIO(file.content))
    return archive.getvalue()


def gzip(content: bytes) -> bytes:
    """The content as gzip (RFC 1952) that compresses nothing: what a compressor makes depends on its version.

    >>> import zlib
    >>> zlib.decompress(gzip(b"hello"), wbits=31)
    b'hello'
    """
    pieces = [
        content[start : start + _STORED_BYTES_MAX] for start in range(0, len(content), _STORED_BYTES_MAX)
    ] or [b""]
    blocks = [  # RFC 1951, 3.2.4
        struct.pack("<BHH", number == len(pieces), len(piece), len(piece) ^ _STORED_BYTES_MAX) + piece
        for number, piece in enumerate(pieces, 1)
    ]
    trailer = struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF)
    return b"".join([_GZIP_HEADER, *blocks, trailer])


def _unpacked(content: bytes) -> bytes | None:
    """What is in it where it is gzip, else None."""
    try:
        return unpack(content)
    except (OSError, EOFError, zlib.error):
        return None


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
