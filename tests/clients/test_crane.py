"""crane: images changed and moved inside the registry."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from .images import image
from .registry_view import PASSWORD, USER, Registry
from .tools import Client, client, run

PLACES = ("sqlite", "postgres")
"""Everything here runs on both."""


@pytest.fixture
def crane(home: Path) -> Client:
    """Give crane."""
    return client("forky/usr/bin/crane", home)


@pytest.fixture
def five(crane: Client, registry_server: Registry, repository: str) -> str:
    """Give the name of the image with five layers, pushed by crane."""
    name = f"{registry_server.host}/{repository}:1"
    crane("push", image("five").archive, name)
    return name


@pytest.mark.everywhere
def test_push_and_pull(
    crane: Client, five: str, registry_server: Registry, repository: str, home: Path
) -> None:
    """A pushed archive is complete and valid, and comes back with the same layers."""
    manifest = registry_server.complete(repository, "1")
    assert crane("digest", five).strip() == manifest.digest
    assert json.loads(crane("manifest", five)) == manifest.document
    assert json.loads(crane("config", five))["rootfs"]["diff_ids"] == image("five").diff_ids
    crane("validate", "--remote", five)
    crane("pull", "--format", "oci", five, "back")
    index = json.loads((home / "back/index.json").read_bytes())
    assert [entry["digest"] for entry in index["manifests"]] == [manifest.digest]


def test_copy_and_tag(crane: Client, five: str, registry_server: Registry, repository: str) -> None:
    """Copies into another repository and second tags are the same image; ls and catalog list them."""
    crane("copy", five, f"{registry_server.host}/{repository}/copy:1")
    crane("tag", five, "two")
    digest = registry_server.manifest(repository, "1").digest
    assert registry_server.manifest(repository, "two").digest == digest
    assert registry_server.complete(f"{repository}/copy", "1").digest == digest
    assert sorted(crane("ls", f"{registry_server.host}/{repository}").split()) == ["1", "two"]
    assert {repository, f"{repository}/copy"} <= set(crane("catalog", registry_server.host).split())


def test_append_mutate_flatten(
    crane: Client, five: str, registry_server: Registry, repository: str, home: Path
) -> None:
    """A layer put on top, a label changed and layers made one: each is a new complete image beside the old one."""
    place = f"{registry_server.host}/{repository}"
    (home / "word").write_text("word")
    run(["tar", "-C", str(home), "-cf", str(home / "word.tar"), "word"])
    crane("append", "--base", five, "--new_layer", "word.tar", "--new_tag", f"{place}:appended")
    before = registry_server.manifest(repository, "1")
    after = registry_server.complete(repository, "appended")
    assert (after.layers[:-1], len(after.layers)) == (before.layers, 6)
    crane("mutate", "--label", "word=word", "--tag", f"{place}:mutated", five)
    assert json.loads(crane("config", f"{place}:mutated"))["config"]["Labels"]["word"] == "word"
    assert registry_server.complete(repository, "mutated").layers == before.layers
    crane("flatten", "--tag", f"{place}:flat", f"{place}:appended")
    assert len(registry_server.complete(repository, "flat").layers) == 1
    crane("export", f"{place}:flat", "flat.tar")
    with tarfile.open(home / "flat.tar") as files:
        assert files.extractfile("word").read() == b"word"  # type: ignore[union-attr]
        assert "data/small/1/41" not in files.getnames()
        assert "data/small/0/new" in files.getnames()


def test_blob(crane: Client, five: str, registry_server: Registry, repository: str, home: Path) -> None:
    """A single layer is fetched by its digest alone."""
    digest = registry_server.manifest(repository, "1").layers[-1]
    blob = f"{registry_server.host}/{repository}@{digest}"
    run(["sh", "-c", f"{crane.command[0]} blob {blob} > layer"], directory=home)
    with tarfile.open(home / "layer") as layer:
        assert layer.extractfile("application/run.sh").read() == b"echo hello from five\n"  # type: ignore[union-attr]


def test_index(crane: Client, skopeo: Client, registry_server: Registry, repository: str, home: Path) -> None:
    """From an index one platform is pulled, and an index of fewer platforms is pushed."""
    place = f"{registry_server.host}/{repository}"
    skopeo("copy", "--all", image("busybox-multi").layout, f"docker://{place}:multi")
    crane("validate", "--remote", f"{place}:multi")
    config = json.loads(crane("config", "--platform", "linux/arm64", f"{place}:multi"))
    assert config["architecture"] == "arm64"
    crane("index", "filter", f"{place}:multi", "--platform", "linux/arm64", "--tag", f"{place}:arm64")
    filtered = registry_server.complete(repository, "arm64").document["manifests"]
    assert [entry["digest"] for entry in filtered] == [image("busybox-arm64").digest]
    crane("copy", f"{place}:multi", f"{place}/copy:multi")
    assert registry_server.complete(f"{repository}/copy", "multi").digest == image("busybox-multi").digest


def test_delete(crane: Client, five: str, registry_server: Registry, repository: str) -> None:
    """An image deleted by digest is gone with its tag; the one made from it stays complete."""
    place = f"{registry_server.host}/{repository}"
    crane("mutate", "--label", "a=b", "--tag", f"{place}:2", five)
    crane("delete", f"{place}@{registry_server.manifest(repository, '1').digest}")
    assert "MANIFEST_UNKNOWN" in crane.refused("manifest", five)
    assert registry_server.tags(repository) == ["2"]
    registry_server.complete(repository, "2")


@pytest.mark.everywhere
def test_login(crane: Client, protected_server: Registry, repository: str) -> None:
    """Without a log-in and with a wrong password nothing goes; with the right one a push does."""
    push = ("push", image("busybox-amd64").archive, f"{protected_server.host}/{repository}:1")
    assert "401 Unauthorized" in crane.refused(*push)
    login = ("auth", "login", protected_server.host, "--username", USER, "--password-stdin")
    crane(*login, stdin="wrong")
    assert "401 Unauthorized" in crane.refused(*push)
    crane(*login, stdin=PASSWORD)
    crane(*push)
    assert len(protected_server.complete(repository, "1").layers) == 1
