"""A client that pushes in every way the specification knows, and writes down what it was promised."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.faults.ledger import Ledger

IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


class ConnectionCut(Exception):
    """The connection ended without an answer, or in the middle of one."""


class Refused(Exception):
    """A request was not answered as hoped; `status` is 0 where there was no answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status = status


@dataclass(frozen=True)
class Manifest:
    """A manifest as it is pushed."""

    media_type: str
    content: bytes

    @property
    def digest(self) -> str:
        """Its digest."""
        return digest_of(self.content)

    @property
    def descriptor(self) -> dict[str, Any]:
        """What points to it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """The digest of some bytes."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def image(config: bytes, layers: Sequence[tuple[str, int]], subject: Manifest | None = None) -> Manifest:
    """An image of a config and of layers, each a digest and a size."""
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": LAYER, "digest": digest, "size": size} for digest, size in layers],
    }
    if subject:
        document["subject"] = subject.descriptor
    return Manifest(IMAGE, json.dumps(document).encode())


def index(children: Sequence[Manifest]) -> Manifest:
    """An index of manifests."""
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [child.descriptor for child in children]}
    return Manifest(INDEX, json.dumps(document).encode())


class Client:
    """Raises Refused for every answer but the one hoped for."""

    def __init__(self, http: httpx.AsyncClient, ledger: Ledger) -> None:
        self.http = http
        self.ledger = ledger

    async def ask(self, status: int, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request that is to be answered with `status`."""
        try:
            answer = await self.http.request(method, path, **request)
        except (httpx.TransportError, ConnectionCut) as error:
            raise Refused(0, repr(error)) from error
        if answer.status_code != status:
            raise Refused(answer.status_code, f"to {method} {path}: {answer.text}")
        return answer

    async def push(self, repository: str, content: bytes) -> str:
        """A blob in one POST; its digest."""
        return await self._blob(repository, content, 201, "POST", f"/v2/{repository}/blobs/uploads/")

    async def push_by_put(self, repository: str, content: bytes) -> str:
        """A blob by POST and PUT; its digest."""
        return await self._blob(repository, content, 201, "PUT", await self.start(repository))

    async def push_streamed(self, repository: str, content: bytes) -> str:
        """A blob by POST, PATCH of unknown length and an empty PUT; its digest."""
        upload = await self.start(repository)
        await self.ask(202, "PATCH", upload, content=_pieces(content))
        return await self.finish(repository, upload, content, len(content))

    async def push_chunked(self, repository: str, content: bytes) -> str:
        """A blob by POST, PATCH of its first half, and PUT of the second; its digest."""
        upload = await self.start(repository)
        half = len(content) // 2
        headers = {"content-range": f"0-{half - 1}"}
        await self.ask(202, "PATCH", upload, content=content[:half], headers=headers)
        return await self.finish(repository, upload, content, half)

    async def start(self, repository: str, algorithm: str = "sha256") -> str:
        """A new upload; its path."""
        path = f"/v2/{repository}/blobs/uploads/"
        answer = await self.ask(202, "POST", path, params={"digest-algorithm": algorithm})
        return answer.headers["location"]

    async def stands_at(self, upload: str) -> int:
        """How many bytes of an upload the registry says it has; of one byte it cannot say that it is not none."""
        answer = await self.ask(204, "GET", upload)
        last = int(answer.headers["range"].partition("-")[2])
        return last + 1 if last else 0

    async def finish(
        self, repository: str, upload: str, content: bytes, sent: int, algorithm: str = "sha256"
    ) -> str:
        """The rest of a blob, of which `sent` bytes were sent; its digest."""
        digest = digest_of(content, algorithm)
        path = f"/v2/{repository}/blobs/{digest}"
        self.ledger.asked(path, digest)
        await self.ask(201, "PUT", upload, params={"digest": digest}, content=content[sent:])
        self.ledger.acknowledged(path, digest)
        return digest

    async def mount(self, repository: str, digest: str, source: str) -> bool:
        """Whether the registry mounted a blob from another repository."""
        path = f"/v2/{repository}/blobs/{digest}"
        self.ledger.asked(path, digest)
        answer = await self._either(
            (201, 202), "POST", f"/v2/{repository}/blobs/uploads/", params={"mount": digest, "from": source}
        )
        if answer.status_code == 201:
            self.ledger.acknowledged(path, digest)
        return answer.status_code == 201

    async def put(self, repository: str, manifest: Manifest, *tags: str) -> None:
        """A manifest under one tag, or by its digest with none or several of them."""
        base = f"/v2/{repository}/manifests/"
        paths = [base + name for name in (manifest.digest, *tags)]
        for path in paths:
            self.ledger.asked(path, manifest.digest)
        await self.ask(
            201,
            "PUT",
            base + (tags[0] if len(tags) == 1 else manifest.digest),
            params={"tag": tags} if len(tags) > 1 else None,
            content=manifest.content,
            headers={"content-type": manifest.media_type},
        )
        for path in paths:
            self.ledger.acknowledged(path, manifest.digest)

    async def untag(self, repository: str, tag: str) -> None:
        """Delete a tag."""
        path = f"/v2/{repository}/manifests/{tag}"
        self.ledger.asked(path, None)
        await self.ask(202, "DELETE", path)
        self.ledger.acknowledged(path, None)

    async def delete_manifest(self, repository: str, digest: str) -> None:
        """Delete a manifest, and the tags that point to it."""
        self.ledger.asked_to_delete(repository, digest)
        await self.ask(202, "DELETE", f"/v2/{repository}/manifests/{digest}")
        self.ledger.acknowledged_deletion(repository, digest)

    async def delete_blob(self, repository: str, digest: str) -> bool:
        """Whether the registry deleted a blob: it does not while a manifest names it."""
        path = f"/v2/{repository}/blobs/{digest}"
        self.ledger.asked(path, None)
        answer = await self._either((202, 405), "DELETE", path)
        self.ledger.acknowledged(path, None if answer.status_code == 202 else digest)
        return answer.status_code == 202

    async def _blob(self, repository: str, content: bytes, status: int, method: str, where: str) -> str:
        digest = digest_of(content)
        path = f"/v2/{repository}/blobs/{digest}"
        self.ledger.asked(path, digest)
        await self.ask(status, method, where, params={"digest": digest}, content=content)
        self.ledger.acknowledged(path, digest)
        return digest

    async def _either(
        self, statuses: tuple[int, int], method: str, path: str, **request: Any
    ) -> httpx.Response:
        try:
            return await self.ask(statuses[0], method, path, **request)
        except Refused as refused:
            if refused.status != statuses[1]:
                raise
            return httpx.Response(refused.status)


async def _pieces(content: bytes, size: int = 300_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]
