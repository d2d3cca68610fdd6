"""Uploads that nobody has finished yet (spec.md, Pushing blobs)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BindParameter, bindparam, delete, insert, select, update

from registry.db.clock import now_us
from registry.db.prepared import Prepared
from registry.db.schema import uploads

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from registry.oci.digest import Digest
    from registry.oci.names import RepositoryName


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload: `size` bytes were acknowledged; `algorithm` is the digest's that the client will probably ask for.

    `state`: what the store needs to find them. `finishing`: what they hash to, while they are being published.
    """

    id: str
    size: int
    algorithm: str
    state: str = ""
    finishing: str = ""


def start(connection: Connection, upload: Upload, repository: RepositoryName, principal: str) -> None:
    """A new upload, which only this principal can continue, and only for this repository."""
    _START.run(
        connection,
        upload_id=upload.id,
        repository=repository,
        principal=principal,
        algorithm=upload.algorithm,
        size=upload.size,
        now=now_us(),
    )


def find(connection: Connection, upload_id: str, repository: RepositoryName, principal: str) -> Upload | None:
    """The upload, where it is this repository's and this principal's."""
    row = _FIND.first(connection, upload_id=upload_id, repository=repository, principal=principal)
    return None if row is None else Upload(*row)


def resize(connection: Connection, upload: Upload, size: int, state: str) -> bool:
    """So many bytes are there now, in this state; whether the upload was still as `upload` says."""
    return bool(
        _RESIZE.run(
            connection,
            upload_id=upload.id,
            old_size=upload.size,
            old_state=upload.state,
            new_size=size,
            new_state=state,
            now=now_us(),
        )
    )


def claim(connection: Connection, upload: Upload, size: int, state: str, digest: Digest) -> bool:
    """No more bytes may come, these are being published; whether the upload was still as `upload` says.

    Who does the same again, after an answer that was lost, may; the bytes and their digest are the same.
    """
    return bool(
        _CLAIM.run(
            connection,
            upload_id=upload.id,
            old_size=upload.size,
            old_state=upload.state,
            new_size=size,
            new_state=state,
            digest=digest,
            now=now_us(),
        )
    )


def end(connection: Connection, upload_id: str) -> bool:
    """Forget the upload; whether it was there."""
    return bool(_END.run(connection, upload_id=upload_id))


def cancel(connection: Connection, upload_id: str) -> bool:
    """Forget the upload, unless its bytes are being published; whether it was there."""
    statement = delete(uploads).where(uploads.c.id == upload_id, uploads.c.finishing == "")
    return bool(connection.execute(statement).rowcount)


def end_idle(connection: Connection, upload_id: str, idle_since_us: int) -> bool:
    """Forget the upload where nobody touched it since then; whether that was so."""
    statement = delete(uploads).where(uploads.c.id == upload_id, uploads.c.touched_at_us < idle_since_us)
    return bool(connection.execute(statement).rowcount)


def exists(connection: Connection, upload_id: str) -> bool:
    """Whether the upload is there, whoever's it is."""
    return connection.scalar(select(uploads.c.id).where(uploads.c.id == upload_id)) is not None


def goes_on(connection: Connection, upload_id: str, idle_since_us: int) -> bool:
    """Whether the upload is there, and somebody touched it since then."""
    query = select(uploads.c.id).where(uploads.c.id == upload_id, uploads.c.touched_at_us >= idle_since_us)
    return connection.scalar(query) is not None


def idle(connection: Connection, idle_since_us: int, last: str, limit: int) -> list[str]:
    """Ids, in order, of the first `limit` uploads behind the id `last` that nobody touched since then."""
    query = select(uploads.c.id).where(uploads.c.touched_at_us < idle_since_us, uploads.c.id > last)
    return list(connection.scalars(query.order_by(uploads.c.id).limit(limit)))


_THIS: Final = uploads.c.id == bindparam("upload_id")
_START: Final = Prepared(
    insert(uploads).values(
        id=bindparam("upload_id"),
        repository=bindparam("repository"),
        principal=bindparam("principal"),
        algorithm=bindparam("algorithm"),
        size=bindparam("size"),
        started_at_us=bindparam("now"),
        touched_at_us=bindparam("now"),
    )
)
_FIND: Final = Prepared(
    select(uploads.c.id, uploads.c.size, uploads.c.algorithm, uploads.c.state, uploads.c.finishing).where(
        _THIS, uploads.c.repository == bindparam("repository"), uploads.c.principal == bindparam("principal")
    )
)
_UNCHANGED: Final = update(uploads).where(
    _THIS, uploads.c.size == bindparam("old_size"), uploads.c.state == bindparam("old_state")
)
_CHANGED: Final[dict[str, BindParameter[Any]]] = {
    "size": bindparam("new_size"),
    "state": bindparam("new_state"),
    "touched_at_us": bindparam("now"),
}
_RESIZE: Final = Prepared(_UNCHANGED.where(uploads.c.finishing == "").values(**_CHANGED))
_CLAIM: Final = Prepared(
    _UNCHANGED.where(uploads.c.finishing.in_(["", bindparam("digest")])).values(
        **_CHANGED, finishing=bindparam("digest")
    )
)
_END: Final = Prepared(delete(uploads).where(_THIS))
