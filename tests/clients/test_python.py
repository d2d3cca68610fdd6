"""Clients written in Python, in this very process, against the registry that tests are given, and before the fleet."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import TYPE_CHECKING

import docker as docker_sdk
import httpx
import pytest
from dxf import DXF
from dxf.exceptions import DXFUnauthorizedError
from oras.client import OrasClient

from registry.testing import File, OciRegistry

from .registry_view import Registry
from .tools import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES = 1 << 20
BUSYBOX = Path("/bin/busybox")
USERS = pytest.mark.oci_registry(auth={"alice": "secret"})
TLS = pytest.mark.oci_registry(tls=True)
TOKENS = pytest.mark.oci_registry(auth={"alice": "secret"}, tokens=True)


@pytest.fixture
def sdk(empty_docker: Client) -> Iterator[docker_sdk.DockerClient]:
    """Give the docker SDK, connected to a daemon that has never seen an image."""
    client = docker_sdk.DockerClient(empty_docker.environment["DOCKER_HOST"])
    yield client
    client.close()


def runnable(oci: OciRegistry, name: str, **options: str) -> str:
    """Push an image with a static program in it; the name to pull it by."""
    layers = [{"bin/sh": File(BUSYBOX.read_bytes(), 0o755)}, {"etc/motd": "hello from a test\n"}]
    config = {"Cmd": ["/bin/sh", "-c", "read line </etc/motd; echo $line $WHO"], "Env": ["WHO=you"]}
    return oci.push_image(name, layers=layers, config=config, **options).name  # type: ignore[arg-type] (format)


@pytest.mark.parametrize("form", ["oci", "docker"])
def test_docker_runs_what_a_test_has_made(
    sdk: docker_sdk.DockerClient, oci_registry: OciRegistry, form: str
) -> None:
    """A real daemon pulls an image of the fixture's, in either format, and runs it."""
    name = runnable(oci_registry, "team/app:1", format=form)
    image = sdk.images.pull(name)
    assert image.attrs["Architecture"] == "amd64"
    assert sdk.containers.run(name, network_mode="none", remove=True) == b"hello from a test you\n"


def test_docker_chooses_from_an_index(sdk: docker_sdk.DockerClient, oci_registry: OciRegistry) -> None:
    """A real daemon finds its platform in an index of the fixture's."""
    index = oci_registry.push_index("team/app:1", ["linux/arm64", "linux/amd64"])
    for architecture in ("amd64", "arm64"):
        image = sdk.images.pull(index.name, platform=f"linux/{architecture}")
        assert image.attrs["Architecture"] == architecture


@pytest.mark.parametrize("auth", [pytest.param("basic", marks=USERS), pytest.param("token", marks=TOKENS)])
def test_docker_pushes(sdk: docker_sdk.DockerClient, oci_registry: OciRegistry, auth: str) -> None:
    """A real daemon logs in, by password or by token, and what it pushes is there."""
    name = runnable(oci_registry, "team/app:1")
    login = {"username": "alice", "password": "secret"}
    image = sdk.images.pull(name, auth_config=login)
    image.tag(f"{oci_registry.host}/copy/app", "2")
    events = list(
        sdk.images.push(f"{oci_registry.host}/copy/app", "2", auth_config=login, stream=True, decode=True)
    )
    assert not [event for event in events if "error" in event], events
    assert oci_registry.tags("copy/app") == ["2"]
    assert oci_registry.problems() == []
    assert bool(oci_registry.requests.to(path="/token")) == (auth == "token")


def test_docker_resumes(sdk: docker_sdk.DockerClient, oci_registry: OciRegistry) -> None:
    """A real daemon whose download is cut off twice gets the image nevertheless."""
    image = oci_registry.push_image("team/app:1", layers=[3_000_000])
    fault = oci_registry.faults.on("GET", blob=image.layers[0].digest).reset_after(1_000_000).times(2)
    sdk.images.pull(image.name)
    assert fault.struck == 2
    assert [layer["digest"] for layer in image.document["layers"]] == [image.layers[0].digest]


@TOKENS
def test_docker_with_an_expired_token(sdk: docker_sdk.DockerClient, oci_registry: OciRegistry) -> None:
    """A real daemon (20.10) gives up where its token ends in the middle of a push; the next push goes through."""
    login = {"username": "alice", "password": "secret"}
    copy = f"{oci_registry.host}/copy/app"
    sdk.images.pull(runnable(oci_registry, "team/app:1"), auth_config=login).tag(copy, "2")
    oci_registry.faults.on("PUT", path="*/manifests/*").expired_token().times(1)
    for expected in ([], ["2"]):
        sdk.images.push(copy, "2", auth_config=login)
        assert oci_registry.tags("copy/app") == expected
    oci_registry.faults.assert_struck()


@TLS
@TOKENS
def test_dxf_with_an_expired_token(oci_registry: OciRegistry, tmp_path: Path) -> None:
    """python-dxf gets another token where its own ends in the middle of a push, and goes on."""
    (tmp_path / "blob").write_bytes(b"a blob")
    oci_registry.faults.on("POST").expired_token().times(1)
    with dxf(oci_registry, "team/files", "secret") as client:
        digest = client.push_blob(str(tmp_path / "blob"))
    assert oci_registry.blob(digest) == b"a blob"
    oci_registry.requests.assert_order("HEAD", "GET /token", "HEAD", "POST", "GET /token", "POST", "PUT")
    oci_registry.faults.assert_struck()


def test_oras(oci_registry: OciRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """oras pushes files as an artifact, lists its tag, and pulls the same bytes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("some notes")
    client = OrasClient(hostname=oci_registry.host, insecure=True)
    target = f"{oci_registry.host}/team/notes:1"
    client.push(target, files=["notes.txt"], disable_path_validation=True)
    assert client.get_tags(target) == oci_registry.tags("team/notes") == ["1"]
    (got,) = client.pull(target, outdir=str(tmp_path / "out"))
    assert Path(got).read_text() == "some notes"
    assert oci_registry.problems() == []


@pytest.mark.everywhere
def test_oras_in_chunks(
    registry_server: Registry, repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """oras pushes a file in eight chunks, which may go to eight replicas, and pulls the same bytes."""
    monkeypatch.chdir(tmp_path)
    content = random.Random(8).randbytes(8 * CHUNK_BYTES - 1)  # noqa: S311 - no secret
    (tmp_path / "layer").write_bytes(content)
    client = OrasClient(hostname=registry_server.host, insecure=True)
    target = f"{registry_server.host}/{repository}:1"
    client.push(
        target, files=["layer"], disable_path_validation=True, do_chunked=True, chunk_size=CHUNK_BYTES
    )
    (got,) = client.pull(target, outdir=str(tmp_path / "out"))
    assert Path(got).read_bytes() == content
    registry_server.complete(repository, "1")


@pytest.mark.everywhere
def test_dxf_streams(registry_server: Registry, repository: str) -> None:
    """python-dxf pushes bytes as they come, of a length that it does not tell, and pulls the same."""
    pieces = [bytes([number]) * CHUNK_BYTES for number in range(8)]
    digest = f"sha256:{hashlib.sha256(b''.join(pieces)).hexdigest()}"
    with DXF(registry_server.host, repository, insecure=True, timeout=20) as client:
        assert client.push_blob(data=iter(pieces), digest=digest) == digest
        assert b"".join(client.pull_blob(digest)) == b"".join(pieces)


def dxf(oci: OciRegistry, repository: str, password: str) -> DXF:
    """A client of python-dxf, which logs in when it is asked to."""

    def log_in(client: DXF, response: object) -> None:
        client.authenticate("alice", password, response=response)

    # python-dxf tells passwords over HTTPS alone
    verify = str(oci.ca_file) if oci.ca_file else True
    return DXF(
        oci.host, repository, log_in if oci.users else None, not oci.ca_file, tlsverify=verify, timeout=20
    )


@pytest.mark.parametrize(
    "auth", ["nobody", pytest.param("basic", marks=[TLS, USERS]), pytest.param("token", marks=[TLS, TOKENS])]
)
def test_dxf(oci_registry: OciRegistry, tmp_path: Path, auth: str) -> None:
    """python-dxf pushes a blob under an alias, and pulls it, without a log-in and with either kind."""
    content = b"a blob" * 1000
    (tmp_path / "blob").write_bytes(content)
    with dxf(oci_registry, "team/files", "secret") as client:
        digest = client.push_blob(str(tmp_path / "blob"))
        assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
        client.set_alias("1", digest)
        assert client.list_aliases() == ["1"]
        assert client.get_alias("1") == [digest]
        assert b"".join(client.pull_blob(digest)) == content
    assert oci_registry.tags("team/files") == ["1"]
    assert oci_registry.problems() == []


@TLS
@USERS
def test_dxf_with_a_wrong_password(oci_registry: OciRegistry, tmp_path: Path) -> None:
    """python-dxf is told that the password is wrong."""
    (tmp_path / "blob").write_bytes(b"a blob")
    with dxf(oci_registry, "team/files", "wrong") as client, pytest.raises(DXFUnauthorizedError):
        client.push_blob(str(tmp_path / "blob"))


@pytest.mark.oci_registry(tls=True, auth={"alice": "secret"})
def test_httpx_by_hand(oci_registry: OciRegistry) -> None:
    """A push and a pull, request by request, over TLS and with a password."""
    content = b"a layer"
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    with httpx.Client(
        base_url=oci_registry.url,
        auth=("alice", "secret"),
        verify=oci_registry.ssl_context(),
        trust_env=False,
    ) as client:
        location = client.post("/v2/team/app/blobs/uploads/").headers["location"]
        location = client.patch(location, content=content).headers["location"]
        assert client.put(location, params={"digest": digest}).status_code == 201
        assert (
            client.get(f"/v2/team/app/blobs/{digest}", headers={"range": "bytes=2-"}).content == content[2:]
        )
    oci_registry.requests.assert_order("POST", "PATCH", "PUT", "GET")
    assert oci_registry.blob(digest) == content
