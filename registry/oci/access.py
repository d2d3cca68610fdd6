"""Who asks for what: principals, and the actions that a route can need."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What somebody wants to do; the words are those of token scopes."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    CATALOG = "catalog"


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Somebody who gave no credentials."""

    def __str__(self) -> str:
        return "anonymous"


@dataclass(frozen=True, slots=True)
class User:
    """A person or program that proved to be who it says."""

    name: str

    def __str__(self) -> str:
        return f"user:{self.name}"


Principal = Anonymous | User
