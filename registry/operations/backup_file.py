"""The format of a backup: lines, compressed by gzip, the last of which tells whether all of them are there.

    {"backup":1,"registry":"0.1.0","revision":"0002","at_us":...}     how it was made
    {"entry":"repository",...}                                        the content, see entries.py
    {"blob":"sha256:...","size":...}                                  a blob that must be in the store
    {"end":{"repositories":1,...},"sha256":"..."}                     counts, and the hash of all lines before

Nothing in it depends on the database, or on the revision of its tables.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from registry.oci.digest import Digest
from registry.oci.errors import RegistryError
from registry.operations import entries
from registry.operations.entries import EntryInvalid, ManifestStored, RepositoryCreated, TagPointed
from registry.storage.contract import StoredBlob

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from registry.operations.entries import Entry

_FORMAT: Final = 1
_LEVEL: Final = 6
"""Digests hardly get smaller by more of it: level 1 and 6 differ by a twentieth."""
_BLOB, _END = b'{"blob":', b'{"end":'
_COUNTED: Final[dict[type, str]] = {
    RepositoryCreated: "repositories",
    ManifestStored: "manifests",
    TagPointed: "tags",
    StoredBlob: "blobs",
}


class BackupInvalid(Exception):
    """A file that is no backup, or not a whole one."""


@dataclass(frozen=True, slots=True)
class Header:
    """How a backup was made: by which version of the registry, from tables of which revision, when (Unix time)."""

    registry: str
    revision: str
    at_us: int


class BackupWriter:
    """Writes a backup to a binary file, which it leaves open."""

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._zip = gzip.GzipFile("", "wb", _LEVEL, file, mtime=header.at_us / 1_000_000)
        self._hash = hashlib.sha256()
        self.counts = _nothing()
        self._write(_json({"backup": _FORMAT, **asdict(header)}))

    def add(self, thing: Entry | StoredBlob) -> None:
        """Write a line."""
        _count(self.counts, thing)
        if isinstance(thing, StoredBlob):
            self._write(_json({"blob": thing.digest, "size": thing.size}))
        else:
            self._write(entries.dump(thing))

    def end(self) -> None:
        """Write the last line; without it this is no backup."""
        self._write(_json({"end": self.counts, "sha256": self._hash.hexdigest()}))
        self._zip.close()

    def _write(self, line: bytes) -> None:
        self._hash.update(line + b"\n")
        self._zip.write(line + b"\n")


class BackupReader:
    """Reads a backup from a binary file, several times; BackupInvalid where it is none."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.header = _header(next(self._lines(), b""))

    def verify(self) -> Counter[str]:
        """What the whole of it holds; BackupInvalid where any of it is missing, damaged or not understood."""
        lines = self._lines()
        hasher, counts = hashlib.sha256(next(lines) + b"\n"), _nothing()
        for line in lines:
            if line.startswith(_END):
                _require_end(line, hasher.hexdigest(), counts)
                _require_nothing(lines)
                return counts
            _count(counts, _parse(line))
            hasher.update(line + b"\n")
        raise BackupInvalid("it is cut off: its last line is missing")

    def things(self) -> Iterator[Entry | StoredBlob]:
        """What it holds, in the order in which it was written; for a backup that was verified."""
        return (_parse(line) for line in islice(self._lines(), 1, None) if not line.startswith(_END))

    def _lines(self) -> Iterator[bytes]:
        self._file.seek(0)
        try:
            yield from (line.removesuffix(b"\n") for line in gzip.GzipFile(fileobj=self._file, mode="rb"))
        except EOFError:
            raise BackupInvalid("it is cut off") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise BackupInvalid(f"it is damaged, or no backup: {error}") from None


def _header(line: bytes) -> Header:
    try:
        said = json.loads(line)
        made_as, header = said.pop("backup"), Header(**said)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BackupInvalid("it does not begin as a backup does") from None
    if made_as != _FORMAT:
        raise BackupInvalid(
            f"it is of format {made_as}, made by registry {header.registry}; this one knows format {_FORMAT}"
        )
    return header


def _parse(line: bytes) -> Entry | StoredBlob:
    try:
        if not line.startswith(_BLOB):
            return entries.parse(line)
        said = json.loads(line)
        return StoredBlob(Digest.parse(said["blob"]), entries.number(said["size"]))
    except (EntryInvalid, RegistryError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BackupInvalid(f"a line of it is not understood: {error}") from None


def _require_end(line: bytes, sha256: str, counts: Counter[str]) -> None:
    if line != _json({"end": counts, "sha256": sha256}):
        raise BackupInvalid("it is damaged: it does not hold what its last line says")


def _require_nothing(lines: Iterator[bytes]) -> None:
    if next(lines, None) is not None:
        raise BackupInvalid("something follows its last line")


def _nothing() -> Counter[str]:
    return Counter(dict.fromkeys((*_COUNTED.values(), "bytes"), 0))


def _count(counts: Counter[str], thing: Entry | StoredBlob) -> None:
    if name := _COUNTED.get(type(thing)):
        counts[name] += 1
    if isinstance(thing, StoredBlob):
        counts["bytes"] += thing.size


def _json(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode()
