"""What is measured: one case for each path of the protocol, size and number of clients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

KIB, MIB, GIB = 1024, 1024**2, 1024**3
SIZES = {"78": 78, "1k": KIB, "1m": MIB, "100m": 100 * MIB, "200m": 200 * MIB, "1g": GIB}
REPOSITORY = "bench/filled-0"
"""Where the load generator's first client pushes its images, told to push to bench/filled."""
ACCEPT = "Accept: application/vnd.oci.image.manifest.v1+json\r\n"
MANY = 64
"""Clients of the cases that ask for how much a server can do at most."""


@dataclass
class Known:
    """Digests of what a filled store holds: blobs by size, and the manifest behind the tag `latest`."""

    manifest: str = ""
    blobs: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """Work for the load generator. `requests` (of a get) are made once the digests are known."""

    name: str
    job: dict[str, Any]
    clients: int = 1
    requests: Callable[[Known], list[dict[str, Any]]] | None = None
    blob: int = 0
    """The size of the blob that a filled store must hold."""
    prepare: dict[str, Any] | None = None
    """A job that is done in an empty store before."""
    quick: bool = True


def all_cases() -> list[Case]:
    """Every case, in the order in which they are measured."""
    return [*tiny(), *blobs(), *uploads()]


def tiny() -> list[Case]:
    """Requests whose answers are small."""
    manifests = [
        get(f"manifest-{method.lower()}-{by}", method, path, headers=ACCEPT)
        for method in ("GET", "HEAD")
        for by, path in (("tag", by_tag), ("digest", by_digest))
    ]
    return [
        get("v2", "GET", None),
        *manifests,
        get("blob-head", "HEAD", blob_path(78), blob=78),
        get("blob-get-78", "GET", blob_path(78), blob=78),
    ]


def blobs() -> list[Case]:
    """Downloads."""
    return [get("blob-get-100m", "GET", blob_path(100 * MIB), clients=1, blob=100 * MIB)]


def uploads() -> list[Case]:
    """Uploads of content that is not there yet."""
    return [
        Case(
            f"upload-{way}-{size}",
            {"operation": "upload", "way": way, "size": SIZES[size], "repository": "bench/upload"},
        )
        for way in ("monolithic", "streamed")
        for size in ("1k", "1m", "200m")
    ]


def by_tag(_known: Known) -> str:
    """Where the manifest is, by its tag."""
    return "manifests/latest"


def by_digest(known: Known) -> str:
    """Where the manifest is, by its digest."""
    return f"manifests/{known.manifest}"


def blob_path(size: int) -> Callable[[Known], str]:
    """Where the blob of that size is."""
    return lambda known: f"blobs/{known.blobs[size]}"


def get(
    name: str,
    method: str,
    path: Callable[[Known], str] | None,
    *,
    clients: int = MANY,
    headers: str = "",
    blob: int = 0,
) -> Case:
    """The same request again and again; without a path it is for /v2/."""

    def requests(known: Known) -> list[dict[str, Any]]:
        whole = f"/v2/{REPOSITORY}/{path(known)}" if path else "/v2/"
        return [{"method": method, "path": whole, "headers": headers, "status": 200}]

    return Case(name, {"operation": "get"}, clients, requests, blob)
