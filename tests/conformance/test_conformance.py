"""The registry conforms to the specification: every version of it, both databases, with and without passwords."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import bcrypt
import pytest

from registry import testing
from tests.conformance.suite import Results, build, run
from tests.server import running_server

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.conformance

USER, PASSWORD = "alice", "secret1"

# How many checks there are depends on the answers too: a feature that is there is looked at more closely. A registry
# without anonymous mounts, for one, is let off with 2 skipped checks and 4 fewer in all. Hence these exact counts: a
# feature that disappears without a failure changes them.
DEV_SPARSE = Results(passed=1032)
DEV = Results(passed=986)
STABLE = Results(passed=860, disabled=2)  # cancelling an upload came later
FIRST = Results(passed=850, disabled=8)  # and so did referrers and anonymous mounts


@pytest.fixture(scope="session")
def program() -> str:
    """Give the suite's program."""
    return build()


def conformance(program: str, folder: Path, settings: dict[str, str], options: dict[str, str]) -> Results:
    """What the suite finds, run with these options on a fresh server with these settings."""
    with running_server(folder, settings) as server:
        return run(program, server.host, folder, options)


def test_dev_with_missing_references(program: str, database_url: str, tmp_path: Path) -> None:
    """Where manifests may come before what they name, nothing that the coming specification asks is missing."""
    settings = {"REGISTRY_DATABASE__URL": database_url, "REGISTRY_MANIFESTS__MISSING_REFERENCES": "allow"}
    results = conformance(program, tmp_path, settings, {"OCI_VERSION": "dev", "OCI_DATA_SPARSE": "true"})
    assert results == DEV_SPARSE, str(results)


def test_dev(program: str, database_url: str, tmp_path: Path) -> None:
    """As it is configured when nobody does, the registry does all that the coming specification asks."""
    results = conformance(program, tmp_path, {"REGISTRY_DATABASE__URL": database_url}, {"OCI_VERSION": "dev"})
    assert results == DEV, str(results)


def test_dev_with_passwords(program: str, database_url: str, tmp_path: Path) -> None:
    """A log-in takes nothing away."""
    users = tmp_path / "htpasswd"
    users.write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode()}\n")
    settings = {"REGISTRY_DATABASE__URL": database_url, "REGISTRY_AUTH__HTPASSWD__FILE": str(users)}
    options = {"OCI_VERSION": "dev", "OCI_USERNAME": USER, "OCI_PASSWORD": PASSWORD}
    results = conformance(program, tmp_path, settings, options)
    assert results == DEV, str(results)


@pytest.mark.parametrize(("version", "expected"), [("stable", STABLE), ("1.0", FIRST)])
def test_released_version(
    version: str, expected: Results, program: str, database_url: str, tmp_path: Path
) -> None:
    """What a released specification asks is there; what came after it is disabled by the suite itself."""
    results = conformance(
        program, tmp_path, {"REGISTRY_DATABASE__URL": database_url}, {"OCI_VERSION": version}
    )
    assert results == expected, str(results)


@pytest.mark.parametrize("store", ["memory", "filesystem"])
def test_fixture(program: str, store: Literal["memory", "filesystem"], tmp_path: Path) -> None:
    """The registry that tests of other programs are given does all that the real one does."""
    with testing.serve(store=store) as oci:
        results = run(program, oci.host, tmp_path, {"OCI_VERSION": "dev"})
        assert results == DEV, str(results)
        assert oci.problems() == []
        assert 500 not in oci.requests.statuses
