"""A client for the application in process: real requests through the real door, without a socket between."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from registry.app import App
from registry.config import load
from registry.testing.application import application
from tests.support.content import Blob, Manifest

IN_MEMORY: Mapping[str, object] = {"storage.kind": "memory"}

CODES = frozenset(
    {
        "BLOB_UNKNOWN",
        "BLOB_UPLOAD_INVALID",
        "BLOB_UPLOAD_UNKNOWN",
        "DIGEST_INVALID",
        "MANIFEST_BLOB_UNKNOWN",
        "MANIFEST_INVALID",
        "MANIFEST_UNKNOWN",
        "NAME_INVALID",
        "NAME_UNKNOWN",
        "SIZE_INVALID",
        "UNAUTHORIZED",
        "DENIED",
        "UNSUPPORTED",
        "TOOMANYREQUESTS",
    }
)
"""code-1 to code-14 of the specification: a 4XX with a JSON body must use one of them."""


@dataclass(frozen=True)
class Registry:
    """A running registry, and a client of it."""

    app: App
    client: httpx.AsyncClient

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request; `options` are httpx's (headers, content, params, auth)."""
        return await self.client.request(method, path, **options)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """GET."""
        return await self.ask("GET", path, **options)

    def repository(self, name: str) -> Repository:
        """The repository of this name, which need not exist."""
        return Repository(self, name)


@dataclass(frozen=True)
class Repository:
    """One repository of a registry; paths are below `/v2/<name>/`."""

    registry: Registry
    name: str

    @property
    def uploads(self) -> str:
        """Where uploads start."""
        return f"/v2/{self.name}/blobs/uploads/"

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request; a path that begins with `/v2/`, as a Location does, is taken as it is."""
        return await self.registry.ask(
            method, path if path.startswith("/") else f"/v2/{self.name}/{path}", **options
        )

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """GET."""
        return await self.ask("GET", path, **options)

    async def head(self, path: str, **options: Any) -> httpx.Response:
        """HEAD."""
        return await self.ask("HEAD", path, **options)

    async def put(self, path: str, **options: Any) -> httpx.Response:
        """PUT."""
        return await self.ask("PUT", path, **options)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        """POST."""
        return await self.ask("POST", path, **options)

    async def patch(self, path: str, **options: Any) -> httpx.Response:
        """PATCH."""
        return await self.ask("PATCH", path, **options)

    async def delete(self, path: str, **options: Any) -> httpx.Response:
        """DELETE."""
        return await self.ask("DELETE", path, **options)

    async def start(self, **options: Any) -> str:
        """Start an upload; where it goes on."""
        answer = await self.post(self.uploads, **options)
        assert answer.status_code == 202, answer.text
        return str(answer.headers["location"])

    async def upload(self, blob: Blob, **options: Any) -> httpx.Response:
        """Push a blob in one request."""
        answer = await self.post(f"blobs/uploads/?digest={blob.digest}", content=blob.content, **options)
        assert answer.status_code == 201, answer.text
        return answer

    async def put_manifest(self, manifest: Manifest, reference: str, **headers: str) -> httpx.Response:
        """PUT a manifest and nothing of what it names; the answer, whatever it is."""
        return await self.put(
            f"manifests/{reference}",
            content=manifest.content,
            headers={"content-type": manifest.media_type, **headers},
        )

    async def push(self, manifest: Manifest, *tags: str) -> httpx.Response:
        """Push a manifest with all that it names, under each tag, or under its digest; the last answer."""
        for blob in dict.fromkeys(manifest.blobs):
            await self.upload(blob)
        for child in manifest.children:
            await self.push(child)
        for reference in tags or (manifest.digest,):
            answer = await self.put_manifest(manifest, reference)
            assert answer.status_code == 201, answer.text
        return answer

    async def tags(self) -> list[str]:
        """All tags."""
        tags: list[str] = (await self.get("tags/list")).json()["tags"]
        return tags


@asynccontextmanager
async def running(settings: Mapping[str, object], **options: Any) -> AsyncIterator[Registry]:
    """A registry with these settings (by dotted key), started as a server starts it; `options` are the client's."""
    async with application(load(None, settings)) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://registry.test", **options
        ) as client:
            yield Registry(app, client)


def refusal(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The first error of an answer that refuses in the specification's form, with this status and code."""
    assert (answer.status_code, codes(answer)) == (status, [code] * len(codes(answer))), answer.text
    error: dict[str, Any] = answer.json()["errors"][0]
    return error


def codes(answer: httpx.Response) -> list[str]:
    """The codes in an error's envelope, which has the form that the specification gives it (spec.md, Error Codes)."""
    assert answer.headers["content-type"] == "application/json"
    envelope = json.loads(answer.content)
    assert envelope.keys() == {"errors"}
    assert envelope["errors"]
    for error in envelope["errors"]:
        assert {"code", "message"} <= error.keys() <= {"code", "message", "detail"}
        assert re.fullmatch(r"[A-Z_]+", error["code"])
        assert error["code"] in CODES or answer.status_code >= 500
        assert len(error["message"]) > 10
    return [error["code"] for error in envelope["errors"]]


def next_page(answer: httpx.Response) -> str | None:
    """Where a list goes on, None at its end (RFC 8288); the link is relative to the host."""
    if "link" not in answer.headers:
        return None
    match = re.fullmatch(r'<(/v2/[!-;=?-~]+)>; rel="next"', answer.headers["link"])
    assert match, answer.headers["link"]
    return match[1]


async def pages(registry: Registry, path: str) -> list[httpx.Response]:
    """Every page of a list, by following its links."""
    answers = [await registry.get(path)]
    while (link := next_page(answers[-1])) is not None:
        answers.append(await registry.get(link))
        assert len(answers) < 1000, "the links do not come to an end"
    return answers


Message = dict[str, Any]

_CALL_SECONDS_MAX = 20
"""An application that waits for ever for a silent client fails the test instead of hanging it."""


async def call(
    app: App,
    method: str,
    path: str,
    *,
    query: bytes = b"",
    headers: Sequence[tuple[bytes, bytes]] = (),
    body: Sequence[bytes] = (b"",),
    then: Literal["end", "silence", "hang-up"] = "end",
) -> list[Message]:
    """One request as a server hands it over, for what no client library would send; what the application sent.

    `path` is taken as it is, after decoding. `then`: after its pieces the body ends, or nothing more comes, or the
    client is gone.
    """
    received: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": then != "end" or number < len(body)}
        for number, piece in enumerate(body, 1)
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        if received:
            return received.pop(0)
        if then != "hang-up":
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogateescape"),
        "query_string": query,
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 5000),
    }
    async with asyncio.timeout(_CALL_SECONDS_MAX):
        await app(scope, receive, send)
    return sent


async def ask_raw(app: App, method: str, path: str, **options: Any) -> httpx.Response:
    """As `call`, but the answer as a client sees it."""
    start, *pieces = await call(app, method, path, **options)
    content = b"".join(piece.get("body", b"") for piece in pieces)
    return httpx.Response(start["status"], headers=start["headers"], content=content)
