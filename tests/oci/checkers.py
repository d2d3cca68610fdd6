"""The grammars once more, read letter by letter: slow, plain, and with no line in common with the registry's own."""

from __future__ import annotations

from string import ascii_letters, ascii_lowercase, digits
from typing import Final

LOWER_ALNUM: Final = set(ascii_lowercase + digits)
HEX: Final = set("0123456789abcdef")
TAG_START: Final = set(ascii_letters + digits + "_")
TAG_REST: Final = TAG_START | set(".-")
ENCODED: Final = set(ascii_letters + digits + "=_-")


def is_digest(text: str) -> bool:
    """Whether it is a digest of sha256 or sha512 (image-spec, descriptor.md#registered-algorithms)."""
    for algorithm, length in (("sha256", 64), ("sha512", 128)):
        head = f"{algorithm}:"
        if text[: len(head)] == head:
            rest = text[len(head) :]
            return len(rest) == length and all(letter in HEX for letter in rest)
    return False


def is_foreign_digest(text: str) -> bool:
    """Whether a descriptor may hold it: any algorithm's, but a registered one's must be right."""
    algorithm, colon, encoded = text.partition(":")
    if algorithm in {"sha256", "sha512"}:
        return is_digest(text)
    well_formed = bool(colon) and encoded != "" and all(letter in ENCODED for letter in encoded)
    return well_formed and len(text) <= 512 and is_algorithm(algorithm)


def is_algorithm(text: str) -> bool:
    """Whether it is made of lower-case letters and digits, with single separators between them."""
    components = [""]
    for letter in text:
        if letter in "+._-":
            components.append("")
        else:
            components[-1] += letter
    return all(component and all(letter in LOWER_ALNUM for letter in component) for component in components)


def is_name(text: str) -> bool:
    """Whether it is the name of a repository (spec.md, Pulling manifests)."""
    return 1 <= len(text) <= 255 and all(is_component(component) for component in text.split("/"))


def is_component(text: str) -> bool:
    """Whether it is a part of a name: letters and digits, between them one '.', one or two '_', or dashes."""
    separator, started = "", False
    for letter in text:
        if letter in LOWER_ALNUM:
            if separator not in {"", ".", "_", "__"} and set(separator) != {"-"}:
                return False
            separator, started = "", True
        elif letter in "._-" and started:
            separator += letter
        else:
            return False
    return started and separator == ""


def is_tag(text: str) -> bool:
    """Whether it is a tag (spec.md, Pulling manifests)."""
    return 1 <= len(text) <= 128 and text[0] in TAG_START and all(letter in TAG_REST for letter in text[1:])
