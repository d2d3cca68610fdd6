"""What happened in a repository, one line of JSON each: what the journal beside the blobs and a backup are made of.

An entry says what is so from now on, not what was so before, so that to apply one twice is to apply it once.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, fields
from typing import Any, Final

from registry.oci.digest import Digest
from registry.oci.errors import RegistryError
from registry.oci.names import RepositoryName, Tag


class EntryInvalid(Exception):
    """A line that is no entry."""


@dataclass(frozen=True, slots=True)
class RepositoryCreated:
    """The repository is there, even where it has nothing; `at_us`: Unix time in microseconds, here and below."""

    repository: RepositoryName
    at_us: int


@dataclass(frozen=True, slots=True)
class ManifestStored:
    """The repository has this manifest, and `tags` point to it.

    `complete`: all that it names was there when it was accepted.
    """

    repository: RepositoryName
    digest: Digest
    media_type: str
    content: bytes
    complete: bool
    at_us: int
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True, slots=True)
class ManifestDeleted:
    """The repository has this manifest no more, nor the tags that pointed to it."""

    repository: RepositoryName
    digest: Digest


@dataclass(frozen=True, slots=True)
class TagPointed:
    """The tag points to this manifest, which an earlier entry has stored."""

    repository: RepositoryName
    tag: Tag
    digest: Digest
    at_us: int


@dataclass(frozen=True, slots=True)
class TagDeleted:
    """The repository has this tag no more."""

    repository: RepositoryName
    tag: Tag


@dataclass(frozen=True, slots=True)
class BlobLinked:
    """The repository may see this blob of `size` bytes."""

    repository: RepositoryName
    digest: Digest
    size: int
    at_us: int


@dataclass(frozen=True, slots=True)
class BlobUnlinked:
    """The repository may see this blob no more."""

    repository: RepositoryName
    digest: Digest


Entry = (
    RepositoryCreated | ManifestStored | ManifestDeleted | TagPointed | TagDeleted | BlobLinked | BlobUnlinked
)

_KINDS: Final[dict[str, type[Entry]]] = {
    "repository": RepositoryCreated,
    "manifest": ManifestStored,
    "manifest deleted": ManifestDeleted,
    "tag": TagPointed,
    "tag deleted": TagDeleted,
    "blob": BlobLinked,
    "blob unlinked": BlobUnlinked,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}
_FIELDS: Final = {kind: [field.name for field in fields(kind)] for kind in _NAMES}
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode  # made once: a push waits for it


def dump(entry: Entry) -> bytes:
    """The entry as one line, without its end."""
    kind = type(entry)
    said = {"entry": _NAMES[kind], **{name: getattr(entry, name) for name in _FIELDS[kind]}}
    if isinstance(entry, ManifestStored):
        said["content"] = base64.b64encode(entry.content).decode()
    return _encode(said).encode()


def parse(line: bytes) -> Entry:
    """The entry that a line spells; else EntryInvalid."""
    try:
        said = json.loads(line)
        kind = _KINDS[said["entry"]]
        return kind(**{field.name: _READ[field.name](said[field.name]) for field in fields(kind)})
    except (ValueError, KeyError, TypeError, RecursionError, RegistryError) as error:
        raise EntryInvalid(f"not an entry ({error!r}): {line[:200]!r}") from error


def number(said: object) -> int:
    """A whole number that is not negative; else ValueError."""
    if not isinstance(said, int) or isinstance(said, bool) or said < 0:
        raise ValueError("not a number")
    return said


def _yes_or_no(said: object) -> bool:
    if not isinstance(said, bool):
        raise TypeError("neither true nor false")
    return said


_READ: Final[dict[str, Any]] = {
    "repository": RepositoryName.parse,
    "digest": Digest.parse,
    "media_type": str,
    "content": lambda said: base64.b64decode(said, validate=True),
    "complete": _yes_or_no,
    "at_us": number,
    "size": number,
    "tag": Tag.parse,
    "tags": lambda said: tuple(Tag.parse(tag) for tag in said),
}
