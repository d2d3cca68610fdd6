"""What a release says to its database, recorded from the life of a registry, to be said again to newer tables.

`python -m tests.db.recording` records what this checkout says, on both databases, into tests/db/previous. Do so before a
migration is added to a release: the recording is then that of the release which runs while the migration does.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import os
import pkgutil
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import psycopg
from sqlalchemy import Engine, event

import registry.db
from registry.db.database import open_database
from registry.db.migrate import migrate
from registry.db.prepared import Prepared
from registry.db.schema import SCHEMA_REVISION
from registry.operations import check, purging
from tests.postgres import running_cluster
from tests.s3 import running_s3
from tests.support.content import artifact, blob, image, index
from tests.support.http import Repository, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.s3 import S3Server
    from tests.support.http import Registry

FOLDER: Final = Path(__file__).parent / "previous"
DATABASES: Final = ("sqlite", "postgres")
REPOSITORY: Final = "team/app"
TAG: Final = "latest"
PHASES: Final = ("push", "use")
_KINDS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
_IMAGE: Final = image("app")
_REFERRER: Final = artifact("signature", subject=_IMAGE, artifactType="application/vnd.test.signature")


@dataclass
class Said:
    """A statement as the driver got it, in which phase, and the rows that came back, in no order."""

    phase: str
    statement: str
    parameters: dict[str, Any] | None
    rows: list[str]

    def again(self, engine: Engine) -> list[str]:
        """The rows that come back now."""
        with engine.connect() as connection, connection.begin():
            result = connection.exec_driver_sql(self.statement, self.parameters)
            return sorted(_encoded(list(row)) for row in result) if result.returns_rows else []


def load(database: str) -> tuple[str, list[Said]]:
    """The revision of the tables that were spoken to, and what was said."""
    head, *lines = (FOLDER / f"{database}.jsonl").read_text().splitlines()
    revision: str = json.loads(head)["revision"]
    return revision, [Said(**json.loads(line, object_hook=_decoded)) for line in lines]


def _encoded(value: object) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: object) -> object:
    return {"bytes": base64.b64encode(value).decode()} if isinstance(value, bytes) else str(value)


def _decoded(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["bytes"]) if value.keys() == {"bytes"} else value


# To record


async def _record(database: str, url: str, s3: S3Server) -> list[Said]:
    said: list[Said] = []
    phase = ["start"]

    def hear(statement: str, parameters: dict[str, Any] | None) -> None:
        if statement.lstrip().startswith(_KINDS) and phase[0] in PHASES:
            said.append(Said(phase[0], statement, parameters, []))

    async with running(
        {
            **s3.settings(),  # where more is said of an upload than with other stores
            "database.url": url,
            "uploads.idle_seconds_max": 0.001,
            "manifests.missing_references": "allow",
        }
    ) as live:
        (_listen_to_sqlite if database == "sqlite" else _listen_to_postgres)(live, hear)
        for phase[0], deeds in zip(PHASES, (_push, _use), strict=True):
            await deeds(live)
    return said


def _listen_to_postgres(live: Registry, hear: Any) -> None:
    class Heard(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            self._hear(query, params)
            return super().execute(query, params, **options)

        def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
            for params in params_seq:
                self._hear(query, params)
            super().executemany(query, params_seq, **options)

        def _hear(self, query: Any, params: Any) -> None:
            # Bytes come wrapped by SQLAlchemy: what is in it is said.
            hear(query, {name: getattr(value, "obj", value) for name, value in (params or {}).items()})

    @event.listens_for(live.app.registry.database.engine, "connect")
    def connect(driver: Any, _record: Any) -> None:
        driver.cursor_factory = Heard


def _listen_to_sqlite(live: Registry, hear: Any) -> None:
    @event.listens_for(live.app.registry.database.engine, "connect")
    def connect(driver: Any, _record: Any) -> None:
        driver.set_trace_callback(lambda statement: hear(statement, None))  # with the values in their places


async def _push(live: Registry) -> None:
    """All that a push may do."""
    app, copy = Repository(live, REPOSITORY), Repository(live, "team/copy")
    where = await app.start()
    answer = await app.patch(where, content=b"ba", headers={"content-range": "0-1"})
    await app.get(answer.headers["location"])
    done = await app.put(f"{answer.headers['location']}?digest={blob('base').digest}", content=b"se")
    assert done.status_code == 201, done.text
    await app.push(_IMAGE, TAG, "again")
    await app.push(index([_IMAGE]), "many")
    await app.push(_REFERRER)
    assert (await app.put_manifest(image("sparse", ["nowhere"]), "sparse")).status_code == 201
    mounted = await copy.post(f"{copy.uploads}?mount={blob('base').digest}&from={app.name}")
    assert mounted.status_code == 201, mounted.text
    await copy.post(f"{copy.uploads}?mount={blob('code').digest}")
    assert (await app.delete(await app.start())).status_code == 204
    await app.start()  # and nobody goes on with it


async def _use(live: Registry) -> None:
    """All that is done with what was pushed, and what the registry does by itself."""
    app = Repository(live, REPOSITORY)
    paths = [
        f"manifests/{TAG}",
        f"manifests/{_IMAGE.digest}",
        f"blobs/{blob('base').digest}",
        "tags/list?n=1",
    ]
    for path in [*paths, f"referrers/{_IMAGE.digest}", "/v2/_catalog", "/readyz"]:
        assert (await app.get(path)).status_code == 200
    assert (
        await app.get(f"referrers/{_IMAGE.digest}?artifactType=application/vnd.test.signature")
    ).is_success
    for path in paths[:3]:
        assert (await app.head(path)).status_code == 200
    await purging.purge(live.app.registry)
    await live.app.registry.outbox.tidy(live.app.registry.database)
    report = await check.check(live.app.registry, lambda *_: None, deep=True)
    assert report.problems == []
    assert (await app.delete(f"blobs/{blob('base').digest}")).status_code == 405  # a manifest names it
    for path in ("manifests/again", f"manifests/{_REFERRER.digest}", f"blobs/{blob('signature').digest}"):
        assert (await app.delete(path)).status_code == 202


def _all_prepared() -> Iterator[Prepared]:
    """Those that are said beside other releases; a database is restored by one release, which makes its tables."""
    modules = pkgutil.iter_modules(registry.db.__path__, "registry.db.")
    for module in (module for module in modules if module.name != "registry.db.restoring"):
        for value in vars(importlib.import_module(module.name)).values():
            found = value.values() if isinstance(value, dict) else [value]
            yield from (it for it in found if isinstance(it, Prepared))


def _missed(said: Sequence[Said], engine: Engine) -> list[str]:
    heard = {it.statement for it in said}
    texts = (str(it._for_postgres.compile(dialect=engine.dialect)) for it in _all_prepared())  # type: ignore[attr-defined]
    return [text for text in texts if text not in heard]


def _with_rows(said: list[Said], url: str) -> list[Said]:
    """The same, with what comes back from fresh tables."""
    with closing(open_database(url)) as database:
        migrate(database)
        for it in said:
            it.rows = it.again(database.engine)
        missed = _missed(said, database.engine) if "postgres" in url else []
    assert not missed, "what was done says not all there is to say:\n" + "\n".join(missed)
    return said


def main() -> None:
    """Record."""
    with running_cluster() as cluster, running_s3() as s3, TemporaryDirectory() as folder:
        os.environ |= s3.environment
        for database in DATABASES:
            sqlite = (f"sqlite:///{folder}/{name}.db" for name in ("recorded", "fresh"))
            postgres = (cluster.create_database() for _ in range(2))
            urls = sqlite if database == "sqlite" else postgres
            said = _with_rows(asyncio.run(_record(database, next(urls), s3)), next(urls))
            lines = [json.dumps({"revision": SCHEMA_REVISION}), *(_encoded(asdict(it)) for it in said)]
            (FOLDER / f"{database}.jsonl").write_text("\n".join(lines) + "\n")
            print(f"{database}: {len(said)} statements")  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()
