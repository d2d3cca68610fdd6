"""The registry under test, as a plain HTTP client sees it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

USER, PASSWORD = "alice", "secret1"
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


@dataclass(frozen=True)
class Manifest:
    """A manifest as the registry served it."""

    digest: str
    media_type: str
    document: dict[str, Any]

    @property
    def layers(self) -> list[str]:
        """Return the digests of its layers."""
        return [layer["digest"] for layer in self.document["layers"]]


@dataclass(frozen=True)
class Registry:
    """A running registry, seen over plain HTTP."""

    host: str
    credentials: tuple[str, str] | None = None

    def ask(self, method: str, path: str, **headers: str) -> httpx.Response:
        """Send one request below /v2/ and return its answer, whatever it is."""
        url = f"http://{self.host}/v2/{path}"
        return httpx.request(
            method,
            url,
            headers=headers,
            auth=self.credentials,
            trust_env=False,
            timeout=60,
            follow_redirects=True,
        )

    def get(self, path: str, **headers: str) -> httpx.Response:
        """GET what has to be there."""
        return self.ask("GET", path, **headers).raise_for_status()

    def tags(self, repository: str) -> list[str]:
        """Return the repository's tags in the registry's order."""
        tags: list[str] = self.get(f"{repository}/tags/list").json()["tags"]
        return tags

    def manifest(self, repository: str, reference: str) -> Manifest:
        """Return a manifest; its bytes have the digest that the registry gave it."""
        answer = self.get(f"{repository}/manifests/{reference}", accept=", ".join(MANIFEST_TYPES))
        digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        assert answer.headers["docker-content-digest"] == digest
        return Manifest(digest, answer.headers["content-type"], answer.json())

    def complete(self, repository: str, reference: str) -> Manifest:
        """Return a manifest of which every blob and child manifest is served with the bytes of its digest and size."""
        manifest = self.manifest(repository, reference)
        for child in manifest.document.get("manifests", []):
            assert self.complete(repository, child["digest"]).digest == child["digest"]
        if "config" in manifest.document:
            for blob in [manifest.document["config"], *manifest.document["layers"]]:
                assert self.hashed(repository, blob["digest"]) == (blob["digest"], blob["size"])
        return manifest

    def hashed(self, repository: str, digest: str) -> tuple[str, int]:
        """Read a blob to its end; return the digest and the size of what came."""
        url = f"http://{self.host}/v2/{repository}/blobs/{digest}"
        sha256, size = hashlib.sha256(), 0
        with httpx.stream(
            "GET", url, auth=self.credentials, trust_env=False, timeout=60, follow_redirects=True
        ) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                sha256.update(chunk)
                size += len(chunk)
        return f"sha256:{sha256.hexdigest()}", size


def server_errors(log: Path) -> list[str]:
    """Return the lines of a server's log about server errors, which clients hide by trying again."""
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if (json.loads(line).get("status") or 0) >= 500]
