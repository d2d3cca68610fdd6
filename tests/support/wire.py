"""HTTP on the wire, byte by byte: for what client libraries would not send, or would hide."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import Any, Self

DEADLINE_SECONDS = 20


@dataclass(frozen=True)
class Answer:
    """A response as it came."""

    version: str
    status: int
    headers: Message
    body: bytes

    @property
    def code(self) -> str:
        """The code of the first error in it."""
        code: str = json.loads(self.body)["errors"][0]["code"]
        return code


class Wire:
    """One connection to a server."""

    def __init__(self, host: str, receive_buffer_bytes: int | None = None) -> None:
        address, _, port = host.partition(":")
        self.socket = socket.socket()
        self.socket.settimeout(DEADLINE_SECONDS)
        if receive_buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.connect((address, int(port)))
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self.socket.close()

    def send(self, content: bytes) -> None:
        """Send these bytes."""
        self.socket.sendall(content)

    def request(self, head: str, content: bytes | None = None) -> None:
        """Send a request: its line and headers, one a line, then its body with its length. Host comes by itself."""
        line, *headers = head.splitlines()
        headers.append("Host: registry.test")
        if content is not None:
            headers.append(f"Content-Length: {len(content)}")
        text = "\r\n".join([f"{line} HTTP/1.1", *headers, "", ""])
        self.send(text.encode("latin-1") + (content or b""))

    def answer(self, method: str = "GET") -> Answer:
        """Read one response. It must say how long it is, unless it cannot have a body."""
        version, _, rest = self._file.readline().decode("latin-1").partition(" ")
        assert rest, "the connection was closed before an answer"
        status = int(rest[:3])
        headers = http.client.parse_headers(self._file)
        body = b""
        if not (method == "HEAD" or status in {204, 304} or status < 200):
            length = int(headers["content-length"])
            body = self._file.read(length)
            assert len(body) == length, "the answer was cut off"
        return Answer(version, status, headers, body)

    def ask(self, head: str, content: bytes | None = None) -> Answer:
        """Send a request and read its response."""
        self.request(head, content)
        return self.answer(head.partition(" ")[0])

    def closed(self) -> bool:
        """Whether the server ends the connection now, without a further byte."""
        try:
            return self._file.read(1) == b""
        except ConnectionError:
            return True

    def read(self, size: int) -> bytes:
        """Read so many bytes, or fewer at the end."""
        return self._file.read(size)

    def line(self) -> bytes:
        """Read to the end of a line."""
        return self._file.readline()

    def vanish(self) -> None:
        """Be gone without a goodbye, as after a crash: what was not read is reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._file.close()
        self.socket.close()


def chunked(*pieces: bytes) -> bytes:
    """The pieces as a body with Transfer-Encoding: chunked."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def log_lines(log: Path) -> list[dict[str, Any]]:
    """What a server has logged, line by line."""
    return [json.loads(line) for line in log.read_text().split("\n") if line.startswith("{")]


_HUNG_UP = "ASGI callable returned without completing response."
"""How uvicorn puts it when an answer ends early since its client takes nothing: ASGI has no other way to hang up."""


def assert_no_fault(log: Path) -> None:
    """No request met a fault of the server's own, and nothing was logged as an error."""
    lines = log_lines(log)
    errors = [line for line in lines if line["level"] in {"error", "critical"}]
    assert [line for line in errors if line["event"] != _HUNG_UP] == []
    assert [line for line in lines if line.get("status", 200) in {0, 500}] == []
