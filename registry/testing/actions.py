"""What a fault does to a request: each of these stands before the application for that request alone.

Where an action speaks of bytes of the body, it means the body that moves: the request's of a POST, PUT or PATCH, the
answer's of every other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from registry.testing.connection import connection_of
from registry.testing.layers import refuse
from registry.testing.limited_store import Room, room

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from registry.testing.tokens import Tokens

Headers = list[tuple[bytes, bytes]]
Change = Callable[[int, bytes], bytes]
"""From a piece of a body, and the place where it begins, to what is passed on instead."""

_CODES: Final = {
    400: "UNSUPPORTED",
    401: "UNAUTHORIZED",
    403: "DENIED",
    404: "NAME_UNKNOWN",
    405: "UNSUPPORTED",
    429: "TOOMANYREQUESTS",
    503: "UNAVAILABLE",
}
_GONE: Final[Message] = {"type": "http.disconnect"}
_DIGEST_HEADER: Final = b"docker-content-digest"
_PIECES_PER_SECOND: Final = 20


def brings_body(scope: Scope) -> bool:
    """Whether the body that moves is the request's."""
    return scope["method"] in {"POST", "PUT", "PATCH"}


@dataclass(frozen=True)
class Answer:
    """Takes the request's body and answers, without asking the registry."""

    status: int
    headers: Mapping[str, str]

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        del app, scope
        while (await receive()).get("more_body", False):
            pass
        message = "this answer was asked for by the test"
        await refuse(send, self.status, _CODES.get(self.status, "UNKNOWN"), message, self.headers)


@dataclass(frozen=True)
class SlowFirstByte:
    """Answers so many seconds later."""

    seconds: float

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""

        async def send_later(message: Message) -> None:
            if message["type"] == "http.response.start":
                await asyncio.sleep(self.seconds)
            await send(message)

        await app(scope, receive, send_later)


@dataclass(frozen=True)
class SlowBytes:
    """Lets so many bytes of the body pass in a second."""

    per_second: int

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        size = max(1, self.per_second // _PIECES_PER_SECOND)

        async def receive_slowly() -> Message:
            message = await receive()
            await asyncio.sleep(len(message.get("body", b"")) / self.per_second)
            return message

        async def send_slowly(message: Message) -> None:
            body = message.get("body", b"")
            for start in range(0, len(body), size):
                piece = body[start : start + size]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(len(piece) / self.per_second)
            await send({**message, "body": b""} if body else message)

        if brings_body(scope):
            await app(scope, receive_slowly, send)
        else:
            await app(scope, receive, send_slowly)


@dataclass(frozen=True)
class Cut:
    """Hangs up, or breaks the connection off (`reset`), when so many bytes of the body have passed."""

    after: int
    reset: bool

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        connection = connection_of(scope)
        passage = _Passage(self.after, connection.reset if self.reset else connection.close)
        if brings_body(scope):
            await app(scope, passage.receiving(receive), passage.sending_while_open(send))
            # Only now: a client that comes back at once finds written down what had come.
            await passage.hang_up_if_closed()
        else:
            await app(scope, receive, passage.sending(send))


@dataclass
class _Passage:
    """Where bytes pass until there were enough of them."""

    left: int
    hang_up: Callable[[], Awaitable[None]]
    closed: bool = False

    def receiving(self, receive: Receive) -> Receive:
        async def receive_until_closed() -> Message:
            message = _GONE if self.closed else await receive()
            return self._pass(message) if message["type"] == "http.request" else message

        return receive_until_closed

    def sending(self, send: Send) -> Send:
        async def send_until_closed(message: Message) -> None:
            if self.closed:
                return
            await send(self._pass(message) if message["type"] == "http.response.body" else message)
            await self.hang_up_if_closed()

        return send_until_closed

    def sending_while_open(self, send: Send) -> Send:
        async def send_while_open(message: Message) -> None:
            if not self.closed:
                await send(message)

        return send_while_open

    async def hang_up_if_closed(self) -> None:
        if self.closed:
            await self.hang_up()

    def _pass(self, message: Message) -> Message:
        body = message.get("body", b"")
        fitting = body[: self.left]
        self.left -= len(fitting)
        self.closed = not self.left
        return {**message, "body": fitting, "more_body": True} if self.closed else message


@dataclass(frozen=True)
class Changed:
    """Changes the body on its way; `length_max`: and says that it has no more bytes than that."""

    change: Change
    length_max: int | None = None

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        offset = 0

        def changed(message: Message) -> Message:
            nonlocal offset
            body = message.get("body", b"")
            offset += len(body)
            return {**message, "body": self.change(offset - len(body), body)}

        async def receive_changed() -> Message:
            message = await receive()
            return changed(message) if message["type"] == "http.request" else message

        async def send_changed(message: Message) -> None:
            await send(changed(message) if message["type"] == "http.response.body" else message)

        if brings_body(scope):
            await app(scope, receive_changed, send)
        else:
            await app(scope, receive, _with_headers(send_changed, self._shortened))

    def _shortened(self, headers: Headers) -> Headers:
        if self.length_max is None:
            return headers
        most = self.length_max
        return [
            (name, b"%d" % min(int(value), most) if name == b"content-length" else value)
            for name, value in headers
        ]


@dataclass(frozen=True)
class DigestHeader:
    """Answers with another Docker-Content-Digest, or with none."""

    digest: str | None

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        await app(scope, receive, _with_headers(send, self._replaced))

    def _replaced(self, headers: Headers) -> Headers:
        kept = [(name, value) for name, value in headers if name != _DIGEST_HEADER]
        return kept if self.digest is None else [*kept, (_DIGEST_HEADER, self.digest.encode("latin-1"))]


@dataclass(frozen=True)
class LoseAnswer:
    """Does what was asked, and breaks the connection off instead of saying so."""

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        lost = False

        async def lose(message: Message) -> None:
            nonlocal lost
            del message
            if not lost:
                lost = True
                await connection_of(scope).reset()

        del send
        await app(scope, receive, lose)


@dataclass(frozen=True)
class DiskFull:
    """The disk takes so many more bytes of blobs; the registry itself finds that out, and says so."""

    after: int

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        token = room.set(Room(self.after))
        try:
            await app(scope, receive, send)
        finally:
            room.reset(token)


@dataclass(frozen=True)
class ExpiredToken:
    """The token that came with the request is over, and so the request is refused."""

    tokens: Tokens = field(repr=False)

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        del app
        while (await receive()).get("more_body", False):
            pass
        self.tokens.revoke(scope)
        await self.tokens.refuse(scope, send, "invalid_token")


def truncated(size: int) -> Change:
    """Nothing behind the first `size` bytes."""
    return lambda offset, piece: piece[: max(0, size - offset)]


def corrupted(at: int) -> Change:
    """One byte is another, its bits turned round."""

    def change(offset: int, piece: bytes) -> bytes:
        if not offset <= at < offset + len(piece):
            return piece
        changed = bytearray(piece)
        changed[at - offset] ^= 0xFF
        return bytes(changed)

    return change


def _with_headers(send: Send, edit: Callable[[Headers], Headers]) -> Send:
    async def send_edited(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": edit(list(message["headers"]))}
        await send(message)

    return send_edited
