"""docker, with a real daemon: what it pushes, what it leaves out, what it pulls and runs."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from .images import big_sha256, image
from .registry_view import PASSWORD, USER, Registry
from .tools import Client

RUN = ("run", "--rm", "--network", "none")


def derived(docker: Client, folder: Path, name: str) -> str:
    """Build an image with a second layer that nobody has seen before; return its name."""
    (folder / "mark").write_text(name)
    (folder / "Dockerfile").write_text("FROM busybox:1\nCOPY mark /mark\n")
    docker("build", "--quiet", "--tag", name, str(folder))
    return name


def fates(pushed: str) -> list[str]:
    """Return what a push said of each layer: Pushed, Layer already exists, or Mounted from a repository."""
    return re.findall(
        r"^[0-9a-f]{12}: (Pushed|Layer already exists|Mounted from \S+)\s*$", pushed, re.MULTILINE
    )


def digest_of(pushed: str) -> str:
    """Return the digest of the manifest that a push made."""
    found = re.search(r"digest: (sha256:[0-9a-f]{64}) size: \d+", pushed)
    assert found, pushed
    return found[1]


def layers(docker: Client, name: str) -> list[str]:
    """Return the digests of the uncompressed layers in the daemon."""
    digests: list[str] = json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", name))
    return digests


@pytest.mark.everywhere
def test_five_layers(
    docker: Client, empty_docker: Client, registry_server: Registry, repository: str
) -> None:
    """Five layers (120 MB in one, 4,000 files in one) arrive complete; an empty daemon pulls and runs the same."""
    name = f"{registry_server.host}/{repository}:1"
    docker("tag", "five:1", name)
    pushed = docker("push", name)
    assert len(fates(pushed)) == 5
    # busybox, the first of them, may be mounted from another test's repository
    assert fates(pushed).count("Pushed") >= 4
    manifest = registry_server.complete(repository, "1")
    assert manifest.digest == digest_of(pushed)
    assert manifest.media_type == "application/vnd.docker.distribution.manifest.v2+json"
    empty_docker("pull", name)
    assert layers(empty_docker, name) == image("five").diff_ids
    assert empty_docker("image", "inspect", "--format", "{{.Id}}", name) == docker(
        "image", "inspect", "--format", "{{.Id}}", "five:1"
    )
    assert empty_docker(*RUN, name) == "hello from five\n"
    assert empty_docker(*RUN, "--entrypoint", "sha256sum", name, "/data/big.bin").split()[0] == big_sha256()
    files = empty_docker(*RUN, "--entrypoint", "sh", name, "-c", "find /data/small -type f | wc -l")
    assert int(files) == 4000 - 100 - 1 + 1  # whiteouts took a folder and a file away, and one file is new


def test_inspect_and_history(docker: Client, registry_server: Registry, repository: str, home: Path) -> None:
    """A pulled image tells its system, its digest and the steps it was built in."""
    name = derived(docker, home, f"{registry_server.host}/{repository}:1")
    digest = digest_of(docker("push", name))
    docker("rmi", name)
    docker("pull", name)
    assert docker("image", "inspect", "--format", "{{.Os}}", name) == "linux\n"
    repository_digests = json.loads(docker("image", "inspect", "--format", "{{json .RepoDigests}}", name))
    assert repository_digests == [f"{registry_server.host}/{repository}@{digest}"]
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", name).splitlines()
    assert "COPY file:" in history[0]
    assert 'CMD ["/bin/sh"]' in history[1]


def test_push_again(docker: Client, registry_server: Registry, repository: str, home: Path) -> None:
    """A second push finds every layer there and ends with the same digest."""
    name = derived(docker, home, f"{registry_server.host}/{repository}:1")
    first, second = docker("push", name), docker("push", name)
    assert "Pushed" in fates(first)
    assert fates(second) == ["Layer already exists"] * 2
    assert digest_of(first) == digest_of(second) == registry_server.complete(repository, "1").digest


@pytest.mark.everywhere
def test_push_to_another_repository(
    docker: Client, registry_server: Registry, repository: str, home: Path
) -> None:
    """The same image in another repository of the registry is mounted, not sent."""
    name = derived(docker, home, f"{registry_server.host}/{repository}/first:1")
    docker("push", name)
    other = f"{registry_server.host}/{repository}/second:1"
    docker("tag", name, other)
    fate = fates(docker("push", other))
    assert f"Mounted from {repository}/first" in fate
    assert [words.split()[0] for words in fate] == ["Mounted"] * 2
    mounted = registry_server.complete(f"{repository}/second", "1")
    assert mounted.digest == registry_server.manifest(f"{repository}/first", "1").digest


def test_pull_by_digest(
    docker: Client, empty_docker: Client, registry_server: Registry, repository: str, home: Path
) -> None:
    """An image pulled by digest is the one that had the tag then, though the tag has moved on."""
    place = f"{registry_server.host}/{repository}"
    old = digest_of(docker("push", derived(docker, home, f"{place}:1")))
    old_layers = layers(docker, f"{place}:1")
    docker("tag", "busybox:1", f"{place}:1")
    assert digest_of(docker("push", f"{place}:1")) != old
    empty_docker("pull", f"{place}@{old}")
    assert layers(empty_docker, f"{place}@{old}") == old_layers
    assert empty_docker(*RUN, f"{place}@{old}", "cat", "/mark") == f"{place}:1"


def test_commit_pushes_one_new_layer(
    docker: Client, registry_server: Registry, repository: str, home: Path
) -> None:
    """After a change in a container and a commit, only the new layer travels, and it holds the changed file alone."""
    place = f"{registry_server.host}/{repository}"
    parent = derived(docker, home, f"{place}:parent")
    docker("push", parent)
    container = repository.replace("/", "-")
    docker("run", "--name", container, "--network", "none", parent, "sh", "-c", "echo changed > /mark")
    docker("commit", container, f"{place}:child")
    docker("rm", container)
    assert sorted(fates(docker("push", f"{place}:child"))) == [
        "Layer already exists",
        "Layer already exists",
        "Pushed",
    ]
    before = registry_server.complete(repository, "parent")
    after = registry_server.complete(repository, "child")
    assert after.layers[:-1] == before.layers
    content = registry_server.get(f"{repository}/blobs/{after.layers[-1]}").content
    with tarfile.open(fileobj=io.BytesIO(content)) as layer:
        assert layer.getnames() == ["mark"]
        assert layer.extractfile("mark").read() == b"changed\n"  # type: ignore[union-attr]


def test_all_tags(docker: Client, empty_docker: Client, registry_server: Registry, repository: str) -> None:
    """--all-tags pushes and pulls every tag of a repository."""
    place = f"{registry_server.host}/{repository}"
    for tag in ("1", "2", "latest"):
        docker("tag", "busybox:1", f"{place}:{tag}")
    docker("push", "--all-tags", place)
    assert sorted(registry_server.tags(repository)) == ["1", "2", "latest"]
    empty_docker("pull", "--all-tags", place)
    assert sorted(empty_docker("images", "--format", "{{.Tag}}", place).split()) == ["1", "2", "latest"]


@pytest.mark.parametrize("buildkit", ["0", "1"])
def test_build_from_the_registry(
    buildkit: str,
    docker: Client,
    empty_docker: Client,
    registry_server: Registry,
    repository: str,
    home: Path,
) -> None:
    """Either builder takes its base from the registry; the result goes back on top of the base's layers."""
    place = f"{registry_server.host}/{repository}"
    docker("push", derived(docker, home, f"{place}:base"))
    (home / "Dockerfile").write_text(f"FROM {place}:base\nCOPY mark /copy\nRUN cat /mark /copy > /both\n")
    builder = empty_docker.having(DOCKER_BUILDKIT=buildkit)
    builder("build", "--network", "none", "--tag", f"{place}:built", str(home))
    builder("push", f"{place}:built")
    base, built = registry_server.manifest(repository, "base"), registry_server.complete(repository, "built")
    assert (built.layers[:2], len(built.layers)) == (base.layers, 4)
    docker("pull", f"{place}:built")
    assert docker(*RUN, f"{place}:built", "cat", "/both") == f"{place}:base" * 2


def test_manifest_list(
    docker: Client, empty_docker: Client, skopeo: Client, registry_server: Registry, repository: str
) -> None:
    """A list made by `docker manifest` from two pushed images is complete, and each platform is pulled from it."""
    place = f"{registry_server.host}/{repository}"
    for architecture in ("amd64", "arm64"):
        source = image(f"busybox-{architecture}").layout
        skopeo("copy", "--format", "v2s2", source, f"docker://{place}:{architecture}")
    docker("manifest", "create", "--insecure", f"{place}:list", f"{place}:amd64", f"{place}:arm64")
    docker("manifest", "push", "--insecure", f"{place}:list")
    index = registry_server.complete(repository, "list")
    assert index.media_type == "application/vnd.docker.distribution.manifest.list.v2+json"
    pulls_each_platform(empty_docker, f"{place}:list")


@pytest.mark.everywhere
def test_oci_index(empty_docker: Client, skopeo: Client, registry_server: Registry, repository: str) -> None:
    """Each platform is pulled from an OCI index that another client pushed."""
    name = f"{registry_server.host}/{repository}:multi"
    skopeo("copy", "--all", image("busybox-multi").layout, f"docker://{name}")
    pulls_each_platform(empty_docker, name)


def pulls_each_platform(docker: Client, name: str) -> None:
    """Assert that the name holds both busyboxes."""
    for architecture in ("amd64", "arm64"):
        docker("pull", "--platform", f"linux/{architecture}", name)
        assert docker("image", "inspect", "--format", "{{.Architecture}}", name) == f"{architecture}\n"
        assert layers(docker, name) == image(f"busybox-{architecture}").diff_ids


def test_missing_tag(docker: Client, registry_server: Registry, repository: str) -> None:
    """A tag that is not there is said to be unknown."""
    place = f"{registry_server.host}/{repository}"
    docker("tag", "busybox:1", f"{place}:1")
    docker("push", f"{place}:1")
    assert "manifest unknown" in docker.refused("pull", f"{place}:2")


@pytest.mark.everywhere
def test_login(docker: Client, protected_server: Registry, repository: str, home: Path) -> None:
    """Without a log-in and with a wrong password nothing goes; with the right one a push and a pull do."""
    docker = docker.having(DOCKER_CONFIG=str(home))
    host, name = protected_server.host, f"{protected_server.host}/{repository}:1"
    docker("tag", "busybox:1", name)
    assert "no basic auth credentials" in docker.refused("push", name)
    login = ("login", "--username", USER, "--password-stdin", host)
    assert "unauthorized" in docker.refused(*login, stdin="wrong").lower()
    assert "Login Succeeded" in docker(*login, stdin=PASSWORD)
    pushed = docker("push", name)
    assert protected_server.complete(repository, "1").digest == digest_of(pushed)
    docker("rmi", name)
    docker("pull", name)
    docker("logout", host)
    docker.refused("pull", name)
