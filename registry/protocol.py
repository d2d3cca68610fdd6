"""One HTTP/1.1 connection: uvicorn's, with the limits that it leaves open, and without what our answers do not need."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from registry.sendfile import Part, send_file

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD_BYTES_MAX: Final = 64 * 1024  # request line and headers; tokens with many scopes reach some 20 KiB
BODY_BYTES_HELD_MAX: Final = 128 * 1024
"""How much of a body is taken in advance."""
LINGER_SECONDS: Final = 1.0
"""How long a server that ends must have answered nothing before it closes idle connections."""

ZERO_COPY: Final = "http.response.zerocopysend"
"""The ASGI extension by which the kernel sends `count` bytes from `offset` on of `file`, a descriptor. Of our own is
`idle_seconds_max`, how long the client may take nothing, after which `send` raises TimeoutError; ConnectionError where
it is gone."""


class InvalidHeader(Exception):
    """A header of ours would have become another one on the wire."""


class Cycle(RequestResponseCycle):
    """One request and its answer.

    The body is kept in the pieces in which it came, and joined once. The head of an answer is sent with its first
    piece.
    """

    def __init__(self, **parts: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(**parts)
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._head = b""

    def take(self, piece: bytes) -> None:
        """A piece of the body has come."""
        self._pieces.append(piece)
        self._held_bytes += len(piece)
        if self._held_bytes > BODY_BYTES_HELD_MAX:
            self.flow.pause_reading()
        self.message_event.set()

    async def receive(self) -> Any:  # noqa: ANN401 - a message of uvicorn's many types
        """See ASGI."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body = b"".join(self._pieces)
        self._pieces, self._held_bytes = [], 0
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Any) -> None:  # noqa: ANN401 - as above
        """See ASGI."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self.response_started = True
            self.waiting_for_100_continue = False
            self._head = self._head_of(message["status"], message["headers"])
            return
        if message["type"] == ZERO_COPY:
            await self._send_file(message)
        else:
            self._send_piece(message.get("body", b""))
        if not message.get("more_body", False) and not self.disconnected:
            self._complete()

    def _head_of(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        lines = [STATUS_LINE[status]]
        names = dict(headers)
        lines += [b"%b: %b\r\n" % header for header in (*self.default_headers, *headers)]
        if names.get(b"connection") == b"close":
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
        length = names.get(b"content-length")
        if length is not None:
            self.expected_content_length = int(length)
        elif status not in {204, 304} and self.scope["method"] != "HEAD":
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        head = b"".join(lines)
        _require_lines(head, len(lines))
        return head

    def _send_piece(self, body: bytes) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            body = b""
        elif self.chunked_encoding:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        else:
            self.expected_content_length -= len(body)
        self._write(body)

    async def _send_file(self, message: Any) -> None:  # noqa: ANN401 - as above
        transport, head, self._head = self.transport, self._head, b""
        transport.set_write_buffer_limits(0)  # now writing is paused until nothing is left to be written
        await self.flow.drain()
        transport.set_write_buffer_limits()
        if transport.is_closing():
            raise ConnectionResetError
        part = Part(message["file"], message["offset"], message["count"])
        connection = transport.get_extra_info("socket").fileno()
        await send_file(connection, head, part, message["idle_seconds_max"])
        self.expected_content_length -= message["count"]

    def _write(self, piece: bytes) -> None:
        head, self._head = self._head, b""
        if head or piece:
            self.transport.writelines([head, piece])

    def _complete(self) -> None:
        if self.expected_content_length:
            raise RuntimeError(f"the answer differs from its length by {-self.expected_content_length} bytes")
        if self.chunked_encoding:
            self.transport.write(b"0\r\n\r\n")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def _require_lines(head: bytes, count: int) -> None:
    """InvalidHeader unless there are as many lines as were put in: a line break in a value would be one more."""
    if head.count(b"\n") != count or head.count(b"\r") != count or b"\0" in head:
        raise InvalidHeader(repr(head))


class Protocol(HttpToolsProtocol):
    """A connection whose requests are answered in Cycles.

    It ends where a request's head never ends, or never comes. The time for that is the keep-alive time: a client that
    says nothing, or too slowly, is as idle before its first request as it is after it. One timer looks after that as
    long as the connection lives: to set and cancel one for each request would cost more than to parse it.
    """

    cycle: Cycle  # None before the first request, as uvicorn has it
    _in_head = False
    _ending = False
    _head_bytes = 0
    _waiting_since: float | None = None
    _timer: asyncio.TimerHandle | None = None
    _extensions: Mapping[str, object] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        if self.scheme == "http":  # what TLS encrypts has to come by here
            self._extensions = {ZERO_COPY: {}}
        self._waiting_since = self.loop.time()
        self._timer = self.loop.call_later(self.timeout_keep_alive, self._look_after)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._head_bytes += len(data)  # the head is still open, so all of this belongs to it
        if self._head_bytes > HEAD_BYTES_MAX:
            self.send_400_response("request line and headers are too long")

    def on_message_begin(self) -> None:
        """Parser callback: the first byte of a request."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._in_head = True
        self._head_bytes = 0
        self._waiting_since = self.loop.time()

    def on_headers_complete(self) -> None:
        """Parser callback: the empty line after the headers."""
        self._in_head = False
        self._waiting_since = None
        version = self.parser.get_http_version()
        self.scope = self._scope(version)
        earlier: Cycle | None = self.cycle
        self.cycle = Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive() and not self._ending,
            on_response=self.on_response_complete,
        )
        if earlier is None or earlier.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:  # the client did not wait for the last answer
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        """Parser callback: a piece of a request's body."""
        if not self.cycle.response_complete:
            self.cycle.take(body)

    def on_response_complete(self) -> None:
        """What a cycle calls at its end."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif not self._in_head:
            self._waiting_since = self.loop.time()

    def _scope(self, version: str) -> Any:  # noqa: ANN401 - uvicorn's own
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "method": self.parser.get_method().decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
            "headers": self.headers,
            "state": self.app_state,
            "extensions": self._extensions,
        }

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: an upgrade is an offer that a server may ignore, and no reason to fill the log."""

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; whatever comes next on this connection cannot be trusted."""
        error = {"code": "UNSUPPORTED", "message": f"the request cannot be read as HTTP/1.1: {msg}"}
        content = json.dumps({"errors": [error]}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        lines = [b"%b: %b\r\n" % header for header in (*self.server_state.default_headers, *headers)]
        self.transport.write(b"".join([STATUS_LINE[400], *lines, b"connection: close\r\n\r\n", content]))
        self.transport.close()

    def shutdown(self) -> None:
        """See uvicorn; the server ends, so the next answer is the last one here, and says so.

        A proxy may have sent a request that has not come yet. It must not send every kind of request again (RFC 9110,
        9.2.2), so that to be idle is no reason to be closed at once.
        """
        self._ending = True
        current: Cycle | None = self.cycle
        if current is not None and not current.response_started:
            current.keep_alive = False
        self._linger(self.loop.time() + (self.config.timeout_graceful_shutdown or 0) / 2)

    def _linger(self, until: float, answered: int | None = None) -> None:
        """Close it when it is idle, and the server has answered no more than `answered` for a while; or it is late."""
        if self.transport.is_closing():
            return
        current: Cycle | None = self.cycle
        idle = current is None or current.response_complete
        if idle and (answered == self.server_state.total_requests or self.loop.time() >= until):
            self.transport.close()
        else:
            self.loop.call_later(LINGER_SECONDS, self._linger, until, self.server_state.total_requests)

    def _look_after(self) -> None:
        waited = 0.0 if self._waiting_since is None else self.loop.time() - self._waiting_since
        if waited >= self.timeout_keep_alive:
            self.transport.close()
        else:
            self._timer = self.loop.call_later(self.timeout_keep_alive - waited, self._look_after)
