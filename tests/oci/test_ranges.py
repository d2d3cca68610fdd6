"""Ranges, against models that go byte by byte: of a chunk (Content-Range) and of a blob (Range)."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from registry.api.ranges import parse_range
from registry.oci.errors import BlobUploadInvalid, RangeNotSatisfiable
from registry.oci.ranges import ChunkRange

PROPERTY = settings(deadline=None, max_examples=300)

numbers = st.integers(0, 30).map(str) | st.sampled_from(
    ["", "007", "9" * 18, "9" * 19, "9" * 20, "-1", "+1", "1_0", "٣"]
)
dashes = st.sampled_from(["-", "-", "-", "", "--", " - "])
near_chunk = st.builds(lambda start, dash, end: start + dash + end, numbers, dashes, numbers)
near_range = st.builds(
    lambda unit, start, dash, end, tail: unit + start + dash + end + tail,
    st.sampled_from(["bytes=", "bytes=", "Bytes=", "bytes= ", "bytes", "bytes:", "items=", ""]),
    numbers,
    dashes,
    numbers,
    st.sampled_from(["", "", "", ",0-1", ",", " ", "\n"]),
)


@PROPERTY
@given(st.text() | near_chunk)
@example("0-0")
@example("1-0")
@example("bytes 0-99/100")
def test_chunk_range(text: str) -> None:
    """A chunk's range is FIRST-LAST and nothing else, else BlobUploadInvalid; its size counts both ends."""
    try:
        chunk = ChunkRange.parse(text)
    except BlobUploadInvalid:
        assert not is_chunk_range(text)
        return
    assert is_chunk_range(text)
    assert text.strip().split("-") in [
        [str(chunk.start).zfill(len(first)), str(chunk.end).zfill(len(last))]
        for first, _, last in [text.strip().partition("-")]
    ]
    assert chunk.size == chunk.end - chunk.start + 1 > 0


def is_chunk_range(text: str) -> bool:
    """The slow model."""
    parts = text.strip().split("-")
    return (
        len(parts) == 2
        and all(1 <= len(part) <= 18 and set(part) <= set("0123456789") for part in parts)
        and int(parts[0]) <= int(parts[1])
    )


@given(st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1))
@PROPERTY
def test_chunk_range_round_trip(one: int, two: int) -> None:
    """Every range that can be written is read."""
    start, end = sorted([one, two])
    assert ChunkRange.parse(f"{start}-{end}") == ChunkRange(start, end)


@PROPERTY
@given(st.text() | near_range, st.integers(0, 40))
@example("bytes=0-", 0)
@example("bytes=-0", 10)
@example("bytes=-5", 0)
@example("bytes=500-0", 1000)
@example("bytes=0-9999999999999999999", 10)
def test_byte_range(header: str, size: int) -> None:
    """A range of a blob gives those bytes that are there; what is no single range of bytes gives the whole blob."""
    content = bytes(number % 256 for number in range(size))
    asked = asked_for(header, content)
    try:
        found = parse_range(header, size)
    except RangeNotSatisfiable as error:
        assert asked == b""
        assert error.size == size
        return
    if asked is None:
        assert found is None
        return
    assert found is not None
    assert content[found.start : found.start + found.length] == asked
    assert len(asked) == found.length > 0
    assert found.content_range(size) == f"bytes {found.start}-{found.start + found.length - 1}/{size}"


def asked_for(header: str, content: bytes) -> bytes | None:
    """The slow model: the bytes that the header asks for (RFC 9110, 14.1.2), None where it is not for us."""
    unit, equals, spec = header.partition("=")
    first, dash, last = spec.strip().partition("-")
    digits = set("0123456789")
    if unit.lower() != "bytes" or not equals or not dash or not (first or last):
        return None
    if not set(first + last) <= digits or max(len(first), len(last)) > 19:
        return None
    if not first:
        return content[len(content) - min(int(last), len(content)) :]
    return bytes(
        byte for place, byte in enumerate(content) if int(first) <= place and (not last or place <= int(last))
    )


def test_no_range() -> None:
    """Without a header, the whole blob is asked for."""
    assert parse_range(None, 10) is None


def test_chunk_range_error_helps() -> None:
    """Who sends the range as RFC 9110 has it is told how it is spelt here."""
    with pytest.raises(BlobUploadInvalid, match="for example 0-1023"):
        ChunkRange.parse("bytes 0-99/100")
