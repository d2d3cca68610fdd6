"""What a fault does to a request: each of these stands before the application for that request alone.

Each says when it has spoilt something (`note`): a cut behind the end of a body, say, has not. Where an action speaks
of bytes of the body, it means the body that moves: the request's of a POST, PUT or PATCH, the answer's of every other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from registry.testing.connection import connection_of
from registry.testing.layers import Layer, answer_empty, refuse
from registry.testing.limited_store import Disk, Room, room

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
_NOTE: Final = "registry.testing.note"
_GONE: Final[Message] = {"type": "http.disconnect"}
_DIGEST_HEADER: Final = b"docker-content-digest"
_PIECES_PER_SECOND: Final = 20
_ERRORS: Final = 400
"""The first status that tells of an error."""


class Action(Layer, Protocol):
    """A layer of a fault."""

    @property
    def place(self) -> int:
        """Where it stands: the lower, the nearer to the client. So the order of a fault's words does not matter."""
        ...


LOSS, CUT, DELAY, PACE, BODY, HEADER, ANSWER, DISK = range(8)
"""The places of actions. Delays are outside of answers, so that they hold for whatever is answered in the end."""


def noting(action: Action, note: Callable[[], None]) -> Layer:
    """The action, as a layer that calls `note` when it has spoilt something."""

    async def layer(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async def inner(_scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, send)  # each action finds its own note

        await action(inner, {**scope, "extensions": {**scope["extensions"], _NOTE: note}}, receive, send)

    return layer


def _note(scope: Scope) -> None:
    scope["extensions"][_NOTE]()


def brings_body(scope: Scope) -> bool:
    """Whether the body that moves is the request's."""
    return scope["method"] in {"POST", "PUT", "PATCH"}


@dataclass(frozen=True)
class Answer:
    """Takes the request's body and answers, without asking the registry."""

    status: int
    headers: Mapping[str, str]
    place = ANSWER

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        del app
        while (await receive()).get("more_body", False):
            pass
        _note(scope)
        if self.status < _ERRORS:
            await answer_empty(send, self.status, self.headers)
            return
        message = "this answer was asked for by the test"
        await refuse(send, self.status, _CODES.get(self.status, "UNKNOWN"), message, self.headers)


@dataclass(frozen=True)
class SlowFirstByte:
    """Answers so many seconds later."""

    seconds: float
    place = DELAY

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""

        async def send_later(message: Message) -> None:
            if message["type"] == "http.response.start":
                _note(scope)
                await asyncio.sleep(self.seconds)
            await send(message)

        await app(scope, receive, send_later)


@dataclass(frozen=True)
class SlowBytes:
    """Lets so many bytes of the body pass in a second."""

    per_second: int
    place = PACE

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        size = max(1, self.per_second // _PIECES_PER_SECOND)

        async def receive_slowly() -> Message:
            message = await receive()
            if message.get("body"):
                _note(scope)
                await asyncio.sleep(len(message["body"]) / self.per_second)
            return message

        async def send_slowly(message: Message) -> None:
            body = message.get("body", b"")
            if body:
                _note(scope)
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
    """Hangs up, or breaks the connection off (`reset`), when so many bytes of the body have passed.

    Of a request: before the rest of it, or the answer. Of an answer: before the rest of it; where there is no body,
    before the answer.
    """

    after: int
    reset: bool
    place = CUT

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        connection = connection_of(scope)
        hang_up = connection.reset if self.reset else connection.close
        if brings_body(scope):
            passage = _RequestPassage(self.after, closed=not self.after)
            if not passage.closed:
                await app(scope, passage.receiving(receive), passage.sending(send))
            # Only now: a client that comes back at once finds written down what had come.
            if passage.closed:
                _note(scope)
                await hang_up()
        else:

            async def cut() -> None:
                _note(scope)
                await hang_up()

            await app(scope, receive, _AnswerPassage(self.after, send, cut, scope["method"] == "HEAD").send)


@dataclass
class _RequestPassage:
    """Where a request's body passes until there was enough of it; then nothing is answered."""

    left: int
    closed: bool

    def receiving(self, receive: Receive) -> Receive:
        async def receive_until_closed() -> Message:
            if self.closed:
                return _GONE
            message = await receive()
            if message["type"] != "http.request":
                return message
            body = message.get("body", b"")[: self.left]
            self.left -= len(body)
            self.closed = not self.left
            return {**message, "body": body, "more_body": True} if self.closed else message

        return receive_until_closed

    def sending(self, send: Send) -> Send:
        async def send_while_open(message: Message) -> None:
            if not self.closed:
                await send(message)

        return send_while_open


@dataclass
class _AnswerPassage:
    """Where an answer passes, its head held back until it is known whether there is a body."""

    left: int
    onward: Send
    cut: Callable[[], Awaitable[None]]
    is_head: bool
    start: Message | None = None
    closed: bool = False

    async def send(self, message: Message) -> None:
        """See ASGI."""
        if self.closed:
            return
        if message["type"] == "http.response.start":
            self.start = message
            return
        body = b"" if self.is_head else message.get("body", b"")
        is_bare = self.start is not None and not body and not message.get("more_body", False)
        self.closed = len(body) > self.left or (is_bare and not self.left)
        if not is_bare or not self.closed:
            await self._pass(message, body)
        if self.closed:
            await self.cut()

    async def _pass(self, message: Message, body: bytes) -> None:
        if self.start is not None:
            await self.onward(self.start)
            self.start = None
        if self.closed:
            message = {**message, "body": body[: self.left], "more_body": True}
        self.left -= min(len(body), self.left)
        await self.onward(message)


@dataclass(frozen=True)
class Changed:
    """Changes the body on its way; `length_max`: and says that it has no more bytes than that."""

    change: Change
    length_max: int | None = None
    place = BODY

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        offset = 0

        def changed(message: Message) -> Message:
            nonlocal offset
            body = message.get("body", b"")
            offset += len(body)
            spoilt = self.change(offset - len(body), body)
            if spoilt != body:
                _note(scope)
            return {**message, "body": spoilt}

        async def receive_changed() -> Message:
            message = await receive()
            return changed(message) if message["type"] == "http.request" else message

        async def send_changed(message: Message) -> None:
            await send(changed(message) if message["type"] == "http.response.body" else message)

        if brings_body(scope):
            await app(scope, receive_changed, send)
        else:
            await app(scope, receive, _with_headers(send_changed, self._shortened, scope))

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
    place = HEADER

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        await app(scope, receive, _with_headers(send, self._replaced, scope))

    def _replaced(self, headers: Headers) -> Headers:
        kept = [(name, value) for name, value in headers if name != _DIGEST_HEADER]
        return kept if self.digest is None else [*kept, (_DIGEST_HEADER, self.digest.encode("latin-1"))]


@dataclass(frozen=True)
class LoseAnswer:
    """Does what was asked, and breaks the connection off instead of saying so."""

    place = LOSS

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        lost = False

        async def lose(message: Message) -> None:
            nonlocal lost
            del message
            if not lost:
                lost = True
                _note(scope)
                await connection_of(scope).reset()

        del send
        await app(scope, receive, lose)


@dataclass(frozen=True)
class DiskFull:
    """The disk takes so many more bytes of blobs, of all requests; the registry itself finds that out, and says so."""

    disk: Disk
    place = DISK

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        token = room.set(Room(self.disk, partial(_note, scope)))
        try:
            await app(scope, receive, send)
        finally:
            room.reset(token)


@dataclass(frozen=True)
class ExpiredToken:
    """The token that came with the request is over, and so the request is refused."""

    tokens: Tokens = field(repr=False)
    place = ANSWER

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        del app
        while (await receive()).get("more_body", False):
            pass
        _note(scope)
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


def _with_headers(send: Send, edit: Callable[[Headers], Headers], scope: Scope) -> Send:
    async def send_edited(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message["headers"])
            edited = edit(headers)
            if edited != headers:
                _note(scope)
            message = {**message, "headers": edited}
        await send(message)

    return send_edited
