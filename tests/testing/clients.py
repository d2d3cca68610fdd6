"""Clients of a running registry: httpx, and a socket for what httpx would hide."""

from __future__ import annotations

import http.client
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.testing import OciRegistry

SECONDS_MAX = 20


def client(oci: OciRegistry, **options: Any) -> httpx.Client:
    """A client whose paths begin with the registry's URL."""
    if oci.ca_file:
        options["verify"] = oci.ssl_context()
    return httpx.Client(base_url=oci.url, trust_env=False, timeout=SECONDS_MAX, **options)


def ask(oci: OciRegistry, method: str, path: str, **options: Any) -> httpx.Response:
    """One request on a connection of its own."""
    with client(oci) as http:
        return http.request(method, path, **options)


def push_by_hand(http: httpx.Client, repository: str, content: bytes, digest: str) -> httpx.Response:
    """POST, PATCH and PUT, as docker does it; the last answer."""
    location = http.post(f"/v2/{repository}/blobs/uploads/").headers["location"]
    location = http.patch(location, content=content).headers["location"]
    return http.put(location, params={"digest": digest})


@contextmanager
def connection(oci: OciRegistry) -> Iterator[http.client.HTTPConnection]:
    """A connection that tells how it ended."""
    opened = http.client.HTTPConnection(oci.host, timeout=SECONDS_MAX)
    try:
        yield opened
    finally:
        opened.close()


def read_all(answer: http.client.HTTPResponse) -> tuple[bytes, Exception | None]:
    """What came of a body, byte by byte, and how it ended: None at its announced end."""
    body = b""
    try:
        while piece := answer.read(1):
            body += piece
    except (OSError, http.client.HTTPException) as error:
        return body, error
    return body, None


def is_refused(host: str) -> bool:
    """Whether nobody listens there."""
    address, _, port = host.partition(":")
    try:
        with socket.create_connection((address, int(port)), timeout=SECONDS_MAX):
            return False
    except ConnectionRefusedError:
        return True
