"""What is measured: one case for each path of the protocol, size and number of clients."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from bench import full, grown

if TYPE_CHECKING:
    from collections.abc import Callable

KIB, MIB, GIB = 1024, 1024**2, 1024**3
SIZES = {"78": 78, "1k": KIB, "1m": MIB, "100m": 100 * MIB, "200m": 200 * MIB, "1g": GIB, "10g": 10 * GIB}
REPOSITORY = "bench/filled-0"
"""Where the load generator's first client pushes its images, told to push to bench/filled."""
ACCEPT = "Accept: application/vnd.oci.image.manifest.v1+json\r\n"
ACCEPT_INDEX = f"Accept: {full.MEDIA_TYPE}\r\n"
MANY = 64
"""Clients of the cases that ask for how much a server can do at most."""
IMAGE = {
    "operation": "push-image",
    "repository": "bench/image",
    "size": 256 * KIB,
    "layers": 10,
    "first": 1,
}
PRESENT = {**IMAGE, "kind": "present"}

Kind = Literal["read", "write", "memory", "start", "list", "start-full", "grown"]
"""`read`: on a store with a few things in it, `write` into an empty one, `memory` while that is done, `start` on an
empty one; `list` what is in a full one, `start-full` on it; `grown` on one with as many `entries` in each list."""


@dataclass
class Known:
    """Digests of what a filled store holds: blobs by size, and the manifest behind the tag `latest`."""

    manifest: str = ""
    blobs: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """Work for the load generator. `requests` (of a get) are made once the digests are known."""

    name: str
    kind: Kind
    job: dict[str, Any] = field(default_factory=dict)
    clients: int = 1
    requests: Callable[[Known], list[dict[str, Any]]] | None = None
    blob: int = 0
    """The size of a blob that the filled store must hold."""
    image: bool = False
    """Whether every client must find its image there."""
    quick: bool = False
    once: bool = False
    """One round is enough, since it takes long."""
    entries: int = 0


def all_cases() -> list[Case]:
    """Every case, in the order in which they are measured."""
    return [*tiny(), *downloads(), *uploads(), *images(), *lists(), *starts_and_memory(), *grown_lists()]


def tiny() -> list[Case]:
    """Requests whose answers are small."""
    manifests = [
        get(f"manifest-{method.lower()}-{by}", method, path, headers=ACCEPT, quick=True)
        for method in ("GET", "HEAD")
        for by, path in (("tag", by_tag), ("digest", by_digest))
    ]
    by_clients = [
        get(f"manifest-get-tag-{clients}c", "GET", by_tag, headers=ACCEPT, clients=clients)
        for clients in (1, 8, 256)
    ]
    return [
        get("v2", "GET", None, quick=True),
        *manifests,
        *by_clients,
        get("blob-head", "HEAD", blob_path(78), blob=78, quick=True),
        get("blob-get-78", "GET", blob_path(78), blob=78, quick=True),
        get("blob-get-78-1c", "GET", blob_path(78), blob=78, clients=1),
    ]


def downloads() -> list[Case]:
    """Blobs, whole and in part."""
    whole = [
        get(
            f"blob-get-{size}", "GET", blob_path(SIZES[size]), clients=1, blob=SIZES[size], quick=size != "1g"
        )
        for size in ("1m", "100m", "1g")
    ]
    return [
        *whole,
        get("blob-get-1m-64c", "GET", blob_path(MIB), blob=MIB),
        part("blob-range-4k", 4 * KIB, MANY),
        part("blob-range-1m", MIB, 1),
    ]


def uploads() -> list[Case]:
    """Content that is not there yet: each way of uploading; and as docker does it, by one client and by many."""
    sizes = {
        "monolithic": ("78", "1m", "100m", "200m", "1g"),
        "streamed": ("78", "1m", "100m", "200m", "1g"),
        "chunked": ("78", "1m", "100m", "1g"),
    }
    quick = {"monolithic-1m", "monolithic-200m", "streamed-1m", "streamed-200m", "chunked-100m"}
    ways = [
        upload(f"upload-{way}-{size}", way, size, quick=f"{way}-{size}" in quick)
        for way in sizes
        for size in sizes[way]
    ]
    pushes = [
        upload(f"push-blob-{size}-{clients}c", "docker", size, clients, quick=size == "1k" and clients != 8)
        for size, many in (("1k", (1, 8, MANY)), ("1m", (1, MANY)))
        for clients in many
    ]
    return [*ways, *pushes]


def images() -> list[Case]:
    """Whole images of 10 layers, one repository for each client."""
    pushes = [
        image(f"image-push-{kind}-{clients}c", {"kind": kind}, clients)
        for kind in ("new", "present", "one-new")
        for clients in (1, 8, MANY)
    ]
    pulls = [
        image(f"image-pull-{clients}c", {"operation": "pull-image"}, clients) for clients in (1, 8, MANY)
    ]
    return [*pushes, *pulls]


def image(name: str, job: dict[str, Any], clients: int) -> Case:
    """Images that are all new go into an empty store, all else is done where image 0 is."""
    new = job.get("kind") == "new"
    return Case(
        name, "write" if new else "read", {**IMAGE, **job}, clients, image=not new, quick=clients == 8
    )


def lists() -> list[Case]:
    """Pages of 100 entries, from the middle of lists of so many; and what else may cost more with many tags."""
    pages = [
        listing(f"tags-page-{count}", f"{full.tagged(count)}/tags/list?n=100&last={full.tag(count // 2)}")
        for count in full.TAGS
    ]
    pulls = [
        listing(
            f"manifest-get-tag-of-{count}",
            f"{full.tagged(count)}/manifests/{full.tag(count // 2)}",
            headers=ACCEPT_INDEX,
            clients=MANY,
        )
        for count in full.TAGS
    ]
    last = full.repository(full.REPOSITORIES // 2)
    return [*pages, *pulls, listing("catalog-page-100000", f"_catalog?n=100&last={last}")]


def starts_and_memory() -> list[Case]:
    """How long until the first answer, and megabytes: idle, under 64 clients, with one large layer."""
    new = {**IMAGE, "kind": "new"}
    return [
        Case("start", "start", quick=True),
        Case("start-full", "start-full"),
        Case("memory-images-64c", "memory", new, MANY, image=True, once=True, quick=True),
        memory("memory-push-blob-1m-64c", "1m", MANY, {"way": "docker"}),
        memory("memory-layer-10g", "10g", 1, {"way": "streamed", "operations": 1}),
    ]


def grown_lists() -> list[Case]:
    """Pages of 100 entries of lists that grow, by one client."""
    return [
        Case(
            f"grown-{name}-{entries}",
            "grown",
            {"operation": "get"},
            requests=partial(_asking_for, path),
            entries=entries,
            quick=entries <= 10_000,
        )
        for entries in grown.ENTRIES
        for name, path in grown.pages(entries).items()
    ]


def _asking_for(path: str, _known: Known) -> list[dict[str, Any]]:
    return [request(path)]


def memory(name: str, size: str, clients: int, job: dict[str, Any]) -> Case:
    """Blobs are pushed, the first one is pulled by all clients."""
    job = {"operation": "upload", "repository": REPOSITORY, "size": SIZES[size], **job}
    path = blob_path(SIZES[size])
    requests = lambda known: [request(f"{REPOSITORY}/{path(known)}")]  # noqa: E731
    return Case(name, "memory", job, clients, requests, once=True)


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
    quick: bool = False,
) -> Case:
    """The same request again and again; without a path it is for /v2/."""

    def requests(known: Known) -> list[dict[str, Any]]:
        return [request(f"{REPOSITORY}/{path(known)}" if path else "", method, headers)]

    return Case(name, "read", {"operation": "get"}, clients, requests, blob, quick=quick)


def part(name: str, size: int, clients: int) -> Case:
    """Parts of a large blob, from all over it."""
    whole = SIZES["100m"]
    starts = range(0, whole - size, whole // 61)

    def requests(known: Known) -> list[dict[str, Any]]:
        path = f"{REPOSITORY}/blobs/{known.blobs[whole]}"
        return [
            request(path, headers=f"Range: bytes={start}-{start + size - 1}\r\n", status=206)
            for start in starts
        ]

    return Case(name, "read", {"operation": "get"}, clients, requests, whole)


def upload(name: str, way: str, size: str, clients: int = 1, *, quick: bool = False) -> Case:
    """New blobs, one after the other."""
    job = {"operation": "upload", "way": way, "size": SIZES[size], "repository": "bench/upload"}
    return Case(name, "write", job, clients, quick=quick)


def listing(name: str, path: str, *, clients: int = 1, headers: str = "") -> Case:
    """The same request to a full store."""
    return Case(name, "list", {"operation": "get"}, clients, lambda _: [request(path, headers=headers)])


def request(path: str, method: str = "GET", headers: str = "", status: int = 200) -> dict[str, Any]:
    """One request as the load generator takes it."""
    return {"method": method, "path": f"/v2/{path}", "headers": headers, "status": status}
