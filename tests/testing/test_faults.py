"""Faults strike the requests that they are meant for, and no others, in the way that they are called."""

from __future__ import annotations

import http.client
import socket
import struct
import time

import httpx
import pytest

from registry import testing
from registry.oci.digest import Digest
from registry.testing import Image, OciRegistry
from tests.testing.clients import SECONDS_MAX, ask, client, connection, push_by_hand, read_all

CONTENT = bytes(range(256)) * 40
DIGEST = Digest.of(CONTENT)
BROKEN_OFF = (OSError, http.client.HTTPException)
"""How http.client tells that a connection ended before an answer."""


@pytest.fixture
def image(oci_registry: OciRegistry) -> Image:
    """Give an image whose one layer is CONTENT."""
    return oci_registry.push_image("team/app:1", layers=[CONTENT])


def pulled(oci: OciRegistry, path: str = f"/v2/team/app/blobs/{DIGEST}") -> tuple[bytes, Exception | None]:
    """What a client gets of a body, and how that ends."""
    with connection(oci) as http:
        http.request("GET", path)
        answer = http.getresponse()
        assert answer.status == 200
        return read_all(answer)


def pull_statuses(oci: OciRegistry, times: int, **options: str) -> list[int]:
    """What so many pulls of the layer are answered."""
    with client(oci) as http:
        return [http.get(f"/v2/team/app/blobs/{DIGEST}", **options).status_code for _ in range(times)]


# --- the connection ---


@pytest.mark.parametrize("size", [0, 1, 1000, len(CONTENT) - 1])
def test_cut_after(oci_registry: OciRegistry, image: Image, size: int) -> None:
    """A download ends in an orderly way after exactly so many bytes, short of what was announced."""
    oci_registry.faults.on("GET", blob=DIGEST).cut_after(size)
    body, error = pulled(oci_registry)
    assert body == CONTENT[:size]
    assert error is None  # http.client reads byte by byte here, and takes the end for what it is: an end
    with pytest.raises(httpx.RemoteProtocolError):
        ask(oci_registry, "GET", f"/v2/team/app/blobs/{DIGEST}")


@pytest.mark.parametrize("size", [0, 1, 1000, len(CONTENT) - 1])
def test_reset_after(oci_registry: OciRegistry, image: Image, size: int) -> None:
    """A download breaks after exactly so many bytes, by a reset that the client's system knows as one."""
    oci_registry.faults.on("GET", blob=DIGEST).reset_after(size)
    body, error = pulled(oci_registry)
    assert body == CONTENT[:size]
    assert isinstance(error, ConnectionResetError)


@pytest.mark.oci_registry(tls=True)
def test_reset_under_tls(oci_registry: OciRegistry, image: Image) -> None:
    """Below TLS the connection breaks all the same (which Python's ssl tells as an end, not as a reset)."""
    oci_registry.faults.on("GET", blob=DIGEST).reset_after(100)
    with pytest.raises(httpx.TransportError):
        ask(oci_registry, "GET", f"/v2/team/app/blobs/{DIGEST}")


@pytest.mark.parametrize("way", ["cut_after", "reset_after"])
def test_cut_of_an_upload(oci_registry: OciRegistry, way: str) -> None:
    """An upload that is cut keeps what had come, and can be resumed from there."""
    getattr(oci_registry.faults.on("PATCH"), way)(1000).times(1)
    with client(oci_registry) as http:
        location = http.post("/v2/app/blobs/uploads/").headers["location"]
        with pytest.raises(httpx.TransportError):
            http.patch(location, content=CONTENT)
        assert http.get(location).headers["range"] == "0-999"
        http.patch(location, content=CONTENT[1000:], headers={"content-range": f"1000-{len(CONTENT) - 1}"})
        assert http.put(location, params={"digest": DIGEST}).status_code == 201
    assert oci_registry.blob(DIGEST) == CONTENT
    assert oci_registry.problems() == []


def test_lost_answer(oci_registry: OciRegistry, image: Image) -> None:
    """The deed is done, and its client never hears of it."""
    oci_registry.faults.on("PUT", reference="2").lose_answer()
    with pytest.raises(httpx.TransportError):
        ask(
            oci_registry,
            "PUT",
            "/v2/team/app/manifests/2",
            content=image.content,
            headers={"content-type": image.media_type},
        )
    assert oci_registry.tags("team/app") == ["1", "2"]


@pytest.mark.parametrize("way", ["cut_after", "reset_after"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/app/blobs/uploads/"),
        ("HEAD", f"/v2/team/app/blobs/{DIGEST}"),
        ("DELETE", "/v2/team/app/manifests/1"),
    ],
)
def test_cut_where_there_is_no_body(
    oci_registry: OciRegistry, image: Image, way: str, method: str, path: str
) -> None:
    """After no byte at all means before the answer, where neither side has a body."""
    fault = getattr(oci_registry.faults.on(method), way)(0)
    with pytest.raises(httpx.TransportError):
        ask(oci_registry, method, path)
    assert (fault.struck, oci_registry.requests[0].status) == (1, None)


@pytest.mark.parametrize("way", ["cut_after", "reset_after", "truncate", "corrupt"])
def test_behind_the_end(oci_registry: OciRegistry, image: Image, way: str) -> None:
    """What would happen behind the end of a body does not happen, and does not count: a longer one is struck yet."""
    fault = getattr(oci_registry.faults.on("GET"), way)(len(CONTENT)).times(1)
    with client(oci_registry) as http:
        assert http.get(f"/v2/team/app/blobs/{DIGEST}").content == CONTENT
    assert (fault.matched, fault.struck, oci_registry.requests[0].faults) == (1, 0, [])
    with pytest.raises(AssertionError, match="never struck"):
        oci_registry.faults.assert_struck()
    longer = oci_registry.push_blob("team/app", CONTENT + b"more")
    body, _ = pulled(oci_registry, f"/v2/team/app/blobs/{longer}")
    assert body != CONTENT + b"more"
    assert fault.struck == 1


def test_a_blob_pushed_by_patch(oci_registry: OciRegistry) -> None:
    """The PATCH of a push does not know its digest, so what waits for the blob's bytes does not strike it."""
    by_blob = oci_registry.faults.on(blob=DIGEST).cut_after(1000)
    with client(oci_registry) as http:
        assert push_by_hand(http, "app", CONTENT, DIGEST).status_code == 201
        assert by_blob.struck == 0
        oci_registry.faults.on("PATCH", path="/v2/app/*").cut_after(1000)
        with pytest.raises(httpx.TransportError):
            push_by_hand(http, "app", CONTENT, DIGEST)
    assert oci_registry.requests.to("PATCH")[-1].bytes_in >= 1000


def test_a_large_upload_ends_in_an_orderly_way(oci_registry: OciRegistry) -> None:
    """A client that is still sending when it is cut off finds an end, and no reset."""
    oci_registry.faults.on("PATCH").cut_after(1000)
    with client(oci_registry) as http:
        location = http.post("/v2/app/blobs/uploads/").headers["location"]
    size = 20_000_000
    with socket.create_connection(oci_registry.host.split(":"), timeout=SECONDS_MAX) as sender:
        sender.sendall(f"PATCH {location} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode())
        sender.sendall(bytes(size))
        assert sender.recv(1) == b""


@pytest.mark.parametrize("way", ["cut_after", "reset_after"])
def test_a_client_that_is_faster(
    oci_registry: OciRegistry, image: Image, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """To cut off a client that has gone itself is no error."""
    large = oci_registry.push_blob("team/app", bytes(8_000_000))
    getattr(oci_registry.faults.on("GET"), way)(4_000_000)
    getattr(oci_registry.faults.on("POST"), way)(1000)
    heads = [
        f"GET /v2/team/app/blobs/{large} HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
        b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n" + bytes(1000),
    ]
    for number, head in enumerate(heads * 20):
        with socket.create_connection(oci_registry.host.split(":"), timeout=SECONDS_MAX) as gone:
            gone.sendall(head)
            time.sleep(number % 7 / 1000)
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", number % 2, 0))
    assert ask(oci_registry, "HEAD", "/v2/team/app/manifests/1").status_code == 200
    time.sleep(0.1)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.oci_registry(tls=True)
def test_cut_under_tls(oci_registry: OciRegistry, image: Image) -> None:
    """Below TLS the connection ends soon, although the client says no goodbye."""
    oci_registry.faults.on("GET").cut_after(10)
    address, _, port = oci_registry.host.partition(":")
    with (
        socket.create_connection((address, int(port)), timeout=SECONDS_MAX) as plain,
        oci_registry.ssl_context().wrap_socket(plain, server_hostname=address) as sender,
    ):
        sender.sendall(f"GET /v2/team/app/blobs/{DIGEST} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        begun = time.monotonic()
        while sender.recv(4096):
            pass
        plain_end = sender.detach()
        with socket.socket(fileno=plain_end) as below:
            below.settimeout(SECONDS_MAX)
            try:
                while below.recv(4096):
                    pass
            except ConnectionResetError:
                pass
        assert time.monotonic() - begun < 2


def test_the_end_of_a_registry_that_cuts(caplog: pytest.LogCaptureFixture) -> None:
    """A registry that stops while it cuts a connection off does so without an error."""
    with testing.serve(tls=True) as oci:
        image = oci.push_image("app:1", layers=[CONTENT])
        oci.faults.on("GET").cut_after(10)
        address, _, port = oci.host.partition(":")
        plain = socket.create_connection((address, int(port)), timeout=SECONDS_MAX)
        sender = oci.ssl_context().wrap_socket(plain, server_hostname=address)
        path = f"/v2/app/blobs/{image.layers[0].digest}"
        sender.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        sender.recv(10)
    sender.close()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


# --- the body ---


def test_truncate(oci_registry: OciRegistry, image: Image) -> None:
    """A truncated body looks complete: its length is announced as what comes."""
    oci_registry.faults.on("GET", blob=DIGEST).truncate(1000)
    answer = ask(oci_registry, "GET", f"/v2/team/app/blobs/{DIGEST}")
    assert answer.content == CONTENT[:1000]
    assert answer.headers["content-length"] == "1000"
    assert answer.headers["docker-content-digest"] == DIGEST


@pytest.mark.parametrize("at", [0, 5000, len(CONTENT) - 1])
def test_corrupt(oci_registry: OciRegistry, image: Image, at: int) -> None:
    """Exactly one byte arrives changed."""
    oci_registry.faults.on("GET", blob=DIGEST).corrupt(at)
    got = ask(oci_registry, "GET", f"/v2/team/app/blobs/{DIGEST}").content
    assert [place for place in range(len(CONTENT)) if got[place] != CONTENT[place]] == [at]
    assert len(got) == len(CONTENT)


@pytest.mark.parametrize(("way", "given"), [("corrupt", 5), ("truncate", 5)])
def test_spoilt_upload(oci_registry: OciRegistry, way: str, given: int) -> None:
    """What arrives spoilt at the registry is refused by it, and a second try is good."""
    getattr(oci_registry.faults.on("POST", blob=DIGEST), way)(given).times(1)
    refused = ask(oci_registry, "POST", f"/v2/app/blobs/uploads/?digest={DIGEST}", content=CONTENT)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")
    again = ask(oci_registry, "POST", f"/v2/app/blobs/uploads/?digest={DIGEST}", content=CONTENT)
    assert again.status_code == 201


def test_digest_headers(oci_registry: OciRegistry, image: Image) -> None:
    """The digest header is missing or wrong, and nothing else is."""
    path = "/v2/team/app/manifests/1"
    oci_registry.faults.on("GET").without_digest_header()
    oci_registry.faults.on("HEAD").wrong_digest_header()
    without, wrong = ask(oci_registry, "GET", path), ask(oci_registry, "HEAD", path)
    assert "docker-content-digest" not in without.headers
    assert without.content == image.content
    assert wrong.headers["docker-content-digest"] == f"sha256:{'0' * 64}"


# --- time ---


def test_slow_first_byte(oci_registry: OciRegistry, image: Image) -> None:
    """The answer begins late, and a client with less patience gives up."""
    oci_registry.faults.on("GET").slow_first_byte(0.3).times(2)
    begun = time.monotonic()
    assert ask(oci_registry, "GET", "/v2/").status_code == 200
    assert time.monotonic() - begun >= 0.3
    with client(oci_registry) as http, pytest.raises(httpx.ReadTimeout):
        http.get("/v2/", timeout=0.1)


def test_slow_bytes(oci_registry: OciRegistry, image: Image) -> None:
    """A body takes as long as it has bytes, and arrives whole."""
    oci_registry.faults.on("GET", blob=DIGEST).slow_bytes(len(CONTENT) * 4)
    begun = time.monotonic()
    assert ask(oci_registry, "GET", f"/v2/team/app/blobs/{DIGEST}").content == CONTENT
    assert 0.2 <= time.monotonic() - begun < 5


def test_slow_bytes_of_an_upload(oci_registry: OciRegistry) -> None:
    """An upload is taken slowly."""
    oci_registry.faults.on("POST").slow_bytes(len(CONTENT) * 4)
    begun = time.monotonic()
    answer = ask(oci_registry, "POST", f"/v2/app/blobs/uploads/?digest={DIGEST}", content=CONTENT)
    assert answer.status_code == 201
    assert 0.2 <= time.monotonic() - begun < 5


# --- answers ---


@pytest.mark.parametrize(
    ("status", "code"), [(429, "TOOMANYREQUESTS"), (503, "UNAVAILABLE"), (500, "UNKNOWN"), (403, "DENIED")]
)
def test_answer(oci_registry: OciRegistry, image: Image, status: int, code: str) -> None:
    """Any status is had, in the specification's form and with the time to wait; nothing is done."""
    oci_registry.faults.on("DELETE").answer(status, retry_after=7)
    answer = ask(oci_registry, "DELETE", f"/v2/team/app/manifests/{image.digest}")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)
    assert answer.headers["retry-after"] == "7"
    assert oci_registry.tags("team/app") == ["1"]


def test_answer_to_an_upload(oci_registry: OciRegistry) -> None:
    """An answer to a request with a body leaves the connection usable."""
    oci_registry.faults.on("PATCH").answer(503).times(1)
    with client(oci_registry) as http:
        location = http.post("/v2/app/blobs/uploads/").headers["location"]
        assert http.patch(location, content=CONTENT).status_code == 503
        assert http.patch(location, content=CONTENT).status_code == 202


def test_disk_full(oci_registry: OciRegistry) -> None:
    """The registry itself finds the disk full, says so, and has stored nothing; when there is room, it goes on."""
    oci_registry.faults.on("PATCH").disk_full(after=1000).times(1)
    with client(oci_registry) as http:
        assert push_by_hand(http, "app", b"other", Digest.of(b"other")).status_code == 201
        location = http.post("/v2/app/blobs/uploads/").headers["location"]
        oci_registry.faults.clear()
        oci_registry.faults.on("PATCH").disk_full(after=1000).times(1)
        assert http.patch(location, content=CONTENT).status_code == 507
        assert http.head(f"/v2/app/blobs/{DIGEST}").status_code == 404
        assert push_by_hand(http, "app", CONTENT, DIGEST).status_code == 201
    assert oci_registry.problems() == []


@pytest.mark.oci_registry(store="filesystem")
def test_disk_full_of_files(oci_registry: OciRegistry) -> None:
    """As much as fits is taken, and no more."""
    oci_registry.faults.on("PUT").disk_full(after=len(CONTENT)).times(1)
    with client(oci_registry) as http:
        location = http.post("/v2/app/blobs/uploads/").headers["location"]
        assert http.put(location, params={"digest": DIGEST}, content=CONTENT).status_code == 201
    assert oci_registry.blob(DIGEST) == CONTENT


@pytest.mark.parametrize("status", [200, 204, 304, 307])
def test_answer_without_error(oci_registry: OciRegistry, status: int) -> None:
    """An answer that is no error has no body, and the connection goes on."""
    oci_registry.faults.on("GET").answer(status, headers={"location": "/elsewhere"}).times(1)
    with client(oci_registry) as http:
        answer = http.get("/v2/")
        assert (answer.status_code, answer.content) == (status, b"")
        assert http.get("/v2/").content == b"{}"


def test_disk_full_of_several_requests(oci_registry: OciRegistry) -> None:
    """There is one disk: what one request has written, the next finds missing. Manifests are not on it."""
    fault = oci_registry.faults.on().disk_full(after=len(CONTENT) + 5)
    with client(oci_registry) as http:
        assert push_by_hand(http, "app", CONTENT, DIGEST).status_code == 201
        assert fault.struck == 0
        location = http.post("/v2/app/blobs/uploads/").headers["location"]
        assert http.patch(location, content=b"123456").status_code == 507
        assert fault.struck == 1
        headers = {"content-type": "application/vnd.oci.image.index.v1+json"}
        index = b'{"schemaVersion": 2, "manifests": []}'
        assert http.put("/v2/app/manifests/1", content=index, headers=headers).status_code == 201
    assert fault.struck == 1


def test_wrong_numbers(oci_registry: OciRegistry) -> None:
    """A number that makes no sense is refused where it is given."""
    wrong = [
        ("answer", 99),
        ("answer", 600),
        ("slow_first_byte", -1),
        ("slow_bytes", 0),
        ("cut_after", -1),
        ("reset_after", -1),
        ("truncate", -1),
        ("corrupt", -1),
        ("disk_full", -1),
        ("times", 0),
        ("nth", 0),
        ("probability", 1.5),
    ]
    for way, number in wrong:
        with pytest.raises(ValueError, match=str(number)):
            getattr(oci_registry.faults.on(), way)(number)
    with pytest.raises(ValueError, match="-1 seconds"):
        oci_registry.faults.on().answer(429, retry_after=-1)


# --- which requests, and how often ---


@pytest.mark.parametrize("count", [1, 2])
def test_a_delay_of_another_answer(oci_registry: OciRegistry, count: int) -> None:
    """Whatever is answered in the end is answered late, in whichever order that was said, by one fault or by two."""
    late = oci_registry.faults.on("GET").slow_first_byte(0.2)
    (late if count == 1 else oci_registry.faults.on("GET")).answer(429)
    begun = time.monotonic()
    assert ask(oci_registry, "GET", "/v2/").status_code == 429
    assert time.monotonic() - begun >= 0.2


def test_two_answers(oci_registry: OciRegistry, image: Image) -> None:
    """Of two faults that answer, the first strikes first, and the other waits for its turn."""
    first = oci_registry.faults.on("GET").answer(429).times(1)
    second = oci_registry.faults.on("GET").answer(503).times(1)
    assert pull_statuses(oci_registry, 1) == [429]
    assert (first.struck, second.struck) == (1, 0)
    assert pull_statuses(oci_registry, 2) == [503, 200]
    assert (first.struck, second.struck) == (1, 1)


def test_times(oci_registry: OciRegistry, image: Image) -> None:
    """A fault strikes as often as it is told, then all is well; without a number, always."""
    oci_registry.faults.on("GET", blob=DIGEST).answer(503).times(2)
    assert pull_statuses(oci_registry, 4) == [503, 503, 200, 200]
    oci_registry.faults.on("GET", blob=DIGEST).answer(429)
    assert pull_statuses(oci_registry, 3) == [429, 429, 429]
    oci_registry.faults.clear()
    assert pull_statuses(oci_registry, 1) == [200]


def test_nth(oci_registry: OciRegistry, image: Image) -> None:
    """The nth request alone is spoilt, counted among those that match."""
    fault = oci_registry.faults.on("GET", blob=DIGEST).answer(503).nth(3)
    ask(oci_registry, "GET", "/v2/")
    assert pull_statuses(oci_registry, 5) == [200, 200, 503, 200, 200]
    assert (fault.matched, fault.struck) == (5, 1)


def test_probability(oci_registry: OciRegistry, image: Image) -> None:
    """Chance strikes the same requests every time for one seed, and others for another."""

    def strikes(seed: int) -> list[int]:
        oci_registry.faults.clear()
        oci_registry.faults.on("GET").answer(503).probability(0.5, seed=seed)
        return pull_statuses(oci_registry, 20)

    assert strikes(1) == strikes(1)
    assert strikes(1) != strikes(2)
    assert {200, 503} == set(strikes(1))


def test_matching(oci_registry: OciRegistry, image: Image) -> None:
    """Method, path, repository, reference and blob all have to be as described."""
    config = image.config.digest
    other = oci_registry.push_image("other:1")
    on = oci_registry.faults.on
    on("HEAD", "DELETE").answer(501)
    on("GET", repository="team/*", reference="1").answer(502)
    on("GET", repository="team/*", blob=config).answer(503)
    on(path="/v2/*/tags/list").answer(504)
    paths = [
        ("GET", "/v2/", 200),
        ("HEAD", "/v2/", 501),
        ("GET", "/v2/team/app/manifests/1", 502),
        ("GET", f"/v2/team/app/manifests/{image.digest}", 200),
        ("GET", "/v2/other/manifests/1", 200),
        ("GET", f"/v2/team/app/blobs/{config}", 503),
        ("GET", f"/v2/other/blobs/{other.config.digest}", 200),
        ("GET", f"/v2/team/app/blobs/{DIGEST}", 200),
        ("GET", "/v2/team/app/tags/list", 504),
    ]
    with client(oci_registry) as http:
        answers = [http.request(method, path).status_code for method, path, _ in paths]
    assert answers == [status for *_, status in paths]


def test_composition(oci_registry: OciRegistry, image: Image) -> None:
    """Several actions act on one request, and several faults do."""
    oci_registry.faults.on("GET", blob=DIGEST).corrupt(0).cut_after(10)
    oci_registry.faults.on("GET").without_digest_header()
    with connection(oci_registry) as http:
        http.request("GET", f"/v2/team/app/blobs/{DIGEST}")
        answer = http.getresponse()
        assert answer.getheader("docker-content-digest") is None
        assert read_all(answer)[0] == bytes([CONTENT[0] ^ 0xFF]) + CONTENT[1:10]
    request = oci_registry.requests[0]
    assert request.faults == ["without_digest_header()", "corrupt(0)", "cut_after(10)"]
    assert (request.status, request.complete, request.bytes_out) == (200, False, 10)


def test_nothing_is_done_by_a_fault_without_action(oci_registry: OciRegistry, image: Image) -> None:
    """A fault that was not told what to do only counts."""
    fault = oci_registry.faults.on("GET")
    assert pull_statuses(oci_registry, 1) == [200]
    assert str(fault) == "GET -> nothing (struck 0 of 1)"


def test_assert_struck(oci_registry: OciRegistry, image: Image) -> None:
    """A fault that never struck is told, since it proved nothing."""
    oci_registry.faults.on("GET").answer(503).times(1)
    oci_registry.faults.on("PATCH").cut_after(5)
    pull_statuses(oci_registry, 1)
    with pytest.raises(AssertionError, match=r"never struck:\nPATCH -> cut_after\(5\) \(struck 0 of 0\)$"):
        oci_registry.faults.assert_struck()


def test_faults_and_requests_outlive_a_restart(oci_registry: OciRegistry) -> None:
    """A registry that was started again is as bad as it was told to be."""
    oci_registry.faults.on("GET").answer(503)
    oci_registry.restart()
    assert ask(oci_registry, "GET", "/v2/").status_code == 503
    assert len(oci_registry.requests) == 1


def test_no_log_of_faults(oci_registry: OciRegistry, image: Image, caplog: pytest.LogCaptureFixture) -> None:
    """What a test has asked for is no error of the server's."""
    caplog.set_level("INFO")
    for way in ("cut_after", "reset_after"):
        oci_registry.faults.clear()
        getattr(oci_registry.faults.on(), way)(10)
        with connection(oci_registry) as http:
            http.request("GET", f"/v2/team/app/blobs/{DIGEST}")
            read_all(http.getresponse())
        with connection(oci_registry) as http, pytest.raises(BROKEN_OFF):
            http.request("POST", f"/v2/app/blobs/uploads/?digest={DIGEST}", CONTENT)
            http.getresponse()
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []
