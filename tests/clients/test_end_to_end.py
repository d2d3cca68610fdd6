"""The first thing a user does: push Debian with docker, pull it somewhere else."""

from __future__ import annotations

import pytest

from .images import image
from .registry_view import Registry
from .tools import Client


@pytest.mark.everywhere
def test_debian_from_one_daemon_to_another(
    docker: Client, empty_docker: Client, registry_server: Registry
) -> None:
    """`docker push localhost:PORT/debian:10`, pulled by a daemon that has nothing, runs there as the same Debian."""
    name = f"{registry_server.host}/debian:10"
    docker("tag", "debian:10", name)
    docker("push", name)
    registry_server.complete("debian", "10")
    assert empty_docker("images", "--quiet") == ""
    empty_docker("pull", name)
    shape = ("image", "inspect", "--format", "{{.Id}} {{.Os}} {{json .RootFS.Layers}}", name)
    assert empty_docker(*shape) == docker(*shape)
    assert image("debian").diff_ids[0] in empty_docker(*shape)
    run = ("run", "--rm", "--network", "none", name)
    assert empty_docker(*run, "dpkg", "--verify") == ""
    assert empty_docker(*run, "cat", "/etc/os-release") == docker(*run, "cat", "/etc/os-release")
