"""Digests, the names of content (image-spec, descriptor.md#digests)."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, Self

from registry.oci.errors import DigestInvalid

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

ALGORITHMS: Final = {"sha256": 64, "sha512": 128}
"""The algorithms that this registry computes, with the number of hexadecimal digits of each."""

CANONICAL: Final = "sha256"

_SUPPORTED = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}")
_GRAMMAR = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_LENGTH_MAX = 512


class Digest(str):
    """A well-formed digest; made by `parse`, or read back from where a parsed one was written."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The digest that `text` spells, of an algorithm that this registry computes; else DigestInvalid."""
        if _SUPPORTED.fullmatch(text) is None:
            raise DigestInvalid(_why_not(text), {"digest": text[:_LENGTH_MAX]})
        return cls(text)

    @classmethod
    def parse_foreign(cls, text: str) -> Self:
        """As `parse`, but lets unregistered algorithms pass, as descriptors may use them."""
        algorithm = text.partition(":")[0]
        if algorithm in ALGORITHMS or len(text) > _LENGTH_MAX or _GRAMMAR.fullmatch(text) is None:
            return cls.parse(text)
        return cls(text)

    @classmethod
    def of(cls, content: bytes, algorithm: str = CANONICAL) -> Self:
        """The digest of `content`."""
        return cls.from_hash(hashlib.new(algorithm, content))

    @classmethod
    def from_hash(cls, hasher: Hash) -> Self:
        """The digest that a running hash has arrived at."""
        return cls(f"{hasher.name}:{hasher.hexdigest()}")

    @property
    def algorithm(self) -> str:
        """What stands before the colon."""
        return self.partition(":")[0]

    @property
    def encoded(self) -> str:
        """What stands behind the colon."""
        return self.partition(":")[2]


def parse_algorithm(text: str) -> str:
    """An algorithm that this registry computes; else DigestInvalid (spec.md, end-4c)."""
    if text not in ALGORITHMS:
        raise DigestInvalid(f"digest algorithm {text[:64]!r} is not supported; use {' or '.join(ALGORITHMS)}")
    return text


def _why_not(text: str) -> str:
    algorithm, colon, _ = text.partition(":")
    if not colon:
        return "a digest has the form algorithm:hex, for example sha256:e3b0c442..."
    if algorithm in ALGORITHMS:
        return f"a {algorithm} digest has exactly {ALGORITHMS[algorithm]} hexadecimal digits in lower case"
    return f"digest algorithm {algorithm[:64]!r} is not supported; use {' or '.join(ALGORITHMS)}"
