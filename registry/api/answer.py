"""An answer whose headers are known when it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.api.headers import RawHeader


class Answer(Response):
    """A response with just these headers: starlette's own looks through them for what it should add."""

    def __init__(self, status: int, headers: Sequence[RawHeader], content: bytes = b"") -> None:
        self.status_code = status
        self.body = content
        self.background = None
        self.raw_headers = list(headers)
