"""Through nginx, over TLS and HTTP/2, and round three replicas, the registry conforms as one process does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.suite import Results, build, run
from tests.conformance.test_conformance import DEV
from tests.replicas.fleet import REDIRECTING, REPLICAS, Fleet

pytestmark = pytest.mark.replicas


LINKS_HAVE_NO_DIGEST = "/blob-get: registry did not return a Docker-Content-Digest header"


def conformance(fleet: Fleet, folder: Path) -> Results:
    """What the suite finds, through nginx and over TLS; every replica has had its share of the requests."""
    before = len(fleet.proxy.requests())
    options = {"OCI_VERSION": "dev", "OCI_TLS": "enabled", "SSL_CERT_FILE": str(fleet.proxy.authority)}
    results = run(build(), fleet.proxy.tls_host, folder, options)
    asked = [request.replica for request in fleet.proxy.requests()[before:]]
    shares = [asked.count(replica.address) / len(asked) for replica in fleet.replicas]
    assert shares == pytest.approx([1 / REPLICAS] * REPLICAS, abs=0.05)
    return results


def test_dev(new_fleet: Callable[..., Fleet], tmp_path: Path) -> None:
    """Nothing that the coming specification asks is missing."""
    results = conformance(new_fleet(), tmp_path)
    assert results == DEV, str(results)


def test_dev_with_links(new_fleet: Callable[..., Fleet], tmp_path: Path) -> None:
    """Where the bucket gives the blobs, one header is missing from its answers, which it cannot be told; nothing else is."""
    results = conformance(new_fleet(**REDIRECTING), tmp_path)
    assert results.passed + results.failed == DEV.passed, str(results)
    assert [told for told in results.complaints if LINKS_HAVE_NO_DIGEST not in told] == []
