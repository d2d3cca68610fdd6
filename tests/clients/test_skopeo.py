"""skopeo: copies of every kind, without a daemon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .images import image
from .registry_view import PASSWORD, USER, Registry
from .tools import Client


@pytest.mark.parametrize("name", ["five", "debian"])
@pytest.mark.everywhere
def test_copy_there_and_back(
    name: str, skopeo: Client, registry_server: Registry, repository: str, home: Path
) -> None:
    """An image pushed from an OCI layout is complete, keeps its digest, and comes back as the same image."""
    reference = f"docker://{registry_server.host}/{repository}:1"
    skopeo("copy", image(name).layout, reference)
    assert registry_server.complete(repository, "1").digest == image(name).digest
    skopeo("copy", reference, f"oci:{home}/back:1")
    index = json.loads((home / "back/index.json").read_bytes())
    assert [entry["digest"] for entry in index["manifests"]] == [image(name).digest]


def test_copy_as_docker_schema_2(skopeo: Client, registry_server: Registry, repository: str) -> None:
    """An image pushed in Docker's format is served in Docker's format."""
    reference = f"docker://{registry_server.host}/{repository}:1"
    skopeo("copy", "--format", "v2s2", image("busybox-amd64").layout, reference)
    manifest = registry_server.complete(repository, "1")
    assert manifest.media_type == "application/vnd.docker.distribution.manifest.v2+json"
    assert json.loads(skopeo("inspect", "--raw", reference)) == manifest.document


@pytest.mark.everywhere
def test_index_with_all_platforms(skopeo: Client, registry_server: Registry, repository: str) -> None:
    """An index arrives with both of its images, and a platform can be picked from it."""
    reference = f"docker://{registry_server.host}/{repository}:multi"
    skopeo("copy", "--all", image("busybox-multi").layout, reference)
    assert registry_server.complete(repository, "multi").digest == image("busybox-multi").digest
    for architecture in ("amd64", "arm64"):
        config = json.loads(skopeo("--override-arch", architecture, "inspect", "--config", reference))
        assert config["architecture"] == architecture
        assert config["rootfs"]["diff_ids"] == image(f"busybox-{architecture}").diff_ids


def test_inspect_and_list_tags(skopeo: Client, registry_server: Registry, repository: str) -> None:
    """inspect tells what was pushed, and list-tags lists each tag once, in order."""
    place = f"docker://{registry_server.host}/{repository}"
    for tag in ("b", "a", "1.0"):
        skopeo("copy", image("busybox-amd64").layout, f"{place}:{tag}")
    told = json.loads(skopeo("inspect", f"{place}:a"))
    assert told["Digest"] == image("busybox-amd64").digest
    assert told["Layers"] == registry_server.manifest(repository, "a").layers
    assert told["RepoTags"] == json.loads(skopeo("list-tags", place))["Tags"] == ["1.0", "a", "b"]


def test_copy_by_digest_between_repositories(
    skopeo: Client, registry_server: Registry, repository: str
) -> None:
    """An image copied by digest into another repository is complete there."""
    place = f"docker://{registry_server.host}/{repository}"
    skopeo("copy", image("five").layout, f"{place}:1")
    skopeo("copy", f"{place}@{image('five').digest}", f"{place}/copy:2")
    assert registry_server.complete(f"{repository}/copy", "2").digest == image("five").digest


def test_sync_both_ways(skopeo: Client, registry_server: Registry, repository: str, home: Path) -> None:
    """A repository synced into a folder, and from there into another repository, has the same tags and images."""
    place = f"{registry_server.host}/{repository}"
    skopeo("copy", image("busybox-amd64").layout, f"docker://{place}/box:1")
    skopeo("copy", image("busybox-arm64").layout, f"docker://{place}/box:2")
    skopeo("sync", "--src", "docker", "--dest", "dir", f"{place}/box", f"{home}/sync")
    skopeo("sync", "--src", "dir", "--dest", "docker", f"{home}/sync", f"{place}/synced")
    assert sorted(registry_server.tags(f"{repository}/synced/box")) == ["1", "2"]
    for tag, name in (("1", "busybox-amd64"), ("2", "busybox-arm64")):
        assert registry_server.complete(f"{repository}/synced/box", tag).digest == image(name).digest


def test_delete(skopeo: Client, registry_server: Registry, repository: str) -> None:
    """A deleted image is gone, with every tag of its digest; another image stays."""
    place = f"docker://{registry_server.host}/{repository}"
    for tag, name in (("old", "busybox-amd64"), ("older", "busybox-amd64"), ("new", "busybox-arm64")):
        skopeo("copy", image(name).layout, f"{place}:{tag}")
    skopeo("delete", f"{place}:old")
    for reference in ("old", "older", image("busybox-amd64").digest):
        assert registry_server.ask("GET", f"{repository}/manifests/{reference}").status_code == 404
    assert "manifest unknown" in skopeo.refused("inspect", f"{place}:old")
    assert registry_server.complete(repository, "new").digest == image("busybox-arm64").digest


@pytest.mark.everywhere
def test_login(skopeo: Client, protected_server: Registry, repository: str) -> None:
    """Without a log-in and with a wrong password nothing goes; with the right one a push and a pull do."""
    host = protected_server.host
    push = ("copy", image("busybox-amd64").layout, f"docker://{host}/{repository}:1")
    assert "unauthorized" in skopeo.refused(*push)
    assert "invalid username/password" in skopeo.refused(
        "login", "--username", USER, "--password", "wrong", host
    )
    skopeo("login", "--username", USER, "--password", PASSWORD, host)
    skopeo(*push)
    assert protected_server.complete(repository, "1").digest == image("busybox-amd64").digest
    skopeo("inspect", f"docker://{host}/{repository}:1")
    skopeo("logout", host)
    skopeo.refused("inspect", f"docker://{host}/{repository}:1")
