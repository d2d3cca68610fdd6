"""Faults strike the requests that they are meant for, and no others, in the way that they are called."""

from __future__ import annotations

import http.client
import time

import httpx
import pytest

from registry.oci.digest import Digest
from registry.testing import Image, OciRegistry
from tests.testing.clients import ask, client, connection, push_by_hand, read_all

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


# --- which requests, and how often ---


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
    assert request.faults == ["corrupt(0)", "cut_after(10)", "without_digest_header()"]
    assert (request.status, request.complete, request.bytes_out) == (200, False, 10)


def test_nothing_is_done_by_a_fault_without_action(oci_registry: OciRegistry, image: Image) -> None:
    """A fault that was not told what to do only counts."""
    fault = oci_registry.faults.on("GET")
    assert pull_statuses(oci_registry, 1) == [200]
    assert str(fault) == "GET -> nothing (struck 1 of 1)"


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
