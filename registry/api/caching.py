"""Headers of content that has a digest: the digest is its ETag, and what is asked for by digest never changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from registry.api.headers import Headers, RawHeader
    from registry.oci.digest import Digest

_FOREVER: Final = (b"cache-control", b"max-age=31536000, immutable")
_ASK_AGAIN: Final = (b"cache-control", b"no-cache")


def content_headers(digest: Digest, *, immutable: bool) -> list[RawHeader]:
    """`immutable`: it was asked for by digest, not by a tag that may move."""
    raw = digest.encode("ascii")
    return [
        (b"docker-content-digest", raw),
        (b"etag", b'"%b"' % raw),
        _FOREVER if immutable else _ASK_AGAIN,
    ]


def is_unchanged(headers: Headers, digest: Digest) -> bool:
    """Whether If-None-Match names the content, so that 304 is the answer (RFC 9110, 13.1.2)."""
    given = headers.get("if-none-match")
    if given is None:
        return False
    return any(_matches(tag, digest) for tag in given.split(","))


def range_applies(headers: Headers, digest: Digest) -> bool:
    """Whether If-Range, if given, names the content (RFC 9110, 13.1.5)."""
    given = headers.get("if-range")
    return given is None or given.strip() == f'"{digest}"'


def _matches(tag: str, digest: Digest) -> bool:
    tag = tag.strip()
    return tag == "*" or tag.removeprefix("W/").strip('"') == digest
