"""What every client test has: a server of its module, a repository of its own, a home folder, a docker daemon."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import bcrypt
import pytest

from tests.postgres import Cluster
from tests.replicas.fleet import REDIRECTING, Fleet
from tests.server import running_server

from .images import image
from .registry_view import PASSWORD, USER, Registry, server_errors
from .stores import containers_environment, docker_daemon, short_folder
from .tools import Client, client

HERE = Path(__file__).parent
FLEETS: Mapping[str, Mapping[str, str]] = {"replicas": {}, "redirecting replicas": REDIRECTING}
"""What is behind nginx, by its settings."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test runs against one server on SQLite, where its module says so on Postgres, and `everywhere` before a fleet."""
    if "place" in metafunc.fixturenames:
        places = [*getattr(metafunc.module, "PLACES", ["sqlite"])]
        if metafunc.definition.get_closest_marker("everywhere"):
            places += [pytest.param(place, marks=pytest.mark.replicas) for place in FLEETS]
        metafunc.parametrize("place", places, indirect=True, scope="module")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a client test, if it does not belong to the replicas."""
    for item in items:
        if HERE in item.path.parents and not item.get_closest_marker("replicas"):
            item.add_marker(pytest.mark.clients)


@contextlib.contextmanager
def serving(folder: Path, settings: Mapping[str, str]) -> Iterator[str]:
    """Run the real server, whose `check` finds nothing wrong afterwards; yield localhost:PORT."""
    with running_server(folder, settings) as server:
        yield f"localhost:{server.host.rpartition(':')[2]}"
        assert server_errors(server.log) == []


@contextlib.contextmanager
def running_registry(
    place: str, request: pytest.FixtureRequest, settings: Mapping[str, str]
) -> Iterator[str]:
    """Run a registry of this kind, or find the fleet that runs already; localhost:PORT, where clients reach it."""
    if place in FLEETS:
        fleet: Fleet = request.getfixturevalue("new_fleet")(**FLEETS[place], **settings)
        yield fleet.proxy.host
        return
    variables = {f"REGISTRY_{key.upper().replace('.', '__')}": value for key, value in settings.items()}
    if place == "postgres":
        cluster: Cluster = request.getfixturevalue("postgres_cluster")
        variables["REGISTRY_DATABASE__URL"] = cluster.create_database()
    with short_folder("server") as folder, serving(folder, variables) as host:
        yield host


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest) -> str:
    """Say what the registry is: one process on a database of this name, or one of FLEETS."""
    place: str = request.param
    return place


@pytest.fixture(scope="module")
def registry_server(place: str, request: pytest.FixtureRequest) -> Iterator[Registry]:
    """Give a registry that is open to everybody (or the one at REGISTRY_UNDER_TEST, for comparing)."""
    if "REGISTRY_UNDER_TEST" in os.environ:
        yield Registry(os.environ["REGISTRY_UNDER_TEST"])
        return
    with running_registry(place, request, {}) as host:
        yield Registry(host)


@pytest.fixture(scope="module")
def protected_server(place: str, request: pytest.FixtureRequest, users_file: Path) -> Iterator[Registry]:
    """Give a registry that only USER may use (or the one at REGISTRY_UNDER_TEST_AUTH)."""
    if "REGISTRY_UNDER_TEST_AUTH" in os.environ:
        yield Registry(os.environ["REGISTRY_UNDER_TEST_AUTH"], (USER, PASSWORD))
        return
    with running_registry(place, request, {"auth.htpasswd.file": str(users_file)}) as host:
        yield Registry(host, (USER, PASSWORD))


@pytest.fixture(scope="session")
def users_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file with USER in it."""
    users = tmp_path_factory.mktemp("users") / "htpasswd"
    users.write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode()}\n")
    return users


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
