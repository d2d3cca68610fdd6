"""Names of repositories and tags, and references (spec.md, Pulling manifests)."""

from __future__ import annotations

import re
from typing import Self

from registry.oci.digest import Digest
from registry.oci.errors import NameInvalid, ReferenceInvalid

NAME_LENGTH_MAX = 255
"""Characters. Clients limit host and name together to 255 (spec.md, Pulling manifests)."""

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


class RepositoryName(str):
    """A well-formed repository name."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The name that `text` spells; else NameInvalid."""
        if len(text) > NAME_LENGTH_MAX:
            raise NameInvalid(
                f"a repository name may have at most {NAME_LENGTH_MAX} characters, this has {len(text)}"
            )
        if _NAME.fullmatch(text) is None:
            raise NameInvalid(
                "a repository name consists of lower-case letters and digits, separated by one '.', '_', '__' or"
                " dashes, in components separated by '/'",
                {"name": text},
            )
        return cls(text)


class Tag(str):
    """A well-formed tag."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The tag that `text` spells; else ReferenceInvalid."""
        if _TAG.fullmatch(text) is None:
            raise ReferenceInvalid(
                "a tag has 1 to 128 letters, digits, '_', '.' and '-', and starts with none of '.' and '-'",
                {"tag": text[:NAME_LENGTH_MAX]},
            )
        return cls(text)


Reference = Digest | Tag


def parse_reference(text: str) -> Reference:
    """A digest where there is a colon, which no tag can have, else a tag; else DigestInvalid or ReferenceInvalid."""
    return Digest.parse(text) if ":" in text else Tag.parse(text)
