"""Digests, names, tags and references: whatever text comes in is parsed, or refused with the one error for it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from registry.oci.digest import ALGORITHMS, Digest, parse_algorithm
from registry.oci.errors import DigestInvalid, NameInvalid, ReferenceInvalid, RegistryError
from registry.oci.names import RepositoryName, Tag, parse_reference
from tests.oci import checkers

if TYPE_CHECKING:
    from collections.abc import Callable

# No deadline anywhere: how fast a machine is proves nothing.
PROPERTY = settings(deadline=None, max_examples=300)

ENCODED = {"sha256": "a" * 64, "sha512": "0" * 128}
# Near what is right, which letters drawn from all of Unicode never are.
near_name = st.text(st.sampled_from("aA0z._-/"), max_size=12) | st.text(st.sampled_from("a/"), max_size=260)
near_tag = st.text(st.sampled_from("aA0_.-:é"), max_size=8) | st.integers(120, 135).map(
    lambda size: "a" * size
)
near_digest = st.builds(
    lambda algorithm, colon, encoded, tail: algorithm + colon + encoded + tail,
    st.sampled_from(["sha256", "sha512", "SHA256", "sha-256", "md5", "a+b", "a++b", "sha256+x", ""]),
    st.sampled_from([":", "::", "", "-"]),
    st.sampled_from(
        ["", "a" * 63, "a" * 64, "A" * 64, "g" * 64, "b" * 127, "b" * 128, "x=_-", "x" * 600, "é"]
    ),
    st.sampled_from(["", "", "", "\n", " ", "a", ":"]),
)
any_text = st.text() | near_name | near_tag | near_digest


def outcome(parse: Callable[[str], str], text: str, *errors: type[RegistryError]) -> bool:
    """Whether the text is parsed, and then is what it was; else one of these errors, and nothing else, is raised."""
    try:
        parsed = parse(text)
    except errors as error:
        assert error.message
        return False
    assert parsed == text
    assert type(parsed) is not str
    return True


@PROPERTY
@given(any_text)
@example("sha256:" + "a" * 64 + "\n")
@example("sha256:" + "١" * 64)
def test_digest(text: str) -> None:
    """A digest is parsed exactly where the slow checker says that it is one."""
    assert outcome(Digest.parse, text, DigestInvalid) == checkers.is_digest(text)


@PROPERTY
@given(any_text)
@example("sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564")
@example("sha256:short")
@example("a:" + "x" * 510)
@example("a:" + "x" * 511)
def test_foreign_digest(text: str) -> None:
    """A descriptor's digest may be of an unregistered algorithm; one of a registered one must be right."""
    assert outcome(Digest.parse_foreign, text, DigestInvalid) == checkers.is_foreign_digest(text)


@PROPERTY
@given(any_text)
@example("a" * 255)
@example("a" * 256)
@example("a_b")
@example("a__b")
@example("a___b")
@example("a--------b")
@example("a..b")
@example("a._b")
@example("a/b\n")
def test_repository_name(text: str) -> None:
    """A repository's name is parsed exactly where the slow checker says that it is one."""
    assert outcome(RepositoryName.parse, text, NameInvalid) == checkers.is_name(text)


@PROPERTY
@given(any_text)
@example("a" * 128)
@example("a" * 129)
@example("latest\n")
def test_tag(text: str) -> None:
    """A tag is parsed exactly where the slow checker says that it is one."""
    assert outcome(Tag.parse, text, ReferenceInvalid) == checkers.is_tag(text)


@PROPERTY
@given(any_text)
def test_reference(text: str) -> None:
    """A reference is a digest or a tag, never both."""
    parsed = outcome(parse_reference, text, DigestInvalid, ReferenceInvalid)
    assert parsed == (checkers.is_digest(text) != checkers.is_tag(text))
    if parsed:
        assert isinstance(parse_reference(text), Digest if ":" in text else Tag)


@PROPERTY
@given(st.binary(), st.sampled_from(sorted(ALGORITHMS)))
def test_digest_of_content(content: bytes, algorithm: str) -> None:
    """The digest of content is what hashlib says, survives a round trip, and knows its parts."""
    digest = Digest.of(content, algorithm)
    assert Digest.parse(str(digest)) == digest
    assert (digest.algorithm, digest.encoded) == (algorithm, hashlib.new(algorithm, content).hexdigest())
    assert f"{digest.algorithm}:{digest.encoded}" == digest


def test_canonical_digest() -> None:
    """Where nobody asks for another algorithm, it is sha256."""
    assert Digest.of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@PROPERTY
@given(st.text() | st.sampled_from(["sha256", "sha512", "sha384", "SHA256", "md5", ""]))
def test_algorithm(text: str) -> None:
    """An algorithm is one that this registry computes."""
    assert outcome_of_algorithm(text) == (text in {"sha256", "sha512"})


def outcome_of_algorithm(text: str) -> bool:
    """Whether it is taken; else DigestInvalid, and nothing else, is raised."""
    try:
        return parse_algorithm(text) == text
    except DigestInvalid:
        return False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("latest", "algorithm:hex"),
        ("sha256:abc", "exactly 64 hexadecimal digits in lower case"),
        ("sha512:abc", "exactly 128 hexadecimal digits in lower case"),
        ("md5:d41d8cd98f00b204e9800998ecf8427e", "'md5' is not supported; use sha256 or sha512"),
    ],
)
def test_digest_error_helps(text: str, words: str) -> None:
    """Who sends a wrong digest is told what is wrong with it."""
    with pytest.raises(DigestInvalid, match=words):
        Digest.parse(text)


@PROPERTY
@given(st.text(min_size=1), st.integers(1000, 100_000))
def test_errors_stay_short(text: str, times: int) -> None:
    """An error does not send a long text back."""
    for parse in (Digest.parse, Digest.parse_foreign, RepositoryName.parse, Tag.parse, parse_reference):
        with pytest.raises(RegistryError) as caught:
            parse(text * times)
        assert len(caught.value.message) < 500
        assert len(str(caught.value.detail)) < 10_000
