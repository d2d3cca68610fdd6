"""A request's headers. Starlette's own search all of them for each question; ours answers from a dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, overload

if TYPE_CHECKING:
    from collections.abc import Sequence

RawHeader = tuple[bytes, bytes]
"""A header as ASGI has it: its name in lower case, and its value."""

NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")
"""What somebody pushed must not become a page of this host in somebody's browser."""


class Headers:
    """Headers by their names in lower case; of one that comes twice, the first."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Sequence[RawHeader]) -> None:
        self._raw = dict(reversed(raw))

    def __contains__(self, name: str) -> bool:
        return name.encode() in self._raw

    @overload
    def get(self, name: str) -> str | None: ...

    @overload
    def get(self, name: str, default: str) -> str: ...

    def get(self, name: str, default: str | None = None) -> str | None:
        """The header's value."""
        value = self._raw.get(name.encode())
        return default if value is None else value.decode("latin-1")
