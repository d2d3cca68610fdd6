"""What lies where in the bucket, and what the small objects in it say. Pure.

Below the configured prefix:

    segments/<upload>/<nonce>       bytes, as one request brought them; written once, and never changed
    segments/<upload>/published     the digest as which they are (or are about to be) published
    segments/<upload>/condemned/<nonce>     empty: somebody is about to take them away
    uploads/<upload>                empty: there are bytes of an upload that nobody has finished
    blobs/sha256/3a/3a7b...         the *index* of a blob: its size, and which segments hold its bytes, in order
    leftovers/sha256/3a7b.../<hash>     an index that was replaced or deleted, or is about to be: its segments are to be
                                    taken away when nobody reads them any more
    journal/<number>-<nonce>        lines of the journal; the number is their greatest
    snapshots/<number>-<nonce>      a snapshot, up to the line of that number
    ready                           whether the bucket can be written to is tried with this one

Every name but an index's is made up anew for what lies there, or made of it, so that a request that is sent again,
because its answer got lost, writes what is there already.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from registry.oci.digest import Digest
from registry.oci.errors import DigestInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOBS: Final = "blobs"
UPLOADS: Final = "uploads"
LEFTOVERS: Final = "leftovers"
JOURNAL: Final = "journal"
SNAPSHOTS: Final = "snapshots"
READY: Final = "ready"
SEGMENTS: Final = "segments"
_PUBLISHED: Final = "published"
_CONDEMNED: Final = "condemned"


@dataclass(frozen=True, slots=True)
class Segment:
    """`size` bytes in the object `key`."""

    key: str
    size: int


@dataclass(frozen=True, slots=True)
class Index:
    """Where a blob's bytes are."""

    segments: tuple[Segment, ...]

    @property
    def size(self) -> int:
        """Bytes of the whole blob."""
        return sum(segment.size for segment in self.segments)

    @property
    def keys(self) -> frozenset[str]:
        """The objects that hold it."""
        return frozenset(segment.key for segment in self.segments)

    def encode(self) -> bytes:
        """As it is stored."""
        segments = [{"key": segment.key, "size": segment.size} for segment in self.segments]
        return json.dumps({"size": self.size, "segments": segments}).encode()

    @classmethod
    def decode(cls, content: bytes) -> Index:
        """What `encode` has written."""
        segments = json.loads(content)["segments"]
        return cls(tuple(Segment(segment["key"], segment["size"]) for segment in segments))


def encode_state(upload: str, segments: Sequence[Segment]) -> str:
    """The segments of an upload, for its row: short, and never empty."""
    start = len(segments_prefix(upload)) + 1
    return json.dumps([[segment.key[start:], segment.size] for segment in segments], separators=(",", ":"))


def decode_state(upload: str, state: str) -> list[Segment]:
    """What `encode_state` has written; none for the state of a new upload."""
    return [Segment(f"{segments_prefix(upload)}/{name}", size) for name, size in json.loads(state or "[]")]


def segments_prefix(upload: str) -> str:
    """Below this lie the segments of an upload, and what is said of them."""
    return f"{SEGMENTS}/{upload}"


def new_segment_key(upload: str) -> str:
    """A name that nobody has used."""
    return f"{segments_prefix(upload)}/{secrets.token_hex(8)}"


def published_key(upload: str) -> str:
    """What the segments of this upload were published as."""
    return f"{segments_prefix(upload)}/{_PUBLISHED}"


def condemned_prefix(upload: str) -> str:
    """Where those who are about to take segments of this upload away say so."""
    return f"{segments_prefix(upload)}/{_CONDEMNED}"


def condemned_key(upload: str) -> str:
    """A name that nobody has used."""
    return f"{condemned_prefix(upload)}/{secrets.token_hex(8)}"


def upload_of(key: str) -> str:
    """The upload of an object below `segments_prefix`."""
    return key.split("/")[1]


def upload_key(upload: str) -> str:
    """The mark of an unfinished upload."""
    return f"{UPLOADS}/{upload}"


def leftovers_prefix(digest: Digest) -> str:
    """Below this lie the indexes that this blob had before."""
    return f"{LEFTOVERS}/{digest.algorithm}/{digest.encoded}"


def leftover_key(digest: Digest, content: bytes) -> str:
    """Where this index, as it is stored, is noted: in one place, however often."""
    return f"{leftovers_prefix(digest)}/{hashlib.sha256(content).hexdigest()}"


def digest_of_leftover(key: str) -> Digest:
    """Which blob's index it was."""
    return Digest(":".join(key.split("/")[1:3]))


def index_key(digest: Digest) -> str:
    """Where a blob's index lies."""
    return f"{BLOBS}/{digest.algorithm}/{digest.encoded[:2]}/{digest.encoded}"


def digest_of(key: str) -> Digest | None:
    """The digest whose index lies there; None where something else does."""
    try:
        return Digest.parse(":".join([*key.split("/")[1:2], *key.split("/")[3:]]))
    except DigestInvalid:
        return None
