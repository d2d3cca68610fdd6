"""podman: images between its own store and the registry, and containers made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .images import big_sha256, image
from .registry_view import PASSWORD, USER, Registry
from .stores import containers_environment, short_folder
from .tools import Client, client


def podman_in(home: Path) -> Client:
    """Return podman with an empty store below home."""
    return client("podman", home).having(**containers_environment(home))


@pytest.fixture(scope="module")
def podman() -> Iterator[Client]:
    """Give podman with a store that holds busybox-amd64, five and debian under localhost/."""
    with short_folder("podman") as home:
        podman = podman_in(home)
        for name in ("busybox-amd64", "five", "debian"):
            podman("tag", podman("pull", "--quiet", image(name).layout).strip(), f"localhost/{name}")
        yield podman


@pytest.fixture
def empty_podman(home: Path) -> Client:
    """Give podman with a store that has never seen an image."""
    return podman_in(home)


def derived(podman: Client, folder: Path, name: str) -> str:
    """Build an image whose second layer nobody has seen before; return its name."""
    (folder / "mark").write_text(name)
    (folder / "Containerfile").write_text("FROM localhost/busybox-amd64\nCOPY mark /mark\n")
    podman("build", "--quiet", "--tag", name, str(folder))
    return name


def layers(podman: Client, name: str) -> list[str]:
    """Return the digests of the uncompressed layers in podman's store."""
    digests: list[str] = json.loads(podman("image", "inspect", name))[0]["RootFS"]["Layers"]
    return digests


@pytest.mark.parametrize(
    ("form", "media_type"),
    [
        ("oci", "application/vnd.oci.image.manifest.v1+json"),
        ("v2s2", "application/vnd.docker.distribution.manifest.v2+json"),
    ],
)
@pytest.mark.everywhere
def test_push_and_pull_five_layers(
    form: str,
    media_type: str,
    podman: Client,
    empty_podman: Client,
    registry_server: Registry,
    repository: str,
) -> None:
    """Five layers pushed in either format are complete, and the same in an empty store that pulls and runs them."""
    name = f"{registry_server.host}/{repository}:1"
    podman("push", "--format", form, "localhost/five", name)
    manifest = registry_server.complete(repository, "1")
    assert (manifest.media_type, len(manifest.layers)) == (media_type, 5)
    empty_podman("pull", name)
    assert layers(empty_podman, name) == image("five").diff_ids
    run = ("run", "--rm", "--network", "none")
    assert empty_podman(*run, name) == "hello from five\n"
    assert empty_podman(*run, "--entrypoint", "sha256sum", name, "/data/big.bin").split()[0] == big_sha256()


def test_pull_by_digest(
    podman: Client, empty_podman: Client, registry_server: Registry, repository: str
) -> None:
    """An image pulled by digest alone is the image that was pushed, and knows its digest."""
    place = f"{registry_server.host}/{repository}"
    podman("push", "localhost/debian", f"{place}:1")
    digest = registry_server.complete(repository, "1").digest
    empty_podman("pull", f"{place}@{digest}")
    told = json.loads(empty_podman("image", "inspect", f"{place}@{digest}"))[0]
    assert told["RootFS"]["Layers"] == image("debian").diff_ids
    assert f"{place}@{digest}" in told["RepoDigests"]
    assert "ADD" in empty_podman("history", "--no-trunc", f"{place}@{digest}")


def test_commit_pushes_one_new_layer(
    podman: Client, registry_server: Registry, repository: str, home: Path
) -> None:
    """A container's changed file travels as one more layer on top of the same ones."""
    place = f"{registry_server.host}/{repository}"
    parent = derived(podman, home, f"{place}:parent")
    podman("push", parent)
    container = f"changed-{repository.replace('/', '-')}"
    podman("run", "--name", container, "--network", "none", parent, "sh", "-c", "echo changed > /mark")
    podman("commit", "--quiet", container, f"{place}:child")
    podman("rm", container)
    podman("push", f"{place}:child")
    before = registry_server.complete(repository, "parent")
    after = registry_server.complete(repository, "child")
    assert after.layers[:-1] == before.layers
    podman("rmi", f"{place}:child")
    assert podman("run", "--rm", "--network", "none", f"{place}:child", "cat", "/mark") == "changed\n"


def test_zstd_chunked(
    podman: Client, empty_podman: Client, registry_server: Registry, repository: str, home: Path
) -> None:
    """Layers compressed as zstd:chunked, with podman's annotations, are kept and come back as the same files."""
    name = derived(podman, home, f"{registry_server.host}/{repository}:1")
    podman("push", "--format", "oci", "--compression-format", "zstd:chunked", name)
    manifest = registry_server.complete(repository, "1")
    assert manifest.document["layers"][-1]["mediaType"] == "application/vnd.oci.image.layer.v1.tar+zstd"
    empty_podman("pull", name)
    assert layers(empty_podman, name) == layers(podman, name)


def test_pull_all_tags(
    podman: Client, empty_podman: Client, registry_server: Registry, repository: str
) -> None:
    """--all-tags brings every tag of the repository."""
    place = f"{registry_server.host}/{repository}"
    for tag in ("1", "2", "latest"):
        podman("push", "localhost/busybox-amd64", f"{place}:{tag}")
    empty_podman("pull", "--all-tags", place)
    tags = empty_podman("images", "--format", "{{.Tag}}", place).split()
    assert sorted(tags) == ["1", "2", "latest"]


def test_manifest_list(podman: Client, skopeo: Client, registry_server: Registry, repository: str) -> None:
    """A list made of two pushed images names both, with their platforms, and is complete."""
    place = f"{registry_server.host}/{repository}"
    for architecture in ("amd64", "arm64"):
        skopeo("copy", image(f"busybox-{architecture}").layout, f"docker://{place}:{architecture}")
    podman("manifest", "create", f"{place}:list", f"docker://{place}:amd64", f"docker://{place}:arm64")
    podman("manifest", "push", "--all", f"{place}:list", f"docker://{place}:list")
    listed = registry_server.complete(repository, "list").document["manifests"]
    assert {entry["platform"]["architecture"]: entry["digest"] for entry in listed} == {
        architecture: image(f"busybox-{architecture}").digest for architecture in ("amd64", "arm64")
    }
    pulled = podman("pull", "--quiet", "--platform", "linux/arm64", f"{place}:list").strip()
    assert podman("image", "inspect", "--format", "{{.Architecture}}", pulled).strip() == "arm64"
    assert layers(podman, pulled) == image("busybox-arm64").diff_ids


def test_search(podman: Client, registry_server: Registry, repository: str) -> None:
    """search finds a repository by the catalog and lists its tags."""
    place = f"{registry_server.host}/{repository}"
    podman("push", "localhost/busybox-amd64", f"{place}:1")
    assert place in podman("search", "--limit", "100", f"{registry_server.host}/{repository}").split()
    assert [place, "1"] in [line.split() for line in podman("search", "--list-tags", place).splitlines()]


def test_missing_tag(podman: Client, registry_server: Registry, repository: str) -> None:
    """A tag that is not there is said to be unknown."""
    place = f"{registry_server.host}/{repository}"
    podman("push", "localhost/busybox-amd64", f"{place}:1")
    assert "manifest unknown" in podman.refused("pull", f"{place}:2")


@pytest.mark.everywhere
def test_login(podman: Client, protected_server: Registry, repository: str) -> None:
    """Without a log-in and with a wrong password nothing goes; with the right one a push and a pull do."""
    host, name = protected_server.host, f"{protected_server.host}/{repository}:1"
    push = ("push", "localhost/busybox-amd64", name)
    assert "authentication required" in podman.refused(*push) or "unauthorized" in podman.refused(*push)
    login = ("login", "--username", USER, "--password-stdin", host)
    assert "invalid username/password" in podman.refused(*login, stdin="wrong")
    podman(*login, stdin=PASSWORD)
    podman(*push)
    assert len(protected_server.complete(repository, "1").layers) == 1
    podman("pull", name)
    podman("logout", host)
    podman.refused("pull", name)
