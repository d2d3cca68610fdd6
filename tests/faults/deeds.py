"""What clients do to a registry, one deed at a time: each makes what it needs, and then the part that is put to the test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.faults.client import Client, Manifest, Refused, image, index

_BLOB_BYTES = 1_500_000  # more than one piece


@dataclass
class Scene:
    """A repository of its own for one try of a deed; content is made from its name."""

    client: Client
    repository: str
    open_uploads: dict[str, str] = field(default_factory=dict)

    def content(self, name: str, size: int = 2000) -> bytes:
        """The bytes that this scene calls `name`."""
        word = f"{name} of {self.repository}\n".encode()
        return (word * (size // len(word) + 1))[:size]

    async def app(self, *tags: str, subject: Manifest | None = None) -> Manifest:
        """Push an image with the config "config" and the layer "code"."""
        manifest = await self.unnamed_app(subject)
        await self.client.put(self.repository, manifest, *tags)
        return manifest

    async def unnamed_app(self, subject: Manifest | None = None) -> Manifest:
        """Push the blobs of that image, and not the image."""
        code = self.content("code")
        digest = await self.client.push(self.repository, code)
        await self.client.push(self.repository, self.content("config"))
        return image(self.content("config"), [(digest, len(code))], subject)


Doing = Callable[[], Awaitable[object]]
Deed = Callable[[Scene], Awaitable[Doing]]


async def push_in_one_request(scene: Scene) -> Doing:
    """POST with a digest."""
    return lambda: scene.client.push(scene.repository, scene.content("layer"))


async def push_by_put(scene: Scene) -> Doing:
    """POST, PUT."""
    return lambda: scene.client.push_by_put(scene.repository, scene.content("layer"))


async def push_in_chunks(scene: Scene) -> Doing:
    """POST, PATCH, status, PUT; a try goes on with the upload that the one before has left, if it still stands."""
    content = scene.content("layer", _BLOB_BYTES)
    half = len(content) // 2

    async def go_on(upload: str) -> None:
        sent = await scene.client.stands_at(upload)
        if sent < half:
            headers = {"content-range": f"{sent}-{half - 1}"}
            await scene.client.ask(202, "PATCH", upload, content=content[sent:half], headers=headers)
            sent = await scene.client.stands_at(upload)
            assert sent == half
        await scene.client.finish(scene.repository, upload, content, sent)

    async def do() -> None:
        try:
            await go_on(scene.open_uploads["layer"])
        except (KeyError, Refused) as error:
            if isinstance(error, Refused) and error.status != 404:
                raise
            scene.open_uploads["layer"] = await scene.client.start(scene.repository)
            await go_on(scene.open_uploads["layer"])

    return do


async def push_with_sha512_at_the_end(scene: Scene) -> Doing:
    """POST, PATCH, PUT with the digest of another algorithm, for which all bytes are read again."""
    content = scene.content("layer", _BLOB_BYTES)

    async def do() -> None:
        upload = await scene.client.start(scene.repository)
        await scene.client.ask(202, "PATCH", upload, content=content)
        await scene.client.finish(scene.repository, upload, content, len(content), "sha512")

    return do


async def cancel_an_upload(scene: Scene) -> Doing:
    """POST, PATCH, DELETE."""

    async def do() -> None:
        upload = await scene.client.start(scene.repository)
        await scene.client.ask(202, "PATCH", upload, content=b"never mind")
        await scene.client.ask(204, "DELETE", upload)
        await scene.client.ask(404, "GET", upload)

    return do


async def mount_a_blob(scene: Scene) -> Doing:
    """POST with mount and from."""
    source = f"{scene.repository}/base"
    digest = await scene.client.push(source, scene.content("base"))

    async def do() -> None:
        assert await scene.client.mount(scene.repository, digest, source)

    return do


async def put_a_manifest_by_tag(scene: Scene) -> Doing:
    """PUT; it also moves the tag away from another image."""
    await scene.app("latest")
    code = await scene.client.push(scene.repository, scene.content("new code"))
    moved = image(scene.content("config"), [(code, 2000)])
    return lambda: scene.client.put(scene.repository, moved, "latest")


async def put_a_manifest_by_digest(scene: Scene) -> Doing:
    """PUT with tags as parameters."""
    manifest = await scene.unnamed_app()
    return lambda: scene.client.put(scene.repository, manifest, "one", "two")


async def put_an_index(scene: Scene) -> Doing:
    """PUT."""
    child = await scene.app("child")
    return lambda: scene.client.put(scene.repository, index([child]), "multi")


async def put_a_referrer(scene: Scene) -> Doing:
    """PUT of a manifest with a subject; the list of referrers then has it."""
    subject = await scene.app("subject")
    referrer = await scene.unnamed_app(subject)

    async def do() -> None:
        await scene.client.put(scene.repository, referrer)
        path = f"/v2/{scene.repository}/referrers/{subject.digest}"
        found = (await scene.client.ask(200, "GET", path)).json()["manifests"]
        assert [one["digest"] for one in found] == [referrer.digest]

    return do


async def delete_a_tag(scene: Scene) -> Doing:
    """DELETE, after the tag was put back by a push."""
    manifest = await scene.app("latest", "stable")

    async def do() -> None:
        await scene.client.put(scene.repository, manifest, "latest")
        await scene.client.untag(scene.repository, "latest")

    return do


async def delete_a_manifest(scene: Scene) -> Doing:
    """DELETE by digest, after it was put back by a push."""
    manifest = await scene.app("latest")

    async def do() -> None:
        await scene.client.put(scene.repository, manifest, "latest")
        await scene.client.delete_manifest(scene.repository, manifest.digest)

    return do


async def delete_a_blob(scene: Scene) -> Doing:
    """DELETE, after it was put back by a push."""
    content = scene.content("layer")

    async def do() -> None:
        digest = await scene.client.push(scene.repository, content)
        assert await scene.client.delete_blob(scene.repository, digest)

    return do


async def pull(scene: Scene) -> Doing:
    """GET of an image and of a large blob, HEAD, tags, catalog."""
    await scene.app("latest")
    digest = await scene.client.push(scene.repository, scene.content("layer", _BLOB_BYTES))

    async def do() -> None:
        await scene.client.ask(200, "GET", f"/v2/{scene.repository}/manifests/latest")
        await scene.client.ask(200, "HEAD", f"/v2/{scene.repository}/blobs/{digest}")
        await scene.client.ask(200, "GET", f"/v2/{scene.repository}/tags/list")
        await scene.client.ask(200, "GET", "/v2/_catalog")
        answer = await scene.client.ask(200, "GET", f"/v2/{scene.repository}/blobs/{digest}")
        if answer.content != scene.content("layer", _BLOB_BYTES):
            raise Refused(0, "the answer was cut")

    return do


DEEDS: tuple[Deed, ...] = (
    push_in_one_request,
    push_by_put,
    push_in_chunks,
    push_with_sha512_at_the_end,
    cancel_an_upload,
    mount_a_blob,
    put_a_manifest_by_tag,
    put_a_manifest_by_digest,
    put_an_index,
    put_a_referrer,
    delete_a_tag,
    delete_a_manifest,
    delete_a_blob,
    pull,
)
