"""The server's process: listening, workers, TLS and signals, around a stand-in for the application."""

import contextlib
import errno
import http.client
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from registry.server import explained
from registry.sockets import ACCEPT_POLL_SECONDS, HANDSHAKE_SECONDS, last_accepts
from tests.stand_in import LONG_BYTES

PROJECT = Path(__file__).parents[1]
DEADLINE_SECONDS = 60  # for what has to happen at all; how fast is nobody's business here

Start = Callable[..., "Running"]


@dataclass
class Running:
    """A server process that has said it is ready."""

    process: subprocess.Popen[str]
    said: str
    errors: Path

    @property
    def port(self) -> int:
        """The port it said it listens on."""
        found = re.search(r"https?://[^ ]*:(\d+)", self.said)
        assert found, self.said
        return int(found[1])

    def get(self) -> dict[str, Any]:
        """Ask once, on a connection of its own; what the stand-in answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", "/")
            answer: dict[str, Any] = json.load(connection.getresponse())
            return answer

    def pids(self, count: int) -> set[int]:
        """Ask until so many different processes have answered; their ids."""
        pids: set[int] = set()

        def enough() -> bool:
            pids.add(self.get()["pid"])
            return len(pids) >= count

        eventually(enough)
        return pids

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_SECONDS)


def eventually(done: Callable[[], object]) -> None:
    """Wait until something is true, which has to happen."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not done():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Give a function that starts a server with a configuration's sections and waits for it to be ready."""
    processes: list[subprocess.Popen[str]] = []

    def starting(
        *, ready: bool = True, environment: dict[str, str] | None = None, **sections: Any
    ) -> Running:
        sections["http"] = {"port": 0} | sections.get("http", {})
        errors = tmp_path / f"errors-{len(processes)}"
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.stand_in", json.dumps(sections)],
                cwd=PROJECT,
                env=os.environ | (environment or {}),
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )
        processes.append(process)
        running = Running(process, _said(process), errors)
        assert ("is ready" in running.said) == ready, errors.read_text()
        return running

    yield starting
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own session: with whatever workers are left
        process.communicate()


def _said(process: subprocess.Popen[str]) -> str:
    """What the process printed until its last line about being ready, or until its end."""
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if "docker push" in line or "curl" in line:
            break
    return said


@contextlib.contextmanager
def request_in_progress(port: int) -> Iterator[Callable[[], bytes]]:
    """A request that the application has begun to read; gives a function that ends it and returns the answer."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\nabc")
        assert client.recv(1000).startswith(b"HTTP/1.1 100")

        def finish() -> bytes:
            client.sendall(b"def")
            return b"".join(iter(lambda: client.recv(10_000), b""))

        yield finish


@contextlib.contextmanager
def kept_connection(port: int) -> Iterator[http.client.HTTPConnection]:
    """A connection that is made at once, and takes several requests."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)) as made:
        made.connect()
        yield made


def ask_on(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
    """The answer to a request that a proxy would not send twice."""
    connection.request("POST", "/", b"abc")
    answer = connection.getresponse()
    assert json.load(answer)["bytes"] == 3
    return answer


def refuses(port: int) -> bool:
    """Whether nobody listens on the port."""
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS).close()
    except ConnectionRefusedError:
        return True
    return False


def test_says_where(start: Start, tmp_path: Path) -> None:
    """Once ready, it prints where it listens (the port chosen), where data lies (no password), the push to try."""
    url = "postgresql://bob:s3cret@host/db"
    running = start(storage={"directory": str(tmp_path)}, database={"url": url})
    assert f"http://127.0.0.1:{running.port}\n" in running.said
    assert f"docker push localhost:{running.port}/debian:10\n" in running.said
    assert f" {tmp_path}\n" in running.said
    assert " postgresql://bob:***@host/db\n" in running.said
    assert running.get() == {"pid": running.process.pid, "scheme": "http", "bytes": 0}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_in_order(start: Start, number: int, workers: int) -> None:
    """After the signal nobody new gets in, the running request is answered, and the exit status is 0."""
    running = start(http={"workers": workers})
    with request_in_progress(running.port) as finish:
        running.process.send_signal(number)
        eventually(lambda: refuses(running.port))
        answer = finish()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"bytes": 6' in answer
    assert running.process.wait(DEADLINE_SECONDS) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_does_not_wait_for_ever(start: Start, workers: int) -> None:
    """A request that does not end within shutdown_seconds_max is cut off, and the exit status is still 0."""
    running = start(http={"workers": workers, "shutdown_seconds_max": 0})
    with request_in_progress(running.port):
        assert running.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_idle_connection_is_answered_once_more(start: Start, workers: int) -> None:
    """After the signal a connection is not closed while it is idle: one more request is answered, and told so."""
    running = start(http={"workers": workers})
    with kept_connection(running.port) as connection:
        ask_on(connection)
        running.process.send_signal(signal.SIGTERM)
        while ask_on(connection).getheader("connection") != "close":
            time.sleep(0.05)
        assert running.process.wait(DEADLINE_SECONDS) == 0


def test_long_answer_is_not_the_last(start: Start) -> None:
    """An answer that had begun before the signal could not say that it was the last one: the next request is answered."""
    running = start()
    with kept_connection(running.port) as connection:
        connection.request("GET", "/long")
        answer = connection.getresponse()
        running.process.send_signal(signal.SIGTERM)
        eventually(lambda: refuses(running.port))
        assert len(answer.read()) == LONG_BYTES
        assert answer.getheader("connection") is None
        assert ask_on(connection).getheader("connection") == "close"
        assert running.process.wait(DEADLINE_SECONDS) == 0


def test_who_is_connected_is_answered(start: Start) -> None:
    """Whoever got in before the server stopped listening is answered, though it was too busy to accept the connection."""
    running = start()
    with contextlib.ExitStack() as stack:
        stack.enter_context(kept_connection(running.port)).request("GET", "/busy")
        running.process.send_signal(signal.SIGTERM)
        connections = []
        with contextlib.suppress(ConnectionRefusedError):
            while True:
                connections.append(stack.enter_context(kept_connection(running.port)))
                connections[-1].request("POST", "/", b"abc")
                time.sleep(0.005)
        assert {connection.getresponse().status for connection in connections} == {200}
        assert running.process.wait(DEADLINE_SECONDS) == 0


def test_nobody_new_gets_in() -> None:
    """Before a listener is closed, who is connected is waited for, and who comes then is not let in."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        address = listener.getsockname()
        early = stack.enter_context(socket.create_connection(address))
        pauses = last_accepts([listener])
        assert [next(pauses), next(pauses)] == [ACCEPT_POLL_SECONDS] * 2
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.2)
        early.sendall(b"abc")
        accepted = stack.enter_context(listener.accept()[0])
        assert accepted.recv(10) == b"abc"
        assert list(pauses) == [HANDSHAKE_SECONDS]


def test_last_accepts_come_to_an_end() -> None:
    """A connection that nobody accepts, as where no more files can be opened, does not keep the server from stopping."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        for seconds in last_accepts([listener]):
            time.sleep(seconds)


def test_stops_with_idle_connections(start: Start) -> None:
    """Connections without a request do not keep it from stopping, and are not waited for until the time is over."""
    running = start()
    with socket.create_connection(("127.0.0.1", running.port)):
        running.get()
        assert running.stop() == 0
    assert running.errors.read_text() == ""


def test_idle_connections_are_not_kept_for_others(start: Start) -> None:
    """Where others go on asking, idle connections are closed nevertheless, in half of the time that requests may take."""
    running = start(http={"shutdown_seconds_max": 6})
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(kept_connection(running.port)) for _ in range(40)]
        running.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(ConnectionError):
            for connection in connections:
                ask_on(connection)
                time.sleep(0.2)
        assert running.process.wait(DEADLINE_SECONDS) == 0
    assert running.errors.read_text() == ""


@pytest.mark.parametrize("workers", [1, 2])
def test_port_taken(start: Start, workers: int) -> None:
    """A port that is in use ends the start with status 1 and one line that names it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        failed = start(ready=False, http={"port": port, "workers": workers})
        assert failed.process.wait(DEADLINE_SECONDS) == 1
    [line] = failed.errors.read_text().splitlines()
    assert line.startswith(f"registry: cannot listen on 127.0.0.1:{port}: another program uses this port")


def test_host_without_address(start: Start) -> None:
    """A host name that means nothing ends the start with status 1 and one line."""
    failed = start(ready=False, http={"host": "no.such.host.invalid", "port": 15301})
    assert failed.process.wait(DEADLINE_SECONDS) == 1
    assert (
        failed.errors.read_text() == "registry: cannot listen on no.such.host.invalid:15301: no such host\n"
    )


def test_host_with_several_addresses(start: Start) -> None:
    """A name is listened on at all its addresses, on one port."""
    running = start(http={"host": "localhost"})
    ports = set(re.findall(r"http://[^ ]*:(\d+)", running.said))
    assert ports == {str(running.port)}
    assert running.get()["scheme"] == "http"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("fault", ["build", "start"])
def test_application_does_not_start(start: Start, fault: str, workers: int) -> None:
    """When the application cannot be built or started, the server ends with status 1 and says why."""
    failed = start(ready=False, environment={"STAND_IN_FAULT": fault}, http={"workers": workers})
    assert failed.process.wait(DEADLINE_SECONDS) == 1
    assert "the stand-in was told not to" in failed.errors.read_text()


def test_permission_denied_says_to_whom() -> None:
    """Where a folder cannot be used, it is said which user the process is, and how that user comes to own it."""
    [line] = explained(PermissionError(errno.EACCES, "Permission denied", "/data/uploads"))
    assert line.startswith("/data/uploads: Permission denied; this process is user ")
    assert f"chown -R {os.geteuid()}:{os.getegid()} " in line
    assert explained(FileNotFoundError(errno.ENOENT, "No such file", "/data")) == ["/data: No such file"]


def test_answer_names_no_server(start: Start) -> None:
    """An answer has a date, but does not tell which server software it comes from."""
    connection = http.client.HTTPConnection("127.0.0.1", start().port, timeout=DEADLINE_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        names = {name.lower() for name, _ in connection.getresponse().getheaders()}
    assert names == {"date", "content-length"}


def test_says_how_to_log_in(start: Start) -> None:
    """With users, the lines to try begin with the log-in; without a data folder, it says that nothing stays."""
    said = start(auth={"htpasswd": {"file": "users"}}, storage={"kind": "memory"}).said
    assert re.search(r"docker login localhost:\d+\n.*docker tag .*\n.*docker push ", said)
    assert said.count("in memory, gone when it stops") == 2


def test_offer_of_another_protocol(start: Start) -> None:
    """An offer to go on in HTTP/2 or WebSocket is not taken up, and not worth a line in the log."""
    running = start()
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=DEADLINE_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", "/", headers={"Connection": "Upgrade", "Upgrade": "h2c"})
        assert connection.getresponse().status == 200
    assert running.errors.read_text() == ""


# --- heads of requests ---


def test_head_too_long(start: Start) -> None:
    """Headers that never end are refused once they are longer than any real ones."""
    with socket.create_connection(("127.0.0.1", start().port), DEADLINE_SECONDS) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                client.sendall(b"a" * 10_000)
        with contextlib.suppress(ConnectionError):
            assert client.recv(1000).startswith(b"HTTP/1.1 400") or not client.recv(1000)


def test_head_of_tokens(start: Start) -> None:
    """A long token is no reason to refuse a request."""
    connection = http.client.HTTPConnection("127.0.0.1", start().port, timeout=DEADLINE_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", "/", headers={"Authorization": "Bearer " + "a" * 32_000})
        assert connection.getresponse().status == 200


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost"])
def test_head_never_comes(start: Start, beginning: bytes) -> None:
    """A client that does not say, or does not finish, what it wants is let go after the keep-alive time."""
    running = start(http={"keep_alive_seconds": 1})
    with socket.create_connection(("127.0.0.1", running.port), DEADLINE_SECONDS) as client:
        client.sendall(beginning)
        assert client.recv(1000) == b""


def test_next_head_never_comes(start: Start) -> None:
    """The same holds for a further request on a connection."""
    running = start(http={"keep_alive_seconds": 1})
    with socket.create_connection(("127.0.0.1", running.port), DEADLINE_SECONDS) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += client.recv(1000)
        client.sendall(b"GET / HTTP/1.1\r\nHost")
        assert client.recv(1000) == b""


def test_slow_body_is_not_a_slow_head(start: Start) -> None:
    """A body may come later than the keep-alive time, and the connection then takes the next request."""
    port = start(http={"keep_alive_seconds": 1}).port
    with socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS) as client:
        for _ in range(2):
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
            time.sleep(1.5)
            client.sendall(b"abc")
            answer = b""
            while not answer.endswith(b"}"):
                answer += client.recv(10_000)
            assert b'"bytes": 3' in answer


# --- Unix socket ---


def ask_unix(path: Path) -> bytes:
    """Ask once over a Unix socket; the whole answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(DEADLINE_SECONDS)
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: client.recv(10_000), b""))


@pytest.mark.parametrize("workers", [1, 2])
def test_unix_socket(start: Start, tmp_path: Path, workers: int) -> None:
    """It listens on a Unix socket for its owner and group, says how to try it, and removes it at the end."""
    path = tmp_path / "registry.sock"
    running = start(http={"unix_socket": str(path), "workers": workers})
    assert f"curl --unix-socket {path} http://localhost/v2/\n" in running.said
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert ask_unix(path).startswith(b"HTTP/1.1 200")
    assert running.stop() == 0
    assert not path.exists()


def test_stale_unix_socket(start: Start, tmp_path: Path) -> None:
    """The socket of a server that was killed is replaced."""
    path = tmp_path / "registry.sock"
    killed = start(http={"unix_socket": str(path)})
    assert killed.stop(signal.SIGKILL) == -signal.SIGKILL
    assert path.exists()
    start(http={"unix_socket": str(path)})
    assert ask_unix(path).startswith(b"HTTP/1.1 200")


def test_unix_socket_taken(start: Start, tmp_path: Path) -> None:
    """The socket of a server that answers is left alone, and the second start ends with one line."""
    path = tmp_path / "registry.sock"
    start(http={"unix_socket": str(path)})
    failed = start(ready=False, http={"unix_socket": str(path)})
    assert failed.process.wait(DEADLINE_SECONDS) == 1
    assert failed.errors.read_text() == f"registry: cannot listen on {path}: another program answers there\n"
    assert ask_unix(path).startswith(b"HTTP/1.1 200")


def test_unix_socket_is_a_file(start: Start, tmp_path: Path) -> None:
    """A file that is not a socket is never removed to make room for one."""
    path = tmp_path / "precious"
    path.write_text("data")
    failed = start(ready=False, http={"unix_socket": str(path)})
    assert failed.process.wait(DEADLINE_SECONDS) == 1
    assert failed.errors.read_text() == f"registry: cannot listen on {path}: it exists and is not a socket\n"
    assert path.read_text() == "data"


@pytest.mark.parametrize("name", ["absent/registry.sock", "x" * 200])
def test_unix_socket_unusable(start: Start, tmp_path: Path, name: str) -> None:
    """A path that cannot be a socket ends the start with one line."""
    failed = start(ready=False, http={"unix_socket": str(tmp_path / name)})
    assert failed.process.wait(DEADLINE_SECONDS) == 1
    assert len(failed.errors.read_text().splitlines()) == 1


# --- workers ---


def test_killed_worker_comes_back(start: Start) -> None:
    """A worker that dies is replaced, which is logged, and the others go on."""
    running = start(http={"workers": 2})
    before = running.pids(2)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: "worker died and was replaced" in running.errors.read_text())
    after = running.pids(2)
    assert len(after) == 2
    assert victim not in after
    assert running.stop() == 0


def test_workers_do_not_outlive_their_parent(start: Start) -> None:
    """When the parent is killed, the workers stop too and free the port."""
    running = start(http={"workers": 2})
    assert running.stop(signal.SIGKILL) == -signal.SIGKILL
    eventually(lambda: refuses(running.port))


def test_secrets_are_not_in_command_lines(start: Start) -> None:
    """No worker shows a secret in its command line, which every user of the machine can read."""
    url = "postgresql://bob:s3cret@host/db"
    running = start(http={"workers": 2}, database={"url": url})
    for pid in running.pids(2):
        assert b"s3cret" not in Path(f"/proc/{pid}/cmdline").read_bytes()


# --- TLS ---


@dataclass
class Authority:
    """Makes certificates, and puts one where the server looks for it."""

    ca: trustme.CA
    certificate_file: Path
    key_file: Path

    def install(self) -> bytes:
        """Put a new certificate and its key in place; the certificate, as a client sees it."""
        leaf = self.ca.issue_cert("localhost", "127.0.0.1")
        leaf.private_key_pem.write_to_path(self.key_file)
        leaf.cert_chain_pems[0].write_to_path(self.certificate_file)
        return ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())

    @property
    def section(self) -> dict[str, Any]:
        """The http section of the configuration."""
        files = {"certificate_file": str(self.certificate_file), "key_file": str(self.key_file)}
        return {"tls": {**files, "reload_seconds": 1}}

    def connect(self, port: int) -> http.client.HTTPSConnection:
        """A connection that trusts this authority."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=DEADLINE_SECONDS)
        connection.connect()
        return connection

    def served(self, port: int) -> bytes | None:
        """The certificate that a new connection is shown."""
        with contextlib.closing(self.connect(port)) as connection:
            return certificate_of(connection)


def certificate_of(connection: http.client.HTTPSConnection) -> bytes | None:
    """The certificate that a connection was shown."""
    assert isinstance(connection.sock, ssl.SSLSocket)
    return connection.sock.getpeercert(binary_form=True)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Give a certificate authority."""
    return Authority(trustme.CA(), tmp_path / "tls.crt", tmp_path / "tls.key")


def ask(connection: http.client.HTTPSConnection) -> dict[str, Any]:
    """Ask once on a connection that is open."""
    connection.request("GET", "/")
    answer: dict[str, Any] = json.load(connection.getresponse())
    return answer


@pytest.mark.parametrize("workers", [1, 2])
def test_new_certificate(start: Start, authority: Authority, workers: int) -> None:
    """New connections get the new certificate, from every worker, while an old connection goes on."""
    first = authority.install()
    running = start(http={**authority.section, "workers": workers})
    assert f"https://127.0.0.1:{running.port}" in running.said
    with contextlib.closing(authority.connect(running.port)) as old:
        assert ask(old)["scheme"] == "https"
        assert certificate_of(old) == first
        second = authority.install()
        eventually(lambda: {authority.served(running.port) for _ in range(8)} == {second})
        assert ask(old)["scheme"] == "https"
        assert certificate_of(old) == first
    assert running.stop() == 0


def test_broken_new_certificate(start: Start, authority: Authority) -> None:
    """A pair of files that does not fit is logged once, and the old one stays until there is one that does."""
    first = authority.install()
    running = start(http=authority.section)
    authority.ca.issue_cert("localhost").cert_chain_pems[0].write_to_path(authority.certificate_file)
    eventually(lambda: "the old one stays" in running.errors.read_text())
    assert authority.served(running.port) == first
    authority.certificate_file.unlink()
    eventually(lambda: running.errors.read_text().count("the old one stays") == 2)
    assert authority.served(running.port) == first
    second = authority.install()
    eventually(lambda: authority.served(running.port) == second)


def test_unusable_certificate(start: Start, authority: Authority) -> None:
    """A certificate that cannot be used ends the start with status 1 and one line that names the files."""
    authority.install()
    authority.certificate_file.write_text("nonsense")
    failed = start(ready=False, http=authority.section)
    assert failed.process.wait(DEADLINE_SECONDS) == 1
    [line] = failed.errors.read_text().splitlines()
    assert line.startswith(
        f"registry: cannot serve TLS with {authority.certificate_file} and {authority.key_file}: "
    )


def test_encrypted_key(start: Start, authority: Authority) -> None:
    """A key with a passphrase ends the start instead of asking for it on the terminal."""
    authority.install()
    run = ["openssl", "pkey", "-aes256", "-passout", "pass:x", "-in", str(authority.key_file)]
    encrypted = subprocess.run(run, check=True, capture_output=True).stdout
    authority.key_file.write_bytes(encrypted)
    assert start(ready=False, http=authority.section).process.wait(DEADLINE_SECONDS) == 1
