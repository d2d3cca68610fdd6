"""What clients have sent is written down, can be asked for, and is told well where a test fails."""

from __future__ import annotations

import time

import pytest

from registry import testing
from registry.oci.digest import Digest
from registry.testing import OciRegistry
from tests.testing.clients import ask, client, connection, push_by_hand

CONTENT = b"0123456789"
DIGEST = Digest.of(CONTENT)


def test_a_push_request_by_request(oci_registry: OciRegistry) -> None:
    """Every request is there, in the order in which it came, with its status and what it weighed."""
    with client(oci_registry) as http:
        push_by_hand(http, "team/app", CONTENT, DIGEST)
    assert oci_registry.requests.methods == ["POST", "PATCH", "PUT"]
    assert oci_registry.requests.statuses == [202, 202, 201]
    patch = oci_registry.requests.to("PATCH")[0]
    assert (patch.body, patch.bytes_in, patch.bytes_out, patch.complete) == (CONTENT, 10, 0, True)
    assert patch.path.startswith("/v2/team/app/blobs/uploads/")


def test_what_is_not_asked_by_clients_is_not_there(oci_registry: OciRegistry) -> None:
    """What the test itself does to its registry is no request."""
    oci_registry.push_image("app:1")
    assert oci_registry.tags("app") == ["1"]
    assert len(oci_registry.requests) == 0


def test_selection(oci_registry: OciRegistry) -> None:
    """Requests are found by method, path, repository, reference, blob and status, alone and together."""
    image = oci_registry.push_image("team/app:1")
    with client(oci_registry) as http:
        http.get("/v2/")
        http.get("/v2/team/app/manifests/1")
        http.head(f"/v2/team/app/manifests/{image.digest}")
        http.get(f"/v2/team/app/blobs/{image.config.digest}")
        http.get("/v2/team/other/tags/list")
        push_by_hand(http, "team/app", CONTENT, DIGEST)
    requests = oci_registry.requests
    assert len(requests.to("get")) == 4
    assert requests.to(path="/v2/*/blobs/*").methods == ["GET", "POST", "PATCH", "PUT"]
    assert requests.to(repository="team/app").methods == ["GET", "HEAD", "GET", "POST", "PATCH", "PUT"]
    assert requests.to(repository="team/*", status=404).methods == ["GET"]
    assert requests.to(reference="1").methods == ["GET"]
    assert requests.to(reference=image.digest).methods == ["HEAD"]
    assert requests.to(blob=image.config.digest).methods == ["GET"]
    assert requests.to(blob=DIGEST).methods == ["PUT"]
    assert len(requests.to("DELETE")) == 0
    assert requests[0].path == "/v2/"
    assert requests[1:3].statuses == [200, 200]


def test_bytes(oci_registry: OciRegistry) -> None:
    """Bytes are those of bodies: none for a HEAD, whatever length it tells."""
    image = oci_registry.push_image("app:1")
    ask(oci_registry, "GET", "/v2/app/manifests/1")
    ask(oci_registry, "HEAD", "/v2/app/manifests/1")
    assert oci_registry.requests.bytes_out == len(image.content)
    assert oci_registry.requests.bytes_in == 0


def test_headers_query_and_json(oci_registry: OciRegistry) -> None:
    """The rest of a request is there as it was sent."""
    ask(oci_registry, "PUT", "/v2/app/manifests/1?tag=a", json={"a": 1}, headers={"X-Colour": "Red"})
    request = oci_registry.requests[0]
    assert request.headers["x-colour"] == "Red"
    assert request.query == "tag=a"
    assert request.json() == {"a": 1}


def test_a_large_body_is_kept_in_part(oci_registry: OciRegistry) -> None:
    """The first 64 KiB of a body are kept, all of it is counted."""
    content = bytes(200_000)
    ask(oci_registry, "POST", f"/v2/app/blobs/uploads/?digest={Digest.of(content)}", content=content)
    request = oci_registry.requests[0]
    assert (len(request.body), request.bytes_in) == (65536, 200_000)


def test_selection_is_a_snapshot(oci_registry: OciRegistry) -> None:
    """A selection stays as it is, while the requests go on growing until they are cleared."""
    ask(oci_registry, "GET", "/v2/")
    selected = oci_registry.requests.to("GET")
    ask(oci_registry, "GET", "/v2/")
    assert (len(selected), len(oci_registry.requests)) == (1, 2)
    oci_registry.requests.clear()
    assert (len(selected), len(oci_registry.requests)) == (1, 0)


def test_assert_count(oci_registry: OciRegistry) -> None:
    """A wrong count fails with a line for each request."""
    ask(oci_registry, "GET", "/v2/")
    oci_registry.requests.assert_count(1)
    with pytest.raises(AssertionError, match=r"2 requests were expected, 1 came:\n1  GET    /v2/  200"):
        oci_registry.requests.assert_count(2)


def test_assert_order(oci_registry: OciRegistry) -> None:
    """The order is that of the requests named; others may come between."""
    with client(oci_registry) as http:
        http.get("/v2/")
        push_by_hand(http, "app", CONTENT, DIGEST)
    requests = oci_registry.requests
    requests.assert_order("POST", "PUT")
    requests.assert_order("GET /v2/", "POST /v2/app/blobs/uploads/", "patch */uploads/*", "PUT")
    with pytest.raises(AssertionError, match="number 2 of the expected requests, 'POST', did not come"):
        requests.assert_order("PUT", "POST")
    with pytest.raises(AssertionError, match="number 2"):
        requests.assert_order("PATCH", "PATCH")


def test_report_of_nothing() -> None:
    """Where nothing came, the report says so."""
    assert testing.Requests().report() == "no requests"


def test_repr(oci_registry: OciRegistry) -> None:
    """A list of requests in an assertion is told in a line."""
    ask(oci_registry, "GET", "/v2/")
    assert repr(oci_registry.requests) == "<1 requests: GET 200>"


def test_report_of_faults(oci_registry: OciRegistry) -> None:
    """The report tells which requests were spoilt and how they ended."""
    image = oci_registry.push_image("app:1")
    oci_registry.faults.on(blob=image.config.digest).cut_after(5)
    with connection(oci_registry) as http:
        http.request("GET", f"/v2/app/blobs/{image.config.digest}")
        http.getresponse().close()
    line = oci_registry.requests.report()
    assert line.endswith("200, cut off  0 bytes in, 5 out  <- cut_after(5)")
    assert oci_registry.faults.report().endswith("-> cut_after(5) (struck 1 of 1)")


def test_complete(oci_registry: OciRegistry) -> None:
    """An answer of which the client has every byte is complete, whether it came slowly or told of an error."""
    layer = oci_registry.push_image("app:1", layers=[CONTENT]).layers[0]
    oci_registry.faults.on("GET").slow_bytes(50)
    with client(oci_registry) as http:
        for method, path in [
            ("GET", f"/v2/app/blobs/{layer.digest}"),
            ("GET", "/v2/app/manifests/2"),
            ("DELETE", "/v2/app/manifests/1"),
            ("HEAD", f"/v2/app/blobs/{layer.digest}"),
            ("DELETE", "/v2/app/manifests/3"),
            ("PUT", "/v2/app/manifests/1"),
        ]:
            body = {"content": CONTENT} if method == "PUT" else {}
            http.request(method, path, **body)
            assert oci_registry.requests[-1].complete, path
    assert "cut off" not in oci_registry.requests.report()


def test_a_client_that_hangs_up(oci_registry: OciRegistry) -> None:
    """An answer that its client did not wait for was cut off."""
    blob = oci_registry.push_blob("app", bytes(20_000_000))
    oci_registry.faults.on("GET").slow_bytes(10_000_000)
    with client(oci_registry) as http, http.stream("GET", f"/v2/app/blobs/{blob}") as answer:
        next(answer.iter_raw(1000))
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert not oci_registry.requests[0].complete
        time.sleep(0.1)
    assert oci_registry.requests[0].bytes_out < 20_000_000
