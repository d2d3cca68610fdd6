"""Entries: what the journal and a backup are made of."""

from __future__ import annotations

import pytest

from registry.oci.digest import Digest
from registry.oci.names import RepositoryName, Tag
from registry.operations.entries import (
    BlobLinked,
    BlobUnlinked,
    Entry,
    EntryInvalid,
    ManifestDeleted,
    ManifestStored,
    RepositoryCreated,
    TagDeleted,
    TagPointed,
    dump,
    parse,
)

_REPOSITORY = RepositoryName("team/app")
_CONTENT = b'{"text": "\xc3\xa4 \\n"}\n'
_DIGEST = Digest.of(_CONTENT)
_TAG = Tag("v1.0")
_ENTRIES = [
    ManifestStored(
        _REPOSITORY,
        _DIGEST,
        "application/json",
        _CONTENT,
        complete=True,
        at_us=17,
        tags=(_TAG, Tag("latest")),
    ),
    ManifestDeleted(_REPOSITORY, _DIGEST),
    TagPointed(_REPOSITORY, _TAG, _DIGEST, 18),
    TagDeleted(_REPOSITORY, _TAG),
    BlobLinked(_REPOSITORY, Digest.of(b"", "sha512"), 0, 19),
    BlobUnlinked(_REPOSITORY, _DIGEST),
    RepositoryCreated(_REPOSITORY, 20),
]


@pytest.mark.parametrize("entry", _ENTRIES, ids=lambda entry: type(entry).__name__)
def test_round_trip(entry: Entry) -> None:
    """An entry is one line, and the line is the entry."""
    line = dump(entry)
    assert b"\n" not in line
    assert parse(line) == entry


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"entry":"tag deleted","repository":"team/app"}',
        b'{"entry":"tag deleted","repository":"../etc","tag":"v1"}',
        b'{"entry":"tag deleted","repository":7,"tag":"v1"}',
        b'{"entry":"something new","repository":"team/app"}',
        dump(_ENTRIES[4]).replace(b'"size":0', b'"size":-1'),
        dump(_ENTRIES[0]).replace(b'"complete":true', b'"complete":"yes"'),
        dump(_ENTRIES[0])[:-20],
        b"[" * 100_000,
    ],
)
def test_no_entry(line: bytes) -> None:
    """What is no entry, or only a part of one, is refused."""
    with pytest.raises(EntryInvalid):
        parse(line)
