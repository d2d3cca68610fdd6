"""What tests of every room share: an empty database of each kind, and asyncio as the event loop."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.postgres import running_cluster
from tests.s3 import running_s3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.postgres import Cluster
    from tests.replicas.fleet import Fleet
    from tests.s3 import S3Server


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run tests marked `anyio` on asyncio alone: the server runs on nothing else."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """Give a Postgres server, started when the first test asks for it."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """Give an S3 server, started when the first test asks for it."""
    with running_s3() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """Give the S3 server, whose keys this process and those that it starts have in their environment."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture(scope="session")
def new_fleet(
    postgres_cluster: Cluster, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Fleet]]:
    """Give a function that starts replicas behind nginx with these settings, those of the first call with the same ones.

    At the end nothing is wrong with what they have, none has failed to answer, and those that redirect have done it.
    """
    from tests.replicas.fleet import running_fleet

    fleets: dict[frozenset[tuple[str, object]], Fleet] = {}
    with ExitStack() as stack:

        def fleet(**settings: object) -> Fleet:
            key = frozenset(settings.items())
            if key not in fleets:
                database = {"database.url": postgres_cluster.create_database()}
                everything = {**s3_server.settings(), **database, **settings}
                folder = tmp_path_factory.mktemp("fleet")
                running = running_fleet(folder, everything, s3_server.environment)
                fleets[key] = stack.enter_context(running)
            return fleets[key]

        yield fleet
        for key, one in fleets.items():
            one.require_well()
            assert one.redirects == ("storage.objects.redirect" in dict(key))


@pytest.fixture
def postgres_url(postgres_cluster: Cluster) -> Iterator[Callable[[], str]]:
    """Give a function that makes a fresh, empty Postgres database at each call and returns its URL."""
    urls: list[str] = []

    def create() -> str:
        urls.append(postgres_cluster.create_database())
        return urls[-1]

    yield create
    for url in urls:
        postgres_cluster.drop_database(url)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a fresh, empty database: the test runs once on SQLite and once on Postgres."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    create: Callable[[], str] = request.getfixturevalue("postgres_url")
    return create()
