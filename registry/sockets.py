"""Listening sockets, TCP or Unix: what is wrong with an address is said in one line, who is connected is accepted."""

import ctypes
import errno
import os
import socket
import stat
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from registry.keys import Http

BACKLOG = 2048
UNIX_UMASK = 0o117  # the socket's owner and group may connect
PROBE_SECONDS = 1.0

ACCEPT_POLL_SECONDS = 0.01
LAST_ACCEPTS_SECONDS_MAX = 1.0
HANDSHAKE_SECONDS = 0.1  # a round trip, after which whoever was answered by the kernel is connected

TCP_INFO_BYTES = 28  # up to tcpi_unacked, which for a listener is what waits; linux/tcp.h
SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python does not name it
DROP_SYN = (  # code, jump if true, jump if false, operand; linux/filter.h
    (0x30, 0, 0, 13),  # the flags of the TCP header
    (0x54, 0, 0, 0x12),  # of them SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone asks for a new connection
    (0x06, 0, 0, 0),  # drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # take it
)


class CannotListen(Exception):
    """The server cannot listen as configured; the text is one line for the operator."""


@contextmanager
def listening(http: Http) -> Iterator[list[socket.socket]]:
    """Sockets that listen where `http` says, closed (and a Unix socket's file removed) at the end.

    Raises CannotListen.
    """
    with ExitStack() as stack:
        if http.unix_socket is not None:
            yield [stack.enter_context(_unix(http.unix_socket))]
        else:
            yield _tcp(http.host, http.port, stack)


def last_accepts(listeners: Sequence[socket.socket]) -> Iterator[float]:
    """Let nobody in any more; gives pauses, in seconds, after which all who are in have been accepted.

    Closing a listener resets the connections that wait to be accepted, on which requests may have been sent already.
    Who comes now hears nothing, tries again after a second, and is refused then: a proxy goes on to the next server.
    """
    if sys.platform != "linux":
        return
    for listener in listeners:
        _drop_syn(listener)
    deadline = time.monotonic() + LAST_ACCEPTS_SECONDS_MAX
    while any(map(_waiting, listeners)) and time.monotonic() < deadline:
        yield ACCEPT_POLL_SECONDS
    yield HANDSHAKE_SECONDS


def url(listener: socket.socket, *, secure: bool) -> str:
    """Where a socket listens, for people: `http://127.0.0.1:5000`, `unix:/run/registry.sock`."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"{'https' if secure else 'http'}://{with_port(name[0], name[1])}"


def with_port(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _tcp(host: str, port: int, stack: ExitStack) -> list[socket.socket]:
    """One socket for each address of the host, on one port; those that this machine lacks are left out."""
    where = with_port(host, port)
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise CannotListen(f"cannot listen on {where}: no such host") from error
    listeners: list[socket.socket] = []
    absent: OSError | None = None
    for family, address in dict.fromkeys((family, str(address[0])) for family, _, _, _, address in answers):
        same_port = listeners[0].getsockname()[1] if listeners else port
        try:
            listeners.append(stack.enter_context(_listener(family, address, same_port)))
        except OSError as error:
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                raise CannotListen(f"cannot listen on {where}: {_reason(error)}") from error
            absent = error
    if not listeners and absent is not None:
        raise CannotListen(f"cannot listen on {where}: {_reason(absent)}") from absent
    return listeners


def _listener(family: int, address: str, port: int) -> socket.socket:
    both = address == "::" and socket.has_dualstack_ipv6()  # every address means IPv4 ones too
    return socket.create_server((address, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program uses this port; stop it, or choose another port"
    if error.errno == errno.EACCES:
        return "permission denied; ports below 1024 usually need one above, or a privilege"
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _drop_syn(listener: socket.socket) -> None:
    """Let the kernel take no notice of those who want to connect by TCP, and go on with those it has answered."""
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in DROP_SYN)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HP", len(DROP_SYN), ctypes.addressof(buffer))
    with suppress(OSError):  # a kernel that cannot do it
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def _waiting(listener: socket.socket) -> int:
    """How many TCP connections wait to be accepted."""
    if listener.family == socket.AF_UNIX:
        return 0
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    return int.from_bytes(info[-4:], sys.byteorder)


@contextmanager
def _unix(path: Path) -> Iterator[socket.socket]:
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with listener:
        umask = os.umask(UNIX_UMASK)  # set before binding, so that there is no moment with more rights
        try:
            listener.bind(str(path))
            listener.listen(BACKLOG)
        except OSError as error:
            raise CannotListen(f"cannot listen on {path}: {_unix_reason(error)}") from error
        finally:
            os.umask(umask)
        ours = _identity(path)
        try:
            yield listener
        finally:
            if _identity(path) == ours:  # else somebody replaced it
                with suppress(OSError):
                    path.unlink()


def _unix_reason(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _remove_stale(path: Path) -> None:
    """A server that was killed leaves its socket's file behind; one that answers is not disturbed."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # nothing there, or nothing we can see: binding will tell
    if not stat.S_ISSOCK(mode):
        raise CannotListen(f"cannot listen on {path}: it exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except OSError as error:
            raise CannotListen(f"cannot listen on {path}: {_unix_reason(error)}") from error
        else:
            raise CannotListen(f"cannot listen on {path}: another program answers there")
