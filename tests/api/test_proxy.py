"""Behind nginx with TLS, told of it by X-Forwarded-* headers or not: every place a client is sent to is right (6.10)."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import trustme

from tests.api.access import PASSWORDS, users_file
from tests.server import Server, running_server
from tests.support.content import Manifest, artifact, blob, image, index
from tests.support.wire import assert_no_fault, log_lines

pytestmark = pytest.mark.clients

DEADLINE_SECONDS = 20
CLIENT = "127.0.0.2"
"""The address that the client sends from: another one than nginx's, which the registry sees."""
WRITER = ("writer", PASSWORDS["writer"])
APP = image("app", layers=["base", blob("large", 3 * 1024 * 1024)])

FORWARDED = """
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $http_host;"""
SITE = """
    server {{
      listen 127.0.0.1:{port} ssl;
      location / {{
        proxy_pass http://{upstream};{headers}
      }}
    }}"""
CONFIGURATION = """
  daemon off;
  worker_processes 1;
  pid {folder}/nginx.pid;
  error_log {folder}/error.log warn;
  {user}
  events {{ }}
  http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ssl_certificate {folder}/chain.pem;
    ssl_certificate_key {folder}/chain.pem;
    client_max_body_size 0;
    proxy_http_version 1.1;
    proxy_request_buffering off;
    proxy_buffering off;
    proxy_read_timeout 900s;
    {sites}
  }}
"""


@dataclass(frozen=True)
class Site:
    """A registry behind the proxy: where clients find it, whom its certificate is by, and its own log."""

    url: str
    authority: Path
    log: Path

    def client(self) -> httpx.Client:
        """A client that trusts the proxy's certificate and logs in."""
        transport = httpx.HTTPTransport(verify=_trusting(self.authority), local_address=CLIENT)
        return httpx.Client(base_url=self.url, transport=transport, auth=WRITER)


@dataclass(frozen=True)
class Way:
    """How the registry is set up behind its proxy."""

    trusting: bool
    forwarding: bool


WAYS = {
    f"{'trusted' if trusting else 'unknown'}-proxy-{'with' if forwarding else 'without'}-headers": Way(
        trusting, forwarding
    )
    for trusting in (True, False)
    for forwarding in (True, False)
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Server]]:
    """Give two registries with users: one that trusts its proxy (True), and one that does not."""
    users = {"REGISTRY_AUTH__HTPASSWD__FILE": str(users_file(tmp_path_factory.mktemp("users")))}
    trusting = users | {"REGISTRY_HTTP__TRUSTED_PROXIES": "127.0.0.1/32"}
    with (
        running_server(tmp_path_factory.mktemp("trusting"), trusting) as one,
        running_server(tmp_path_factory.mktemp("careful"), users) as two,
    ):
        yield {True: one, False: two}
    for server in (one, two):
        assert_no_fault(server.log)


@pytest.fixture(scope="module")
def sites(servers: dict[bool, Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    """Give the registries behind one nginx, by the names of WAYS."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    assert program, "this test runs nginx: apt-get install nginx-light"
    folder = tmp_path_factory.mktemp("nginx")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "chain.pem"))
    ports = {name: _free_port() for name in WAYS}
    blocks = [
        SITE.format(
            port=ports[name], upstream=servers[way.trusting].host, headers=FORWARDED if way.forwarding else ""
        )
        for name, way in WAYS.items()
    ]
    configuration = folder / "nginx.conf"
    user = "user root;" if Path.home() == Path("/root") else ""
    configuration.write_text(CONFIGURATION.format(folder=folder, user=user, sites="".join(blocks)))
    process = subprocess.Popen(
        [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(configuration)]
    )
    try:
        for port in ports.values():
            _wait(port, process, folder / "error.log")
        yield {
            name: Site(
                f"https://localhost:{ports[name]}", folder / "authority.pem", servers[way.trusting].log
            )
            for name, way in WAYS.items()
        }
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)


@pytest.fixture(params=WAYS)
def name(request: pytest.FixtureRequest) -> str:
    """Give the name of each of the WAYS."""
    return str(request.param)


@pytest.fixture
def client(sites: dict[str, Site], name: str) -> Iterator[httpx.Client]:
    """Give a client of each site."""
    with sites[name].client() as client:
        yield client


def test_image_through_the_proxy(client: httpx.Client) -> None:
    """A whole push and pull works by following every Location as it is given: relative, so host and scheme are right."""
    for content in APP.blobs:
        started = client.post("/v2/app/blobs/uploads/")
        patched = client.patch(_place(started), content=_pieces(content.content))
        assert patched.headers["range"] == f"0-{len(content.content) - 1}"
        closed = client.put(_place(patched), params={"digest": content.digest})
        assert closed.status_code == 201
        assert client.get(_place(closed)).content == content.content
    pushed = _put(client, APP, "v1")
    assert client.get(_place(pushed)).content == APP.content
    assert client.get("/v2/app/manifests/v1").headers["content-type"] == APP.media_type
    head = client.head(f"/v2/app/blobs/{APP.blobs[2].digest}")
    assert head.headers["content-length"] == str(len(APP.blobs[2].content))


def test_links_through_the_proxy(client: httpx.Client) -> None:
    """Lists go on behind the proxy where their Links lead."""
    for tag in ("a", "b", "c"):
        _put(client, index(), tag, "linked")
    path, tags = "/v2/linked/tags/list?n=2", []
    while path:
        answer = client.get(path)
        tags += answer.json()["tags"]
        path = answer.links.get("next", {}).get("url", "")
        assert path.startswith("/v2/") or not path
    assert tags == ["a", "b", "c"]


def test_parts_and_errors_through_the_proxy(client: httpx.Client) -> None:
    """Ranges, refusals and challenges come through as they are."""
    base = blob("base")
    client.post(f"/v2/app/blobs/uploads/?digest={base.digest}", content=base.content)
    part = client.get(f"/v2/app/blobs/{base.digest}", headers={"range": "bytes=1-2"})
    assert (part.status_code, part.content) == (206, b"as")
    stranger = client.get("/v2/", auth=httpx.Auth())
    assert (stranger.status_code, stranger.headers["www-authenticate"]) == (401, 'Basic realm="Registry"')
    refused = client.put("/v2/app/manifests/v1", content=bytes(5 * 1024 * 1024))
    assert refused.status_code == 413
    assert client.get("/v2/app/referrers/x").json()["errors"][0]["code"] == "DIGEST_INVALID"


def test_referrer_through_the_proxy(client: httpx.Client) -> None:
    """An artifact attached through the proxy is listed there."""
    sbom = artifact("sbom", APP)
    for content in sbom.blobs:
        client.post(f"/v2/app/blobs/uploads/?digest={content.digest}", content=content.content)
    assert _put(client, sbom, sbom.digest).headers["oci-subject"] == APP.digest
    assert client.get(f"/v2/app/referrers/{APP.digest}").json()["manifests"][0]["digest"] == sbom.digest


def test_client_in_the_log(sites: dict[str, Site], name: str, client: httpx.Client) -> None:
    """The log names the client where a trusted proxy tells of it, else the proxy; what the client claims itself is not believed."""
    request_id = f"who-{name}"
    client.get("/v2/", headers={"x-request-id": request_id, "x-forwarded-for": "203.0.113.9"})
    way = WAYS[name]
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := [line for line in log_lines(sites[name].log) if line.get("id") == request_id]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    if way.trusting and way.forwarding:
        assert found[0]["client"] == CLIENT
    elif way.trusting:
        assert (
            found[0]["client"] == "203.0.113.9"
        )  # a proxy that passes on what clients claim deserves no trust
    else:
        assert found[0]["client"] == "127.0.0.1"


def _put(client: httpx.Client, manifest: Manifest, reference: str, repository: str = "app") -> httpx.Response:
    answer = client.put(
        f"/v2/{repository}/manifests/{reference}",
        content=manifest.content,
        headers={"content-type": manifest.media_type},
    )
    assert answer.status_code == 201, answer.text
    return answer


def _place(answer: httpx.Response) -> str:
    assert answer.status_code in {201, 202}, answer.text
    location: str = answer.headers["location"]
    assert location.startswith("/v2/")
    return location


def _pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


def _trusting(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        else:
            return
