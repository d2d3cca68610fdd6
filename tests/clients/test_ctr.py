"""containerd's ctr: whole indexes, pushed and pulled over plain HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .images import IMAGES, image
from .registry_view import PASSWORD, USER, Registry
from .stores import containerd_daemon
from .tools import Client, run

PLAIN = "--plain-http"


@pytest.fixture(scope="module")
def ctr() -> Iterator[Client]:
    """Give ctr with a containerd that holds every image of the layout, as local/image:NAME."""
    with containerd_daemon() as ctr:
        layout = str(ctr.directory / "layout.tar")
        run(["tar", "-C", str(IMAGES / "oci"), "-cf", layout, "."])
        ctr("images", "import", "--all-platforms", "--base-name", "local/image", layout)
        yield ctr


@pytest.fixture
def empty_ctr() -> Iterator[Client]:
    """Give ctr with a containerd that has never seen an image."""
    with containerd_daemon() as ctr:
        yield ctr


def digests(ctr: Client) -> dict[str, str]:
    """Return the digest of each image that containerd has."""
    lines = [line.split() for line in ctr("images", "ls").splitlines()[1:]]
    return {name: digest for name, _, digest, *_ in lines}


@pytest.mark.everywhere
def test_push_pull_run(ctr: Client, empty_ctr: Client, registry_server: Registry, repository: str) -> None:
    """An image pushed by one containerd has the same digest in another one, which runs it."""
    name = f"{registry_server.host}/{repository}:10"
    ctr("images", "push", PLAIN, name, "local/image:debian")
    assert registry_server.complete(repository, "10").digest == image("debian").digest
    empty_ctr("images", "pull", PLAIN, name)
    assert digests(empty_ctr) == {name: image("debian").digest}
    assert "Debian GNU/Linux" in empty_ctr("run", "--rm", name, "run", "cat", "/etc/os-release")
    empty_ctr("content", "fetch", PLAIN, name)


@pytest.mark.everywhere
def test_index_with_all_platforms(
    ctr: Client, empty_ctr: Client, registry_server: Registry, repository: str
) -> None:
    """An index arrives with all its platforms, and comes back by digest with all of them."""
    place = f"{registry_server.host}/{repository}"
    ctr("images", "push", PLAIN, f"{place}:multi", "local/image:busybox-multi")
    index = registry_server.complete(repository, "multi")
    assert index.digest == image("busybox-multi").digest
    by_digest = f"{place}@{index.digest}"
    empty_ctr("images", "pull", PLAIN, "--all-platforms", by_digest)
    assert digests(empty_ctr) == {by_digest: index.digest}
    held = empty_ctr("content", "ls", "--quiet").split()
    for architecture in ("amd64", "arm64"):
        manifest = registry_server.manifest(repository, image(f"busybox-{architecture}").digest)
        assert {manifest.digest, *manifest.layers} <= set(held)


@pytest.mark.everywhere
def test_login(ctr: Client, protected_server: Registry, repository: str) -> None:
    """Without credentials and with a wrong password nothing goes; with the right ones a push and a pull do."""
    name = f"{protected_server.host}/{repository}:1"
    push = ("images", "push", PLAIN)
    what = (name, "local/image:busybox-amd64")
    assert "401 Unauthorized" in ctr.refused(*push, *what)
    assert "401 Unauthorized" in ctr.refused(*push, "--user", f"{USER}:wrong", *what)
    ctr(*push, "--user", f"{USER}:{PASSWORD}", *what)
    assert protected_server.complete(repository, "1").digest == image("busybox-amd64").digest
    ctr.refused("images", "pull", PLAIN, name)
    ctr("images", "pull", PLAIN, "--user", f"{USER}:{PASSWORD}", name)
