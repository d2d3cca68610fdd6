"""One HTTP/1.1 connection: uvicorn's, with the limits on a request's head that it leaves open."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 * 1024  # request line and headers; tokens with many scopes reach some 20 KiB


class Protocol(HttpToolsProtocol):
    """Ends a connection whose request head never ends, or never comes.

    Its time is the keep-alive time: a client that says nothing, or too slowly, is as idle before its first
    request as it is after it.
    """

    _in_head = False
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._forget_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._head_bytes += len(data)  # the head is still open, so all of this belongs to it
        if self._head_bytes > HEAD_BYTES_MAX:
            self.send_400_response("Request line and headers are too long.")
        elif self._deadline is None:
            self._await_head()

    def on_message_begin(self) -> None:
        """Parser callback: the first byte of a request."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Parser callback: the empty line after the headers."""
        self._in_head = False
        self._forget_deadline()
        super().on_headers_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: an upgrade is an offer that a server may ignore, and no reason to fill the log."""

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
