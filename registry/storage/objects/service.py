"""The object storage service, through obstore: which it is, what it can do, and what its errors mean to us."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    GenericError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import from_url

from registry import logs
from registry.oci.errors import Unavailable
from registry.storage.objects.layout import READY
from registry.storage.objects.parts import PARTS_MAX, Parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator

    from obstore import AsyncWritableFile, ObjectMeta, PutMode

PART_BYTES: Final = PARTS_MAX.size
_RETRIES_MAX: Final = 8
_RETRY_SECONDS_MAX: Final = 90
_PING_SECONDS_MAX: Final = 5
_SILENT_SECONDS_MAX: Final = 30
_DELETE_AT_ONCE: Final = 1000
_START_SECONDS_MAX: Final = 8
_START_PAUSE_SECONDS: Final = 1
_REFUSED: Final = ("status code: 501", "status code: 400")
"""What services say that know no conditions, in obstore's words, which has no class for it; Swift says 501."""
_METADATA_SERVICE: Final = "169.254.169.254"
_CREDENTIALS: Final = {
    "s3": "no credentials are set: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "no credentials are set: GOOGLE_APPLICATION_CREDENTIALS",
    "az": "no credentials are set: AZURE_STORAGE_ACCOUNT_KEY",
}
_AWAY: Final = "the storage does not answer at the moment; try again"
_ENDPOINTS: Final = {"s3": "endpoint", "gs": "base_url", "az": "endpoint"}

log = logs.logger(__name__)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Which bucket: `url` as s3://bucket/prefix, gs://bucket/prefix or az://account/container/prefix.

    `endpoint`: of a service of the same kind that is not the vendor's own; `public_endpoint`: where clients reach it,
    if elsewhere. Credentials are found where the vendor's own programs look for them.
    """

    url: str
    endpoint: str | None = None
    region: str | None = None
    allow_http: bool = False
    public_endpoint: str | None = None

    @property
    def scheme(self) -> str:
        """s3, gs or az."""
        return self.url.partition(":")[0]

    @property
    def account(self) -> str | None:
        """Whose container it is, on Azure."""
        return self.url.split("/")[2] if self.scheme == "az" else None

    @property
    def name(self) -> str:
        """The bucket's own name."""
        return self._path[0]

    @property
    def prefix(self) -> str:
        """What stands before every key, without a slash at its end; may be empty."""
        return "/".join(self._path[1:]).strip("/")

    @property
    def _path(self) -> list[str]:
        return self.url.split("/")[3 if self.scheme == "az" else 2 :]


@dataclass(frozen=True, slots=True)
class Found:
    """The content of a small object, and what says that it is still the same one."""

    content: bytes
    version: PutMode


class Changed(Exception):
    """Somebody else has written the object in the meantime."""


class Service:
    """Objects by key, below the bucket's prefix. FileNotFoundError where there is none, Unavailable for its failures.

    Requests are tried again, with growing pauses, when the service fails, is too busy (SlowDown) or does not answer.
    Where the bytes of an object break off, obstore asks for the rest, within the same tries.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self._store: Any = _open(bucket, _RETRIES_MAX, _RETRY_SECONDS_MAX)
        self._impatient: Any = _open(bucket, 0, _PING_SECONDS_MAX)
        self._public: Any = self._store
        if bucket.public_endpoint is not None:
            self._public = _open(replace(bucket, endpoint=bucket.public_endpoint), 0, _PING_SECONDS_MAX)
        self._conditional = False

    async def make_ready(self) -> None:
        """See whether the service knows conditional writes; OSError where the bucket cannot be written to.

        Who starts a registry is told within _START_SECONDS_MAX or so, and not after all retries.
        """
        deadline = time.monotonic() + _START_SECONDS_MAX
        while True:
            try:
                self._conditional = await self._try_out()
            except (BaseError, FileNotFoundError) as error:
                reason = self._reason(error)
                # Any other error is an answer, and would be the same again.
                if not isinstance(error, GenericError) or time.monotonic() + _START_PAUSE_SECONDS > deadline:
                    raise OSError(f"{self.bucket.url} cannot be used: {reason}") from error
                log.warning("object storage fails; trying again", url=self.bucket.url, error=reason)
                await asyncio.sleep(_START_PAUSE_SECONDS)
            else:
                return

    async def _try_out(self) -> bool:
        """Write to the bucket; whether the service then refuses to make an object that is there."""
        await obstore.put_async(self._impatient, READY, b"")
        try:
            await obstore.put_async(self._impatient, READY, b"", mode="create")
        except AlreadyExistsError:
            return True
        except (GenericError, NotSupportedError, NotImplementedError) as error:
            if isinstance(error, GenericError) and not any(words in _first_of(error) for words in _REFUSED):
                raise
            log.info("object storage without conditional writes", url=self.bucket.url)
        else:
            log.warning("object storage ignores the conditions of writes", url=self.bucket.url)
        return False

    def _reason(self, error: BaseError | OSError) -> str:
        """As `_first_of`, and what to do where there are no credentials: then the machine's own are asked for."""
        reason = _first_of(error)
        return f"{reason} ({_CREDENTIALS[self.bucket.scheme]})" if _METADATA_SERVICE in reason else reason

    async def ping(self) -> None:
        """Raise where the service does not answer, or not to us."""
        with _told():
            try:
                await obstore.head_async(self._impatient, READY)
            except FileNotFoundError:  # somebody has tidied up
                await obstore.put_async(self._impatient, READY, b"")

    async def clock_ahead_seconds(self) -> float:
        """How far this machine's clock is ahead of the service's, to a second: objects' times are of the latter."""
        await self.put(READY, b"")
        with _told():
            written = (await obstore.head_async(self._store, READY))["last_modified"]
        return time.time() - written.timestamp()

    async def get(self, key: str) -> Found:
        """A small object."""
        with _told():
            got = await obstore.get_async(self._store, key)
            content = bytes(await got.bytes_async())
        version: Any = {
            key: value for key in ("e_tag", "version") if (value := got.meta.get(key)) is not None
        }
        return Found(content, version)

    async def get_range(self, key: str, offset: int, length: int) -> memoryview:
        """`length` bytes from `offset` on, which must be there."""
        with _told():
            return memoryview(await obstore.get_range_async(self._store, key, start=offset, length=length))

    async def put(self, key: str, content: bytes) -> None:
        """Write a small object."""
        with _told():
            await obstore.put_async(self._store, key, content, use_multipart=False)

    async def replace(self, key: str, content: bytes, found: Found | None) -> None:
        """Write a small object in the place of the one that was found, or of none; Changed where that is not so.

        Where the service knows no conditional writes, the last one to write wins.
        """
        mode: PutMode = "overwrite"
        if self._conditional:
            mode = "create" if found is None else found.version
        try:
            with _told():
                await obstore.put_async(self._store, key, content, use_multipart=False, mode=mode)
        except (AlreadyExistsError, PreconditionError):
            raise Changed(key) from None
        except FileNotFoundError:
            if found is None:  # then it is the bucket that is not there
                raise
            raise Changed(key) from None

    async def delete(self, keys: Collection[str]) -> None:
        """Take objects away; those that are not there are gone already."""
        listed = sorted(keys)
        for start in range(0, len(listed), _DELETE_AT_ONCE):
            with _told():
                await _delete(self._store, listed[start : start + _DELETE_AT_ONCE])

    async def list(self, prefix: str, behind: str | None = None) -> AsyncIterator[ObjectMeta]:
        """Objects whose key begins with the prefix and a slash; only those `behind` a key, which need not be one."""
        pages = obstore.list(self._store, prefix, offset=behind, chunk_size=_DELETE_AT_ONCE)
        while True:
            with _told():
                page = await anext(pages, None)
            if page is None:
                return
            for entry in page:
                yield entry

    def writer(self, key: str, parts: Parts = PARTS_MAX) -> AsyncWritableFile:
        """A new object, to be filled by `write`; it is there after `complete`, and else never."""
        return obstore.open_writer_async(
            self._store, key, buffer_size=parts.size, max_concurrency=parts.at_once
        )

    async def write(self, file: AsyncWritableFile, chunk: bytes) -> None:
        """Append; waits while as many parts are under way as may be."""
        with _writing():
            await file.write(chunk)

    async def complete(self, file: AsyncWritableFile, key: str, size: int) -> None:
        """Make the object, which has so many bytes."""
        try:
            with _writing():
                await file.close()
        except Unavailable:
            # It may have been made, and the answer lost: then to ask again was answered with "no such upload".
            if not await self.has(key, size):
                raise

    async def size(self, key: str) -> int:
        """Bytes of an object."""
        with _told():
            return (await obstore.head_async(self._store, key))["size"]

    async def has(self, key: str, size: int) -> bool:
        """Whether there is such an object, of so many bytes."""
        try:
            return await self.size(key) == size
        except FileNotFoundError:
            return False

    async def presign(self, key: str, seconds: float) -> str:
        """A URL from which anybody can read the object for so long."""
        with _told():
            url: str = await obstore.sign_async(self._public, "GET", key, timedelta(seconds=seconds))
        return url


def _open(bucket: Bucket, retries_max: int, retry_seconds_max: float) -> object:
    config: Any = {}
    if bucket.endpoint is not None:
        config[_ENDPOINTS[bucket.scheme]] = bucket.endpoint
    if bucket.region is not None:
        config["region"] = bucket.region
    if bucket.account is not None:
        config["account_name"] = bucket.account
    return from_url(
        f"{bucket.scheme}://{bucket.name}/{bucket.prefix}",
        config=config,
        client_options={
            "allow_http": bucket.allow_http,
            # What is asked for is at most a few MiB; what is silent for so long will not come any more.
            "timeout": timedelta(seconds=retry_seconds_max),
            "read_timeout": timedelta(seconds=min(_SILENT_SECONDS_MAX, retry_seconds_max)),
        },
        retry_config={
            "max_retries": retries_max,
            "retry_timeout": timedelta(seconds=retry_seconds_max),
            "backoff": {
                "init_backoff": timedelta(seconds=0.1),
                "max_backoff": timedelta(seconds=10),
                "base": 4,  # a pause is chosen by chance, up to so many times the last one: it doubles on average
            },
        },
    )


async def _delete(store: Any, keys: list[str]) -> None:  # noqa: ANN401 - obstore's own types share no base
    try:
        await obstore.delete_async(store, keys)
    except FileNotFoundError:  # only some services say so, and then they may have stopped there
        for key in keys:
            try:
                await obstore.delete_async(store, key)
            except FileNotFoundError:
                continue


def _first_of(error: BaseError | OSError) -> str:
    """What obstore says in words, without the insides that it adds."""
    return str(error).partition("\n\n")[0]


@contextmanager
def _told() -> Iterator[None]:
    """Failures of the service, after all retries, as what a client is told; its operator finds them in the log.

    So is a refusal: rotated keys, a clock that is wrong, a changed policy are outages that somebody will mend.
    """
    try:
        yield
    except (GenericError, PermissionDeniedError, UnauthenticatedError) as error:
        log.warning("object storage fails", error=_first_of(error))
        raise Unavailable(_AWAY) from error
    except NotSupportedError as error:
        raise RuntimeError("the object storage service cannot do this") from error


@contextmanager
def _writing() -> Iterator[None]:
    """As `_told`, while an object is being made: there some failures are those of a file.

    "Not found" is said of its multipart upload, which somebody has ended.
    """
    try:
        with _told():
            yield
    except FileNotFoundError as error:
        raise Unavailable("the storage has lost what was sent; try again") from error
    except OSError as error:
        log.warning("object storage fails", error=_first_of(error))
        raise Unavailable(_AWAY) from error
