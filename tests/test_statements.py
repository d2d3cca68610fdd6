"""What a request asks of Postgres: counted in the server's own log, and compared with the table in docs/scaling.md."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.postgres import Cluster, running_cluster
from tests.s3 import S3Server
from tests.server import PROJECT
from tests.support.content import Blob, blob, image
from tests.support.http import Repository, running

pytestmark = pytest.mark.anyio

PAGE: Final = PROJECT / "docs" / "scaling.md"
LAYERS: Final = tuple(f"layer {number}" for number in range(10))
IMAGE: Final = image("app", LAYERS)
LOGGED: Final = re.compile(r"\[(\d+)\] LOG:  (?:statement|execute [^:]+): (.*)")
HOUSEKEEPING: Final = re.compile(r"(BEGIN|COMMIT|ROLLBACK|SET LOCAL)\b")
"""What surrounds the statements of a request: its transactions."""

HEADINGS: Final = 2
"""Lines of the table above its first row."""

Ask = Callable[[Repository], Awaitable[httpx.Response]]


@dataclass(frozen=True)
class Said:
    """What Postgres was told: one statement after the other, those that are the same for many rows together."""

    statements: list[str]

    @classmethod
    def of(cls, lines: list[str]) -> Said:
        """What these lines of the log say; rows of one INSERT are sent at once, and count as one."""
        told = itertools.groupby(enumerate(lines), lambda it: it[1] if it[1].startswith("INSERT") else it)
        return cls([next(told_once)[1] for _, told_once in told])

    def row(self, request: str) -> str:
        """A row of the table: statements, commits that wait for the disk and those that do not, round trips."""
        asked = [statement for statement in self.statements if not HOUSEKEEPING.match(statement)]
        durable, lazy = (self.commits(wanted) for wanted in ("on", "off"))
        return f"| {request} | {len(asked)} | {durable} | {lazy} | {len(self.statements)} |"

    def commits(self, wanted: str) -> int:
        """How many transactions asked for such a commit, and came to it."""
        kind, found = "", 0
        for statement in self.statements:
            if setting := re.match(r"SET LOCAL synchronous_commit = (\w+)", statement):
                kind = setting[1]
            elif statement == "COMMIT":
                found += kind == wanted
                kind = ""
        return found


@dataclass(frozen=True)
class Watched:
    """A repository whose registry has one connection for requests; `backend` is Postgres' process at its other end."""

    repository: Repository
    log: Path
    backend: str

    async def hear(self, ask: Ask) -> Said:
        """What is said while a request is answered; each line is in the log before Postgres does it."""
        # Or it would be asked whether the connection still lives.
        await self.repository.head("manifests/latest")
        start = self.log.stat().st_size
        answer = await ask(self.repository)
        assert answer.is_success, answer.text
        with self.log.open() as log:
            log.seek(start)
            return Said.of([said for backend, said in LOGGED.findall(log.read()) if backend == self.backend])


async def watched(repository: Repository, log: Path) -> Watched:
    """The repository with an image, and who wrote it down; what is done in the background has other connections."""
    await repository.push(IMAGE, "latest")
    await at_rest(log)
    said = LOGGED.findall(log.read_text())
    return Watched(
        repository, log, [backend for backend, what in said if "INSERT INTO manifests" in what][-1]
    )


async def at_rest(log: Path) -> None:
    """Until the registry has done what it does by itself after its start, as to look whether to save a snapshot."""
    said = -1
    while said != (said := log.stat().st_size):  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.3)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Give a Postgres that writes down every statement."""
    with running_cluster({"log_statement": "all"}) as cluster:
        yield cluster


@pytest.fixture
def settings(cluster: Cluster, tmp_path: Path) -> dict[str, object]:
    """Give what both registries are told."""
    database = {"database.url": cluster.create_database(), "database.pool_size": 1}
    return {**database, "storage.directory": tmp_path, "log.level": "warning"}


@pytest.fixture
async def on_files(settings: dict[str, object], cluster: Cluster) -> AsyncIterator[Watched]:
    """Give a repository with an image, on files."""
    async with running(settings) as registry:
        yield await watched(registry.repository("team/files"), cluster._folder / "log")


@pytest.fixture
async def on_objects(settings: dict[str, object], cluster: Cluster, s3: S3Server) -> AsyncIterator[Watched]:
    """Give the same on object storage."""
    async with running({**settings, **s3.settings()}) as registry:
        yield await watched(registry.repository("team/objects"), cluster._folder / "log")


async def streamed(repository: Repository, content: Blob) -> httpx.Response:
    """A blob by three requests."""
    location = await repository.start()
    answer = await repository.patch(location, content=content.content)
    return await repository.put(answer.headers["location"], params={"digest": content.digest})


def rows_on_the_page() -> list[str]:
    """The rows of the table between its marks."""
    table = PAGE.read_text().partition("<!-- statements -->\n")[2].partition("<!-- end -->")[0]
    return table.strip().splitlines()[HEADINGS:]


REQUESTS: Final[dict[str, Ask]] = {
    "manifest, HEAD or GET": lambda r: r.get("manifests/latest"),
    "blob, HEAD or GET": lambda r: r.get(f"blobs/{IMAGE.blobs[0].digest}"),
    "blob in one request (`POST ?digest=`)": lambda r: r.upload(blob("one request")),
    "blob by `POST`, `PATCH`, `PUT`": lambda r: streamed(r, blob("three requests")),
    "manifest with 11 blobs, `PUT`": lambda r: r.put_manifest(IMAGE.saying(annotations={"n": "1"}), "v1"),
    "page of tags": lambda r: r.get("tags/list"),
    "page of the catalog": lambda r: r.get("/v2/_catalog"),
    "page of referrers": lambda r: r.get(f"referrers/{IMAGE.digest}"),
}
IN_PARTS: Final = "blob by `POST`, `PATCH`, `PUT`"


async def test_the_page_tells_what_requests_ask(on_files: Watched, on_objects: Watched) -> None:
    """The table in docs/scaling.md is what Postgres hears; where this fails, these rows are what it should say."""
    rows = []
    for request, ask in REQUESTS.items():
        rows.append((await on_files.hear(ask)).row(request))
        if request == IN_PARTS:
            rows.append((await on_objects.hear(ask)).row("the same, on object storage"))
    assert rows_on_the_page() == rows


@pytest.mark.parametrize("request_name", [name for name in REQUESTS if name != IN_PARTS])
async def test_files_and_objects_ask_the_same(
    on_files: Watched, on_objects: Watched, request_name: str
) -> None:
    """But for uploads in several requests, it makes no difference to Postgres where the bytes lie."""
    files, objects = [await one.hear(REQUESTS[request_name]) for one in (on_files, on_objects)]
    assert files.row("") == objects.row(""), (files, objects)


@pytest.mark.parametrize("path", ["manifests/latest", f"blobs/{IMAGE.blobs[0].digest}"])
async def test_heads_ask_what_gets_do(on_files: Watched, path: str) -> None:
    """A HEAD of a manifest or a blob asks as much as a GET."""
    head, get = await on_files.hear(lambda r: r.head(path)), await on_files.hear(lambda r: r.get(path))
    assert head.row("") == get.row("")


async def test_the_count_does_not_depend_on_layers(on_files: Watched) -> None:
    """A manifest with one layer asks as many statements as one with nine."""
    few = await on_files.hear(lambda r: r.put_manifest(image("app", LAYERS[:1]), "few"))
    many = await on_files.hear(lambda r: r.put_manifest(image("app", LAYERS[:9]), "many"))
    assert few.row("") == many.row("")
