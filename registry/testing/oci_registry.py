"""A running registry, as a test sees it."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from registry.oci.access import Anonymous
from registry.oci.digest import Digest
from registry.oci.errors import NameUnknown
from registry.oci.manifest import Manifest as Parsed
from registry.oci.names import RepositoryName, Tag, parse_reference
from registry.operations import check, listing, manifests, uploads
from registry.policy.access import AccessRules
from registry.testing import certificates, images
from registry.testing.conduct import Latency, ReadOnly
from registry.testing.content import Artifact, Blob, Image, Index, Manifest
from registry.testing.faults import Faults
from registry.testing.options import Places, config_of, write_users
from registry.testing.recorder import Recorder
from registry.testing.thread import RegistryThread
from registry.testing.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from pathlib import Path

    from registry.oci.manifest import Referrer
    from registry.operations.registry import Registry
    from registry.testing.layers import Layer
    from registry.testing.options import Options
    from registry.testing.requests import Requests

_ENTRIES_MAX = 1_000_000_000


class OciRegistry:
    """A registry in this process, and all that a test may want to do to it or to know of it.

    It runs in a thread with an event loop of its own, so its methods can be called from tests of every kind; they
    block for some milliseconds. Names are `repository:tag` or `repository@digest`, before which this registry's host
    may stand.
    """

    requests: Requests
    """What clients have sent."""
    faults: Faults
    """What is to go wrong."""
    users: dict[str, str]
    """Passwords by user name."""

    def __init__(self, options: Options, folder: Path) -> None:
        """Take a folder for everything that it needs; start nothing yet."""
        self._options = options
        self._folder = folder
        self._starts = 0
        self.users = dict(options.auth)
        self._users_file = write_users(folder / "htpasswd", self.users) if self.users else None
        self._certificate = certificates.write(folder) if options.tls else None
        tokens, recorder = Tokens(self.users, required=options.tokens), Recorder()
        self.requests = recorder.requests
        self.faults = Faults(tokens)
        self._layers = _layers(options, recorder, self.faults, tokens)
        self._port = options.port

    # --- where it is ---

    @property
    def host(self) -> str:
        """127.0.0.1:PORT, as it stands before the name of an image."""
        return f"127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """http://127.0.0.1:PORT, or https with TLS; the API is below /v2/."""
        return f"{'https' if self._options.tls else 'http'}://{self.host}"

    @property
    def ca_file(self) -> Path | None:
        """The certificate (PEM) that clients have to trust; None without TLS."""
        return self._certificate.authority if self._certificate else None

    def ssl_context(self) -> ssl.SSLContext:
        """A client's context that trusts this registry (and nobody else); for file names, there is `ca_file`."""
        return ssl.create_default_context(cafile=self.ca_file)

    @property
    def directory(self) -> Path:
        """Where rows lie, and blobs where they are files: blobs/sha256/3a/3a7bd3e2..."""
        if self._options.persistent is True:
            return self._folder / "data"
        return self._options.persistent or self._folder / f"data-{self._starts}"

    # --- running ---

    def start(self) -> None:
        """Return when requests are answered; `serve` and the fixtures do this."""
        self._starts += 1
        self.directory.mkdir(parents=True, exist_ok=True)
        places = Places(self.directory, self._users_file, self._certificate)
        self._thread = RegistryThread(config_of(self._options, places, self._port), self._layers)
        self._thread.start()
        self._port = self._thread.port

    def stop(self) -> None:
        """Cut all connections and let go of everything; `serve` and the fixtures do this."""
        self._thread.stop()

    def restart(self) -> None:
        """Stop, and start again on the same port: empty, unless it is `persistent`. Faults and requests stay."""
        self.stop()
        self.start()

    # --- putting something into it ---

    def push_image(  # noqa: PLR0913 (one for each part of an image)
        self,
        name: str,
        *,
        layers: Sequence[images.Layer] | None = None,
        config: Mapping[str, Any] | None = None,
        platform: str = "linux/amd64",
        annotations: Mapping[str, str] | None = None,
        subject: Manifest | None = None,
        format: images.Format = "oci",  # noqa: A002 (the word that clients use)
    ) -> Image:
        """An image that real clients can pull, its bytes the same every time.

        - `layers`: each of them files by path (`{"etc/motd": "hello"}`, `{"app": File(program, 0o755)}`), or the exact
          bytes, or the size in bytes of a file of random ones. Not given, there is one small layer that the name
          decides; `[]` is none.
        - `config`: what a container runs and how: `{"Entrypoint": ["/app"], "Env": ["A=1"]}`.
        - `format`: "docker" for Docker's own media types.

        Without a tag in its name, the image has only its digest.

        >>> from registry import testing
        >>> with testing.serve() as oci:
        ...     image = oci.push_image("team/app:1", layers=[{"hello.txt": "hello"}], platform="linux/arm64/v8")
        ...     image.platform
        {'architecture': 'arm64', 'os': 'linux', 'variant': 'v8'}
        """
        repository, tag = self._parts(name)
        given = (
            [{"name.txt": f"{repository}:{tag}\n" if tag else f"{repository}\n"}]
            if layers is None
            else layers
        )
        made = [images.layer(content, format) for content in given]
        blobs = tuple(blob for blob, _ in made)
        configuration = images.config(platform, config or {}, [diff_id for _, diff_id in made], format)
        more = _more(annotations, subject)
        manifest = images.manifest(configuration, blobs, more, format)
        self._push(repository, tag, manifest, [configuration, *blobs])
        return Image(self.host, repository, tag, manifest, configuration, blobs)

    def push_index(
        self,
        name: str,
        contents: Sequence[Manifest | str] = ("linux/amd64", "linux/arm64"),
        *,
        annotations: Mapping[str, str] | None = None,
        subject: Manifest | None = None,
        format: images.Format = "oci",  # noqa: A002 (the word that clients use)
    ) -> Index:
        """An index of manifests of its repository; where a platform is given instead, an image is made for it.

        >>> from registry import testing
        >>> with testing.serve() as oci:
        ...     index = oci.push_index("team/app:1", ["linux/amd64", "linux/riscv64"])
        ...     [image.platform["architecture"] for image in index.images]
        ['amd64', 'riscv64']
        """
        repository, tag = self._parts(name)
        children = tuple(
            self.push_image(repository, layers=[{"platform.txt": one}], platform=one, format=format)
            if isinstance(one, str)
            else one
            for one in contents
        )
        descriptors = [
            child.descriptor | ({"platform": child.platform} if isinstance(child, Image) else {})
            for child in children
        ]
        manifest = images.index(descriptors, _more(annotations, subject), format)
        self._push(repository, tag, manifest, [])
        return Index(self.host, repository, tag, manifest, children)

    def push_artifact(  # noqa: PLR0913 (one for each part of an artifact)
        self,
        name: str,
        *,
        artifact_type: str = "application/vnd.example.artifact",
        contents: Sequence[bytes] = (b"an artifact",),
        media_type: str = "application/octet-stream",
        annotations: Mapping[str, str] | None = None,
        subject: Manifest | None = None,
    ) -> Artifact:
        """Something that is no image; with a `subject`, it is found among that one's referrers.

        >>> from registry import testing
        >>> with testing.serve() as oci:
        ...     image = oci.push_image("team/app:1")
        ...     sbom = oci.push_artifact("team/app", artifact_type="application/spdx+json", subject=image)
        ...     [found["digest"] for found in oci.referrers(image)] == [sbom.digest]
        True
        """
        repository, tag = self._parts(name)
        blobs = tuple(Blob(content, media_type) for content in contents) or (images.EMPTY,)
        more = {"artifactType": artifact_type} | _more(annotations, subject)
        manifest = images.manifest(images.EMPTY, blobs, more)
        self._push(repository, tag, manifest, [images.EMPTY, *blobs])
        return Artifact(self.host, repository, tag, manifest, blobs)

    def push_blob(self, repository: str, content: bytes) -> str:
        """A blob that no manifest names; its digest."""
        return self._thread.do(
            _push_blob(self._registry, RepositoryName.parse(self._without_host(repository)), content)
        )

    # --- looking into it ---

    def repositories(self) -> list[str]:
        """All repositories, in byte order."""
        return list(self._thread.do(listing.list_repositories(self._whole, Anonymous(), "", None)).entries)

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository, in byte order; none where nothing was ever pushed."""
        try:
            name = RepositoryName.parse(self._without_host(repository))
            return list(self._thread.do(listing.list_tags(self._whole, name, "", None)).entries)
        except NameUnknown:
            return []

    def manifest(self, name: str) -> Manifest:
        """What `repository:tag` or `repository@digest` is at this moment; ManifestUnknown where it is nothing."""
        repository, reference = self._parts(name)
        if reference is None:
            raise ValueError(f"{name!r} has neither a tag nor a digest")
        found = self._thread.do(
            manifests.get(self._registry, RepositoryName.parse(repository), parse_reference(reference))
        )
        blob = Blob(found.content or b"", found.media_type)
        return Manifest(self.host, repository, None if ":" in reference else reference, blob)

    def blob(self, digest: str) -> bytes:
        """The bytes of a blob in any repository; BlobMissing where there are none."""
        return self._thread.do(_read_blob(self._registry, Digest.parse(digest)))

    def referrers(self, subject: Manifest, artifact_type: str | None = None) -> list[dict[str, Any]]:
        """The descriptors of what was pushed with this subject, in the order of their digests."""
        repository, digest = RepositoryName.parse(subject.repository), Digest.parse(subject.digest)
        found = self._thread.do(_all_referrers(self._registry, repository, digest, artifact_type))
        return [
            {
                "mediaType": one.media_type,
                "digest": str(one.digest),
                "size": one.size,
                "artifactType": one.artifact_type,
                "annotations": dict(one.annotations),
            }
            for one in found
        ]

    def problems(self) -> list[str]:
        """What `registry check --deep` finds wrong; empty when the registry is whole."""
        return self._thread.do(check.check(self._registry, lambda *_: None, deep=True)).problems

    def report(self, requests: Requests | None = None) -> str:
        """The requests (all, unless some are given) and every fault, for people; pytest shows it when a test fails."""
        shown = self.requests if requests is None else requests
        return "\n".join(filter(None, [self.url, shown.report(), self.faults.report()]))

    def __repr__(self) -> str:
        return f"<OciRegistry {self.url}>"

    def _parts(self, name: str) -> tuple[str, str | None]:
        """The repository, and the digest, or else the tag, if there is one."""
        name, at, digest = self._without_host(name).partition("@")
        repository, colon, tag = name.partition(":")
        return repository, digest if at else tag if colon else None

    def _without_host(self, name: str) -> str:
        """A name as the registry knows it; ValueError for one of another registry."""
        first, _, rest = name.partition("/")
        if rest and first in {self.host, f"localhost:{self._port}"}:
            return rest
        if rest and ":" in first:
            raise ValueError(f"{name!r} is of another registry; this one is {self.host}")
        return name

    @property
    def _registry(self) -> Registry:
        return self._thread.registry

    @property
    def _whole(self) -> Registry:
        """For lists of everything, on one page."""
        settings = replace(self._registry.settings, page_size_max=_ENTRIES_MAX)
        return replace(self._registry, access=AccessRules(open_to_all=True), settings=settings)

    def _push(self, repository: str, tag: str | None, manifest: Blob, blobs: Iterable[Blob]) -> None:
        self._thread.do(_push(self._registry, RepositoryName.parse(repository), tag, manifest, blobs))


def _layers(options: Options, recorder: Recorder, faults: Faults, tokens: Tokens) -> list[Layer]:
    """From the client inwards: what is written down is what the client saw."""
    layers: list[Layer] = [recorder]
    layers += [Latency(options.latency)] if options.latency else []
    layers += [faults, tokens]
    return layers + ([ReadOnly()] if options.read_only else [])


def _more(annotations: Mapping[str, str] | None, subject: Manifest | None) -> dict[str, Any]:
    more: dict[str, Any] = {"subject": subject.descriptor} if subject else {}
    return more | ({"annotations": dict(annotations)} if annotations else {})


async def _push(
    registry: Registry, repository: RepositoryName, tag: str | None, manifest: Blob, blobs: Iterable[Blob]
) -> None:
    """By the deeds that a client's push comes to as well, so that the same is stored."""
    for blob in blobs:
        await _push_blob(registry, repository, blob.content)
    reference = Digest(manifest.digest) if tag is None else Tag.parse(tag)
    parsed = Parsed.parse(manifest.content, manifest.media_type)
    await manifests.put(registry, repository, reference, parsed)


async def _push_blob(registry: Registry, repository: RepositoryName, content: bytes) -> str:
    digest = Digest.of(content)
    await uploads.push(registry, repository, digest, _once(content))
    return digest


async def _all_referrers(
    registry: Registry, repository: RepositoryName, subject: Digest, artifact_type: str | None
) -> list[Referrer]:
    """Page by page."""
    found: list[Referrer] = []
    more = True
    while more:
        last = str(found[-1].digest) if found else ""
        page = await listing.list_referrers(registry, repository, subject, artifact_type, last)
        found += page.entries
        more = page.more
    return found


async def _read_blob(registry: Registry, digest: Digest) -> bytes:
    async with registry.store.reader(digest) as reader:
        return await reader.read(0, reader.size)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
    await asyncio.sleep(0)
