"""The images that ci/clients/images.sh built, and what is in them according to their OCI layout."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .tools import TOOLS

IMAGES = TOOLS / "images"


@dataclass(frozen=True)
class Image:
    """One image of the layout: its digest, the digests of its uncompressed layers, and where clients read it."""

    name: str
    digest: str
    diff_ids: list[str]

    @property
    def layout(self) -> str:
        """Name it as skopeo, podman and buildah do."""
        return f"oci:{IMAGES}/oci:{self.name}"

    @property
    def archive(self) -> str:
        """Return the path of the archive that `docker load` and `crane push` take."""
        return str(IMAGES / f"{self.name}.tar")


def image(name: str) -> Image:
    """Return busybox-amd64, busybox-arm64, busybox-multi (an index: no layers), debian or five."""
    assert IMAGES.is_dir(), "no images: run ci/clients/images.sh"
    index = json.loads((IMAGES / "oci" / "index.json").read_bytes())
    digest = next(
        entry["digest"]
        for entry in index["manifests"]
        if entry["annotations"]["org.opencontainers.image.ref.name"] == name
    )
    manifest = _blob(digest)
    diff_ids = _blob(manifest["config"]["digest"])["rootfs"]["diff_ids"] if "config" in manifest else []
    return Image(name, digest, diff_ids)


def big_sha256() -> str:
    """Return the hash of /data/big.bin in the image called five: its layer of 120 MB of random bytes."""
    return (IMAGES / "big.sha256").read_text().strip()


def _blob(digest: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((IMAGES / "oci/blobs" / digest.replace(":", "/")).read_bytes())
    return document
