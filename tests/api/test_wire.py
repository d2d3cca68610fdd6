"""What only a real server on a real socket can show: framing, refusals in the middle of a body, clients that vanish."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.api.access import users_file
from tests.server import Server, running_server
from tests.support.content import NOWHERE, Blob, blob, image, index
from tests.support.wire import DEADLINE_SECONDS, Answer, Wire, assert_no_fault, chunked, log_lines

MIB = 1024 * 1024
IDLE_SECONDS = 1
BASE = blob("base")
ENOUGH = 256 * 1024
"""As much as a body has to bring in that time."""
STEADY = blob("steady", 4 * ENOUGH)
LARGE = blob("large", 24 * MIB)
INDEX = index()
INDEX_TYPE = f"Content-Type: {INDEX.media_type}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server that waits a second for a body to go on, and that meets no fault until the end of the module."""
    settings = {"REGISTRY_HTTP__BODY_IDLE_SECONDS_MAX": str(IDLE_SECONDS)}
    with running_server(tmp_path_factory.mktemp("server"), settings) as server:
        yield server
    assert_no_fault(server.log)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server with users."""
    folder = tmp_path_factory.mktemp("guarded")
    with running_server(folder, {"REGISTRY_AUTH__HTPASSWD__FILE": str(users_file(folder))}) as server:
        yield server
    assert_no_fault(server.log)


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    """Give a connection."""
    with Wire(server.host) as wire:
        yield wire


def started(wire: Wire) -> str:
    """Start an upload; its path."""
    answer = wire.ask("POST /v2/app/blobs/uploads/", b"")
    assert answer.status == 202
    return str(answer.headers["location"])


def push(wire: Wire, content: Blob) -> None:
    """Push a blob in one request."""
    assert wire.ask(f"POST /v2/app/blobs/uploads/?digest={content.digest}", content.content).status == 201


def acknowledged(wire: Wire, location: str) -> int:
    """How many bytes of an upload the server has."""
    answer = wire.ask(f"GET {location}")
    assert answer.status == 204
    last = int(answer.headers["range"].removeprefix("0-"))
    return last + 1 if last else 0


# --- bodies without length ---


def test_chunked_manifest(wire: Wire) -> None:
    """A manifest with Transfer-Encoding: chunked and no length is taken as it is (4.4)."""
    wire.request(f"PUT /v2/app/manifests/v1\n{INDEX_TYPE}\nTransfer-Encoding: chunked")
    wire.send(chunked(INDEX.content[:10], INDEX.content[10:]))
    assert wire.answer().status == 201
    assert wire.ask("GET /v2/app/manifests/v1").body == INDEX.content


@pytest.mark.parametrize("content", [b"base", b""], ids=["some", "none"])
def test_chunked_blob(wire: Wire, content: bytes) -> None:
    """PATCH, PUT and POST take chunked bodies, the empty one included (4.4)."""
    digest = Blob(content).digest
    for method in ("POST", "PUT", "PATCH"):
        target = "/v2/app/blobs/uploads/" if method == "POST" else started(wire)
        wire.request(f"{method} {target}?digest={digest}\nTransfer-Encoding: chunked")
        wire.send(chunked(*([content] if content else [])))
        assert wire.answer().status == (202 if method == "PATCH" else 201)
    assert wire.ask(f"GET /v2/app/blobs/{digest}").body == content


def test_chunks_with_extensions_and_trailers(wire: Wire) -> None:
    """Extensions of a chunk and fields behind the last one are no content (RFC 9112, 7.1)."""
    wire.request(f"PUT {started(wire)}?digest={BASE.digest}\nTransfer-Encoding: chunked\nTrailer: X-Sum")
    wire.send(b'2;name="a;b"\r\nba\r\n2\r\nse\r\n0\r\nX-Sum: 1\r\n\r\n')
    assert wire.answer().status == 201


def test_body_that_nobody_asked_for(wire: Wire) -> None:
    """A body where none belongs is passed over, and the connection goes on with the next request."""
    for head in (
        "GET /v2/",
        "GET /v2/app/tags/none",
        "DELETE /v2/app/manifests/none",
        "POST /v2/app/blobs/uploads/",
    ):
        wire.request(head, b"GET /v2/evil HTTP/1.1\r\n\r\n" * 3000)
        answer = wire.answer()
        assert answer.status in {200, 202, 404}
        if answer.headers["connection"] == "close":
            assert wire.closed()
            return
    assert wire.ask("GET /v2/").status == 200


# --- Expect: 100-continue ---


def test_wanted_body_is_asked_for(wire: Wire) -> None:
    """A client that waits for 100 gets it, and then its answer (RFC 9110, 10.1.1)."""
    wire.request(f"PUT {started(wire)}?digest={BASE.digest}\nExpect: 100-continue\nContent-Length: 4")
    assert wire.answer().status == 100
    wire.send(b"base")
    assert wire.answer().status == 201


REFUSED = {
    "unknown-upload": (f"PATCH /v2/app/blobs/uploads/{'0' * 32}", 404, "BLOB_UPLOAD_UNKNOWN"),
    "invalid-digest": ("POST /v2/app/blobs/uploads/?digest=x", 400, "DIGEST_INVALID"),
    "invalid-name": ("PUT /v2/APP/manifests/v1", 400, "NAME_INVALID"),
    "large-manifest": (f"PUT /v2/app/manifests/v1\n{INDEX_TYPE}", 413, "MANIFEST_INVALID"),
    "wrong-method": ("PUT /v2/app/tags/list", 405, "UNSUPPORTED"),
    "no-such-path": ("PUT /somewhere", 404, "UNSUPPORTED"),
}
refused = pytest.mark.parametrize("case", REFUSED)


@refused
def test_unwanted_body_is_not_asked_for(wire: Wire, case: str) -> None:
    """A request that is refused by its head is answered at once, without a 100 before it."""
    head, status, code = REFUSED[case]
    wire.request(f"{head}\nExpect: 100-continue\nContent-Length: {LARGE_ENOUGH}")
    answer = wire.answer()
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["connection"] == "close"
    assert wire.closed()


# --- refusals while the body is still coming (trap 9) ---

LARGE_ENOUGH = 32 * MIB
"""More than all buffers on the way hold."""


@refused
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_refused_while_sending(wire: Wire, case: str, framing: str) -> None:
    """A client that sends all of a large body before it reads finds its answer, whole, and the connection closed."""
    head, status, code = REFUSED[case]
    if framing == "length":
        wire.request(f"{head}\nContent-Length: {LARGE_ENOUGH}")
        wire.send(bytes(LARGE_ENOUGH))
    else:
        wire.request(f"{head}\nTransfer-Encoding: chunked")
        wire.send(chunked(*[bytes(MIB)] * (LARGE_ENOUGH // MIB)))
    answer = wire.answer()
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["connection"] == "close"
    assert wire.closed()


@refused
def test_refused_before_sending(wire: Wire, case: str) -> None:
    """A client that reads before it sends has the whole answer at once, without sending anything."""
    head, status, code = REFUSED[case]
    wire.request(f"{head}\nContent-Length: {LARGE_ENOUGH}")
    answer = wire.answer()
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_stranger_is_refused_while_sending(guarded: Server, method: str) -> None:
    """Who sends a large body without credentials finds the 401 and its challenge behind it."""
    with Wire(guarded.host) as wire:
        target = "/v2/app/blobs/uploads/" if method == "POST" else "/v2/app/manifests/v1"
        wire.request(f"{method} {target}?digest={NOWHERE}\nContent-Length: {LARGE_ENOUGH}")
        wire.send(bytes(LARGE_ENOUGH))
        answer = wire.answer()
        assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
        assert answer.headers["www-authenticate"] == 'Basic realm="Registry"'
        assert wire.closed()


def test_short_body_of_a_refused_request(wire: Wire) -> None:
    """After a refusal with a body left unread the connection is either closed as announced, or fit for the next request."""
    answer = wire.ask(f"PATCH /v2/app/blobs/uploads/{'0' * 32}", b"GET /v2/evil HTTP/1.1\r\n\r\n")
    assert answer.status == 404
    if answer.headers["connection"] == "close":
        assert wire.closed()
    else:
        assert wire.ask("GET /v2/").status == 200


# --- one connection, many requests ---


def test_connection_outlives_errors(wire: Wire) -> None:
    """Errors whose request was read to its end leave the connection open (6.9)."""
    for head, content, status in (
        ("GET /v2/app/manifests/none", None, 404),
        (f"HEAD /v2/app/blobs/{NOWHERE}", None, 404),
        ("GET /v2/APP/tags/list", None, 400),
        (f"POST /v2/app/blobs/uploads/?digest={NOWHERE}", b"base", 400),
        (f"PUT /v2/app/manifests/v1\n{INDEX_TYPE}", b"{}", 400),
        ("DELETE /v2/app/manifests/none", None, 404),
        (f"PATCH {started(wire)}\nContent-Range: 5-8", b"", 416),
        ("GET /v2/app/tags/list?n=x", None, 400),
        ("POST /v2/app/tags/list", b"", 405),
        ("GET /nothing", None, 404),
    ):
        assert wire.ask(head, content).status == status, head
    assert wire.ask("GET /v2/").status == 200


def test_head_has_a_length_and_no_body(wire: Wire) -> None:
    """HEAD tells the length of what GET gives, and not one byte follows, for content and for errors (22, trap 4)."""
    push(wire, BASE)
    push(wire, Blob(b""))
    wire.ask(f"PUT /v2/app/manifests/v1\n{INDEX_TYPE}", INDEX.content)
    for path, length in (
        (f"/v2/app/blobs/{BASE.digest}", 4),
        (f"/v2/app/blobs/{Blob(b'').digest}", 0),
        ("/v2/app/manifests/v1", len(INDEX.content)),
        ("/v2/", 2),
        ("/v2/app/tags/list", None),
        ("/v2/app/manifests/none", None),
        ("/healthz", None),
    ):
        head, get = wire.ask(f"HEAD {path}"), wire.ask(f"GET {path}")
        assert head.status == get.status
        assert head.headers.get_all("content-length") == [str(len(get.body))]
        assert length in {None, len(get.body)}
        assert "transfer-encoding" not in head.headers


def test_answers_without_body(wire: Wire) -> None:
    """204 and 304 have no body on the wire either: the next answer follows them directly."""
    push(wire, BASE)
    location = started(wire)
    for head, status in (
        (f"GET {location}", 204),
        (f"GET /v2/app/blobs/{BASE.digest}\nIf-None-Match: {BASE.digest}", 304),
        (f"DELETE {location}", 204),
    ):
        assert wire.ask(head).status == status
    assert wire.ask("GET /v2/").body == b"{}"


def test_pipelining(wire: Wire) -> None:
    """Requests sent in one go, with and without bodies, are answered in their order (RFC 9112, 9.3.2)."""
    blobs = [blob(f"pipelined {number}") for number in range(5)]
    for content in blobs:
        wire.request(f"POST /v2/app/blobs/uploads/?digest={content.digest}", content.content)
        wire.request(f"GET /v2/app/blobs/{content.digest}")
        wire.request(f"HEAD /v2/app/blobs/{content.digest}")
        wire.request("GET /v2/app/manifests/none")
    for content in blobs:
        assert wire.answer().status == 201
        assert wire.answer().body == content.content
        assert wire.answer("HEAD").headers["content-length"] == str(len(content.content))
        assert wire.answer().status == 404


def test_http_1_0(server: Server) -> None:
    """A client of HTTP/1.0, without Host, is answered with a length and without chunks, and the connection ends."""
    with Wire(server.host) as wire:
        push(wire, BASE)
    for request, status, body in (
        (f"GET /v2/app/blobs/{BASE.digest} HTTP/1.0\r\n\r\n", 200, b"base"),
        (
            f"POST /v2/app/blobs/uploads/?digest={BASE.digest} HTTP/1.0\r\nContent-Length: 4\r\n\r\nbase",
            201,
            b"",
        ),
        ("GET /v2/app/tags/none HTTP/1.0\r\n\r\n", 404, None),
    ):
        with Wire(server.host) as wire:
            wire.send(request.encode())
            answer = wire.answer()
            assert answer.status == status
            assert body in {None, answer.body}
            assert "transfer-encoding" not in answer.headers
            assert wire.closed()


def test_last_request_of_a_connection(wire: Wire) -> None:
    """`Connection: close` is heeded after the answer."""
    assert wire.ask("GET /v2/\nConnection: close").status == 200
    assert wire.closed()


# --- targets ---


def test_absolute_form(wire: Wire) -> None:
    """A target with scheme and host, as proxies send it, is its path; no Location repeats the host (RFC 9112, 3.2.2)."""
    answer = wire.ask("POST http://elsewhere.example:8080/v2/app/blobs/uploads/", b"")
    assert answer.status == 202
    assert answer.headers["location"].startswith("/v2/app/blobs/uploads/")
    assert wire.ask("GET http://elsewhere.example/v2/").status == 200


def test_percent_encoding(wire: Wire) -> None:
    """Slashes and colons in a path may be percent-encoded, in letters of either case (trap 5)."""
    push(wire, BASE)
    encoded = BASE.digest.replace(":", "%3A"), BASE.digest.replace(":", "%3a")
    for digest in encoded:
        assert wire.ask(f"GET /v2/app/blobs/{digest}").body == b"base"
    assert wire.ask(f"PUT /v2/a%2Fb%2fc/manifests/v%31\n{INDEX_TYPE}", INDEX.content).status == 201
    assert wire.ask("GET /v2/a/b/c/manifests/v1").body == INDEX.content
    assert wire.ask("GET /v2/a%252Fb/tags/list").code == "NAME_INVALID"


@pytest.mark.parametrize(
    "target",
    [
        "/v2/../v2/",
        "/v2/./",
        "//v2/",
        "/v2/%2e%2e/",
        "/v2/a/../b/tags/list",
        "/v2/%zz/tags/list",
        "/v2/%",
        "*",
        "/v2/#x",
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_odd_targets(wire: Wire, method: str, target: str) -> None:
    """Dots, stars, broken escapes and fragments are never resolved to something else: the client is told it erred."""
    status = wire.ask(f"{method} {target}").status
    expected = {"GET": {400, 404}, "OPTIONS": {400, 404, 405}}[method]
    assert status in expected | ({200} if target == "/v2/#x" else set())


# --- what is no HTTP ---


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"FROB /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v2/ HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        b"GET /v2/\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v2/ HTTP/1.1\nHost: a\n X: b\n\n",
        b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
        b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n",
        b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_no_http(server: Server, request_bytes: bytes) -> None:
    """What is no HTTP, or could be read in two ways by us and a proxy, is refused, and the connection ends (RFC 9112, 6.3)."""
    with Wire(server.host) as wire:
        wire.send(request_bytes + b"GET /v2/ HTTP/1.1\r\nHost: smuggled\r\n\r\n")
        answer = wire.answer()
        assert answer.status in {400, 404, 405}
        assert answer.code == "UNSUPPORTED"
        assert wire.closed()


@pytest.mark.parametrize("rest", [b"zz\r\nbase\r\n0\r\n\r\n", b"4\r\nbaseX\r\n0\r\n\r\n", b"-1\r\n\r\n"])
def test_broken_chunks(server: Server, rest: bytes) -> None:
    """A body that breaks its own framing becomes no blob."""
    with Wire(server.host) as wire:
        content = blob("never stored")
        wire.request(f"POST /v2/app/blobs/uploads/?digest={content.digest}\nTransfer-Encoding: chunked")
        wire.send(rest)
        assert wire.answer().status == 400
    with Wire(server.host) as wire:
        assert wire.ask(f"HEAD /v2/app/blobs/{content.digest}").status == 404


# --- clients that are slow, or vanish ---


def test_slow_body_is_408(server: Server) -> None:
    """A body that stops coming is 408 after the configured time, and what came counts (6.9)."""
    with Wire(server.host) as wire:
        location = started(wire)
        wire.request(f"PATCH {location}\nContent-Length: 1000")
        wire.send(b"first")
        began = time.monotonic()
        answer = wire.answer()
        assert (answer.status, answer.code) == (408, "BLOB_UPLOAD_INVALID")
        assert time.monotonic() - began >= IDLE_SECONDS * 0.9
        assert wire.closed()
    with Wire(server.host) as wire:
        assert acknowledged(wire, location) == 5


def test_steady_body_is_not_idle(wire: Wire) -> None:
    """A body that comes slowly but steadily may take longer than the time that it may be idle."""
    location = started(wire)
    wire.request(f"PUT {location}?digest={STEADY.digest}\nContent-Length: {len(STEADY.content)}")
    for start in range(0, len(STEADY.content), ENOUGH):
        time.sleep(IDLE_SECONDS * 0.4)
        wire.send(STEADY.content[start : start + ENOUGH])
    assert wire.answer().status == 201


def closes(wire: Wire) -> None:
    """Hang up in good order."""
    wire.socket.shutdown(1)


@pytest.mark.parametrize("leave", [closes, Wire.vanish])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_client_vanishes_in_the_middle(server: Server, leave: Callable[[Wire], None], framing: str) -> None:
    """After a connection is lost in the middle of a PATCH, the upload goes on at the byte that GET tells (trap 8)."""
    half = LARGE.content[: 10 * MIB + 123]
    with Wire(server.host) as wire:
        location = started(wire)
        if framing == "length":
            wire.request(f"PATCH {location}\nContent-Length: {len(LARGE.content)}")
            wire.send(half)
        else:
            wire.request(f"PATCH {location}\nTransfer-Encoding: chunked")
            wire.send(b"%x\r\n%s" % (len(LARGE.content), half))
        leave(wire)
    with Wire(server.host) as wire:
        arrived = settled(wire, location)
        assert arrived == len(half) if leave is closes else arrived <= len(half)
        rest = LARGE.content[arrived:]
        head = f"PATCH {location}\nContent-Range: {arrived}-{len(LARGE.content) - 1}"
        assert wire.ask(head, rest).status == 202
        assert wire.ask(f"PUT {location}?digest={LARGE.digest}", b"").status == 201
        assert wire.ask(f"GET /v2/app/blobs/{LARGE.digest}").body == LARGE.content


def settled(wire: Wire, location: str) -> int:
    """How many bytes were acknowledged, once nobody writes any more: an empty PATCH waits for the writer before it."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while wire.ask(f"PATCH {location}", b"").status == 416:
        assert time.monotonic() < deadline
    return acknowledged(wire, location)


def test_two_clients_one_upload(server: Server) -> None:
    """While one connection sends, another is told with 416 where the upload stands, and both can go on."""
    with Wire(server.host) as one, Wire(server.host) as two:
        location = started(one)
        one.request(f"PATCH {location}\nContent-Length: {len(STEADY.content)}")
        one.send(STEADY.content[:ENOUGH])
        time.sleep(0.1)
        outcome: list[Answer] = []
        thread = threading.Thread(target=lambda: outcome.append(two.ask(f"PATCH {location}", b"")))
        thread.start()
        for start in range(ENOUGH, len(STEADY.content), ENOUGH):
            time.sleep(IDLE_SECONDS * 0.8)
            one.send(STEADY.content[start : start + ENOUGH])
        assert one.answer().status == 202
        thread.join()
        assert outcome[0].status in {202, 416}
        assert two.ask(f"PUT {location}?digest={STEADY.digest}", b"").status == 201


def test_downloads_that_are_broken_off(server: Server) -> None:
    """Clients that fetch many ranges of a blob and hang up after their part, as containerd does, cost nothing lasting (6.8)."""
    with Wire(server.host) as wire:
        push(wire, LARGE)
        for number in range(40):
            other = Wire(server.host)
            other.request(f"GET /v2/app/blobs/{LARGE.digest}\nRange: bytes={number * MIB // 2}-")
            assert other.read(9) == b"HTTP/1.1 "
            other.vanish() if number % 2 else other.__exit__(None, None, None)
        assert wire.ask(f"GET /v2/app/blobs/{LARGE.digest}\nRange: bytes=-4").body == LARGE.content[-4:]


def test_steady_reader_gets_everything(server: Server) -> None:
    """A download may take much longer than the time for which a client may be idle."""
    with Wire(server.host) as wire:
        push(wire, LARGE)
        wire.request(f"GET /v2/app/blobs/{LARGE.digest}")
        while wire.line() != b"\r\n":
            pass  # the head
        received = b""
        while len(received) < len(LARGE.content):
            time.sleep(IDLE_SECONDS * 0.2)
            received += wire.read(3 * MIB)
    assert received == LARGE.content


def test_reader_who_takes_nothing_is_let_go(server: Server) -> None:
    """A client that does not read what it asked for holds nothing for longer than the idle time."""
    with Wire(server.host) as wire:
        push(wire, LARGE)
    with Wire(server.host, receive_buffer_bytes=4096) as wire:
        wire.request(f"GET /v2/app/blobs/{LARGE.digest}\nX-Request-Id: takes-nothing")
        line = logged(server, "takes-nothing")
    assert line["status"] == 499
    assert line["seconds"] < DEADLINE_SECONDS


# --- the log ---


def test_log_of_a_request(server: Server, wire: Wire) -> None:
    """Each request is one line with its id, method, path, status, bytes, seconds and client."""
    wire.ask(f"POST /v2/app/blobs/uploads/?digest={BASE.digest}\nX-Request-Id: logged-1", b"base")
    wire.ask(f"GET /v2/app/blobs/{BASE.digest}\nX-Request-Id: logged-2")
    one, two = (logged(server, f"logged-{number}") for number in (1, 2))
    assert (one["method"], one["path"], one["status"]) == ("POST", "/v2/app/blobs/uploads/", 201)
    assert (one["bytes_in"], two["bytes_out"]) == (4, 4)
    assert one["client"] == "127.0.0.1"
    assert 0 < one["seconds"] < DEADLINE_SECONDS


def test_log_cannot_be_forged(server: Server, wire: Wire) -> None:
    """Line ends in a path stay inside their line of the log; passwords are in none."""
    wire.ask(
        "GET /v2/%0A%7B%22level%22:%22error%22%7D\nX-Request-Id: forged\nAuthorization: Basic aHVudGVyMg=="
    )
    assert logged(server, "forged")["path"] == '/v2/\n{"level":"error"}'
    assert "aHVudGVyMg" not in server.log.read_text()


def test_forwarded_address_needs_trust(server: Server, wire: Wire) -> None:
    """X-Forwarded-For of somebody who is no trusted proxy is not believed (6.10)."""
    wire.ask("GET /v2/\nX-Request-Id: forwarded\nX-Forwarded-For: 203.0.113.9\nX-Real-Ip: 203.0.113.9")
    assert logged(server, "forwarded")["client"] == "127.0.0.1"


def test_cut_off_at_the_stop(tmp_path: Path) -> None:
    """A request that is not done when the server has to stop is one warning with its id, and no traceback."""
    settings = {"REGISTRY_HTTP__SHUTDOWN_SECONDS_MAX": "0.1", "REGISTRY_LOG__FORMAT": "json"}
    with ExitStack() as stack:
        server = stack.enter_context(running_server(tmp_path, settings))
        with Wire(server.host) as wire:
            wire.request(
                f"PUT {started(wire)}?digest={BASE.digest}\nContent-Length: 4\nX-Request-Id: too-slow"
            )
            wire.send(b"ba")
            time.sleep(0.5)
            stack.close()
    lines = log_lines(server.log)
    [warning] = [line for line in lines if line.get("id") == "too-slow" and line["level"] != "info"]
    assert (warning["level"], "cut off" in warning["event"]) == ("warning", True)
    assert not [line for line in lines if "exception" in line]


def logged(server: Server, request_id: str) -> dict[str, Any]:
    """The line of the log about a request."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := [line for line in log_lines(server.log) if line.get("id") == request_id]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert len(found) == 1
    return found[0]


def test_version_is_one(wire: Wire) -> None:
    """Every answer is HTTP/1.1 with a date and without a word on the server's make."""
    answer = wire.ask("GET /v2/")
    assert answer.version == "HTTP/1.1"
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", answer.headers["date"])
    assert "server" not in answer.headers


def test_image_over_the_wire(wire: Wire) -> None:
    """A whole image is pushed and pulled over one connection."""
    app = image("app")
    for content in app.blobs:
        push(wire, content)
    assert wire.ask(f"PUT /v2/app/manifests/v1\nContent-Type: {app.media_type}", app.content).status == 201
    assert wire.ask("GET /v2/app/manifests/v1").body == app.content
