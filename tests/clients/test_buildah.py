"""buildah: images built from what the registry has, pushed back to it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from .images import image
from .registry_view import PASSWORD, USER, Registry
from .stores import containers_environment
from .tools import Client, client


@pytest.fixture
def buildah(home: Path) -> Client:
    """Give buildah with an empty store."""
    return client("buildah", home).having(**containers_environment(home), BUILDAH_ISOLATION="chroot")


@pytest.fixture
def base(skopeo: Client, registry_server: Registry, repository: str) -> str:
    """Give the name of a busybox that the registry has."""
    name = f"{registry_server.host}/{repository}/base:1"
    skopeo("copy", image("busybox-amd64").layout, f"docker://{name}")
    return name


def files_of(registry: Registry, repository: str, digest: str) -> dict[str, bytes]:
    """Return the files in a layer of the registry."""
    content = registry.get(f"{repository}/blobs/{digest}").content
    with tarfile.open(fileobj=io.BytesIO(content)) as layer:
        members = [member for member in layer.getmembers() if member.isfile()]
        return {member.name: layer.extractfile(member).read() for member in members}  # type: ignore[union-attr]


@pytest.mark.parametrize("form", ["oci", "docker"])
def test_build_and_push(
    form: str, buildah: Client, base: str, registry_server: Registry, repository: str, home: Path
) -> None:
    """An image built FROM the registry in either format arrives with the base's layer and the built files on top."""
    (home / "Containerfile").write_text(f"FROM {base}\nCOPY word /word\nRUN cat /word /word > /words\n")
    (home / "word").write_text("word")
    name = f"{registry_server.host}/{repository}:1"
    buildah("bud", "--quiet", "--layers", "--format", form, "--tag", name, str(home))
    buildah("push", name)
    manifest = registry_server.complete(repository, "1")
    assert manifest.layers[0] == registry_server.manifest(f"{repository}/base", "1").layers[0]
    assert files_of(registry_server, repository, manifest.layers[1])["word"] == b"word"
    assert files_of(registry_server, repository, manifest.layers[2])["words"] == b"wordword"


@pytest.mark.everywhere
def test_from_run_commit_push(buildah: Client, base: str, registry_server: Registry, repository: str) -> None:
    """A container changed by hand and committed pushes its change, and pulls again from nothing."""
    container = buildah("from", base).strip()
    buildah("run", container, "sh", "-c", "echo made by hand > /made")
    buildah("config", "--label", "made=by-hand", container)
    name = f"{registry_server.host}/{repository}:made"
    buildah("commit", "--quiet", "--rm", container, f"docker://{name}")
    manifest = registry_server.complete(repository, "made")
    assert files_of(registry_server, repository, manifest.layers[-1])["made"] == b"made by hand\n"
    assert buildah("run", buildah("from", name).strip(), "cat", "/made") == "made by hand\n"
    told = json.loads(buildah("inspect", "--type", "image", name))
    assert told["OCIv1"]["config"]["Labels"]["made"] == "by-hand"


def test_multi_arch_build(
    buildah: Client, skopeo: Client, registry_server: Registry, repository: str, home: Path
) -> None:
    """An image built for two platforms into one list is pushed as an index that is complete with both."""
    base = f"{registry_server.host}/{repository}/multi:1"
    skopeo("copy", "--all", image("busybox-multi").layout, f"docker://{base}")
    (home / "Containerfile").write_text(f"FROM {base}\nCOPY word /word\n")
    (home / "word").write_text("word")
    name = f"{registry_server.host}/{repository}:1"
    buildah("bud", "--quiet", "--platform", "linux/amd64,linux/arm64", "--manifest", name, str(home))
    buildah("manifest", "push", "--all", name, f"docker://{name}")
    index = registry_server.complete(repository, "1")
    assert index.media_type == "application/vnd.oci.image.index.v1+json"
    platforms = {entry["platform"]["architecture"]: entry["digest"] for entry in index.document["manifests"]}
    assert sorted(platforms) == ["amd64", "arm64"]
    for architecture, digest in platforms.items():
        name = f"docker://{registry_server.host}/{repository}@{digest}"
        config = json.loads(skopeo("inspect", "--config", name))
        assert config["rootfs"]["diff_ids"][0] == image(f"busybox-{architecture}").diff_ids[0]


@pytest.mark.everywhere
def test_login(buildah: Client, protected_server: Registry, repository: str) -> None:
    """Without a log-in and with a wrong password nothing goes; with the right one a push does."""
    host = protected_server.host
    pulled = buildah("pull", "--quiet", image("busybox-amd64").layout).strip()
    push = ("push", pulled, f"docker://{host}/{repository}:1")
    buildah.refused(*push)
    buildah.refused("login", "--username", USER, "--password-stdin", host, stdin="wrong")
    buildah("login", "--username", USER, "--password-stdin", host, stdin=PASSWORD)
    buildah(*push)
    assert len(protected_server.complete(repository, "1").layers) == 1
