"""Uploads that nobody has finished yet (spec.md, Pushing blobs)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from registry.db.clock import now_us
from registry.db.schema import uploads

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from registry.oci.names import RepositoryName


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload: `size` bytes were acknowledged; `algorithm` is the digest's that the client will probably ask for."""

    id: str
    size: int
    algorithm: str


def start(connection: Connection, upload: Upload, repository: RepositoryName, principal: str) -> None:
    """A new upload, which only this principal can continue, and only for this repository."""
    now = now_us()
    connection.execute(
        insert(uploads).values(
            id=upload.id,
            repository=repository,
            principal=principal,
            algorithm=upload.algorithm,
            size=upload.size,
            started_at_us=now,
            touched_at_us=now,
        )
    )


def find(connection: Connection, upload_id: str, repository: RepositoryName, principal: str) -> Upload | None:
    """The upload, where it is this repository's and this principal's."""
    query = select(uploads.c.id, uploads.c.size, uploads.c.algorithm).where(
        uploads.c.id == upload_id, uploads.c.repository == repository, uploads.c.principal == principal
    )
    row = connection.execute(query).first()
    return None if row is None else Upload(row.id, row.size, row.algorithm)


def resize(connection: Connection, upload_id: str, size: int) -> bool:
    """So many bytes are there now; whether the upload still exists."""
    statement = update(uploads).where(uploads.c.id == upload_id).values(size=size, touched_at_us=now_us())
    return bool(connection.execute(statement).rowcount)


def end(connection: Connection, upload_id: str) -> bool:
    """Forget the upload; whether it was there."""
    return bool(connection.execute(delete(uploads).where(uploads.c.id == upload_id)).rowcount)


def exists(connection: Connection, upload_id: str) -> bool:
    """Whether the upload is there, whoever's it is."""
    return connection.scalar(select(uploads.c.id).where(uploads.c.id == upload_id)) is not None


def end_idle(connection: Connection, upload_id: str, idle_since_us: int) -> bool:
    """Forget the upload where nobody touched it since then; whether that was so."""
    statement = delete(uploads).where(uploads.c.id == upload_id, uploads.c.touched_at_us < idle_since_us)
    return bool(connection.execute(statement).rowcount)


def idle(connection: Connection, idle_since_us: int, limit: int) -> list[str]:
    """Ids of uploads that nobody touched since then, at most `limit`."""
    query = select(uploads.c.id).where(uploads.c.touched_at_us < idle_since_us).limit(limit)
    return list(connection.scalars(query))
