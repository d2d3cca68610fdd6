"""What every client test has: a server of its module, a repository of its own, a home folder, a docker daemon."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import bcrypt
import pytest

from tests.server import running_server

from .images import image
from .registry_view import PASSWORD, USER, Registry, server_errors
from .stores import containers_environment, docker_daemon, short_folder
from .tools import Client, client

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a client test."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.clients)


@contextlib.contextmanager
def serving(folder: Path, settings: Mapping[str, str]) -> Iterator[str]:
    """Run the real server, whose `check` finds nothing wrong afterwards; yield localhost:PORT."""
    with running_server(folder, settings) as server:
        yield f"localhost:{server.host.rpartition(':')[2]}"
        assert server_errors(server.log) == []


@pytest.fixture(scope="module")
def new_database() -> Callable[[], Mapping[str, str]]:
    """Give what makes a server's database, as its settings: SQLite in its folder, unless a module says otherwise."""
    return dict


@pytest.fixture(scope="module")
def registry_server(new_database: Callable[[], Mapping[str, str]]) -> Iterator[Registry]:
    """Give the module's own server, open to everybody (or the one at REGISTRY_UNDER_TEST, for comparing)."""
    if "REGISTRY_UNDER_TEST" in os.environ:
        yield Registry(os.environ["REGISTRY_UNDER_TEST"])
        return
    with short_folder("server") as folder, serving(folder, new_database()) as host:
        yield Registry(host)


@pytest.fixture(scope="module")
def protected_server(new_database: Callable[[], Mapping[str, str]]) -> Iterator[Registry]:
    """Give the module's own server that only USER may use (or the one at REGISTRY_UNDER_TEST_AUTH)."""
    if "REGISTRY_UNDER_TEST_AUTH" in os.environ:
        yield Registry(os.environ["REGISTRY_UNDER_TEST_AUTH"], (USER, PASSWORD))
        return
    with short_folder("server") as folder:
        users = folder / "htpasswd"
        users.write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode()}\n")
        settings = {**new_database(), "REGISTRY_AUTH__HTPASSWD__FILE": str(users)}
        with serving(folder, settings) as host:
            yield Registry(host, (USER, PASSWORD))


@pytest.fixture
def repository() -> str:
    """Give the name of a repository that no other test uses."""
    return f"team/{uuid.uuid4().hex[:12]}"


@pytest.fixture
def home() -> Iterator[Path]:
    """Give an empty folder for a client's configuration, store and files."""
    with short_folder("home") as folder:
        yield folder


@pytest.fixture
def skopeo(home: Path) -> Client:
    """Give skopeo, for its own tests and wherever an image has to get into a registry."""
    return client("skopeo", home).having(**containers_environment(home))


@pytest.fixture(scope="session")
def docker() -> Iterator[Client]:
    """Give docker with a daemon that holds busybox:1, five:1 and debian:10."""
    with docker_daemon() as docker:
        for name in ("busybox-amd64", "five", "debian"):
            docker("load", "--input", image(name).archive)
        yield docker


@pytest.fixture
def empty_docker() -> Iterator[Client]:
    """Give docker with a daemon that has never seen an image."""
    with docker_daemon() as docker:
        yield docker
