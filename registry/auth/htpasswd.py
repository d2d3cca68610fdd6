"""Users in an htpasswd file (bcrypt): checked off the event loop, in constant time, with a short cache."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import bcrypt

from registry import logs
from registry.auth.credentials import Basic, parse_authorization
from registry.oci.access import Anonymous, Principal, User
from registry.oci.errors import Unauthorized

if TYPE_CHECKING:
    from pathlib import Path

_BCRYPT = re.compile(rb"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")  # cost, salt and hash
_BCRYPT_PASSWORD_BYTES_MAX = 72
_CACHE_ENTRIES_MAX = 10_000
_THREADS = 2  # bcrypt is processor time only; more threads than cores would just starve the rest

log = logs.logger(__name__)


class HtpasswdInvalid(Exception):
    """The file cannot be used; the text says which line and why."""


class Htpasswd:
    """Knows who is asking from Basic credentials; the file is read again when it changes."""

    def __init__(self, file: Path, *, realm: str, cache_seconds: float) -> None:
        """Read `file` at once: a file that cannot be used stops the start (HtpasswdInvalid)."""
        self.challenge = f'Basic realm="{realm}"'
        self._file = file
        self._cache_seconds = cache_seconds
        self._cache: dict[bytes, float] = {}
        self._cache_key = secrets.token_bytes(32)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="bcrypt")
        self._stamp = _stamp(file)
        self._users = read(file)
        # Checked for unknown users, so that they cost the same as known ones.
        self._nobody = bcrypt.hashpw(secrets.token_hex(16).encode(), bcrypt.gensalt(_rounds(self._users)))

    async def identify(self, authorization: str | None) -> Principal:
        """The principal behind the header, Anonymous without one; Unauthorized where the credentials are wrong."""
        if authorization is None:
            return Anonymous()
        given = parse_authorization(authorization)
        self._read_again_if_changed()
        known = self._users.get(given.username)
        entry = self._entry(given, known)
        if self._cache.get(entry, 0.0) < time.monotonic():
            await self._check(given, known)
            self._remember(entry)
        return User(given.username)

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _check(self, given: Basic, known: bytes | None) -> None:
        password = given.password.encode()
        usable = len(password) <= _BCRYPT_PASSWORD_BYTES_MAX and b"\0" not in password
        loop = asyncio.get_running_loop()
        matches = await loop.run_in_executor(
            self._threads, bcrypt.checkpw, password if usable else b"", known or self._nobody
        )
        if not (matches and usable and known):
            raise Unauthorized("user name or password is wrong")

    def _entry(self, given: Basic, known: bytes | None) -> bytes:
        # Keyed, so that the cache holds no password; with the stored hash, so that a change in the file ends it.
        parts = (given.username.encode(), given.password.encode(), known or b"")
        message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._cache_key, message, hashlib.sha256)

    def _remember(self, entry: bytes) -> None:
        if len(self._cache) >= _CACHE_ENTRIES_MAX:
            self._cache.clear()
        self._cache[entry] = time.monotonic() + self._cache_seconds

    def _read_again_if_changed(self) -> None:
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._users = read(self._file)
        except HtpasswdInvalid as error:
            log.warning("htpasswd file not read again, the users known so far stay", reason=str(error))


def read(file: Path) -> dict[str, bytes]:
    """User names and their bcrypt hashes; HtpasswdInvalid names the first line that cannot be used."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise HtpasswdInvalid(f"{file}: {error.strerror}") from None
    users = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        name, colon, hashed = line.strip().partition(b":")
        if not colon or not name or _BCRYPT.fullmatch(hashed) is None:
            raise HtpasswdInvalid(f"{file}:{number}: not a bcrypt entry; make one with: htpasswd -nB NAME")
        users[name.decode("utf-8", "replace")] = hashed
    return users


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _rounds(users: dict[str, bytes]) -> int:
    """The cost most users have, so that an unknown one takes as long as a known one."""
    costs = [int(hashed[4:6]) for hashed in users.values()]
    return max(set(costs), key=costs.count) if costs else 10
