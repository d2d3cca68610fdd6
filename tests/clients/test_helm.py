"""helm 3 and 4: charts as artifacts."""

from __future__ import annotations

from pathlib import Path

import pytest

from .registry_view import PASSWORD, USER, Registry
from .tools import Client, client

PLAIN = "--plain-http"
CHART = "chart-0.1.0.tgz"


@pytest.fixture(params=["3", "4"])
def helm(request: pytest.FixtureRequest, home: Path) -> Client:
    """Give helm beside a packaged chart and two empty folders."""
    for folder in ("first", "second"):
        (home / folder).mkdir()
    helm = client(f"helm/{request.param}/helm", home)
    helm("create", "chart")
    helm("package", "chart")
    return helm


@pytest.mark.everywhere
def test_push_and_pull(helm: Client, registry_server: Registry, repository: str, home: Path) -> None:
    """A pushed chart comes back byte for byte, by its version and as the newest one; it is shown and rendered."""
    charts = f"oci://{registry_server.host}/{repository}"
    helm("push", CHART, charts, PLAIN)
    manifest = registry_server.complete(f"{repository}/chart", "0.1.0")
    assert manifest.document["config"]["mediaType"] == "application/vnd.cncf.helm.config.v1+json"
    helm("pull", f"{charts}/chart", "--version", "0.1.0", PLAIN, "--destination", "first")
    helm("pull", f"{charts}/chart", PLAIN, "--destination", "second")
    for folder in ("first", "second"):
        assert (home / folder / CHART).read_bytes() == (home / CHART).read_bytes()
    assert "name: chart\n" in helm("show", "chart", f"{charts}/chart", "--version", "0.1.0", PLAIN)
    assert "kind: Deployment" in helm("template", "release", f"{charts}/chart", PLAIN)


def test_newest_version(helm: Client, registry_server: Registry, repository: str, home: Path) -> None:
    """Without a version, or with a range of them, helm picks from the tags that the registry lists."""
    charts = f"oci://{registry_server.host}/{repository}"
    for version in ("0.9.0", "0.10.0", "1.0.0+build.5"):
        helm("package", "chart", "--version", version)
        helm("push", f"chart-{version}.tgz", charts, PLAIN)
    assert sorted(registry_server.tags(f"{repository}/chart")) == ["0.10.0", "0.9.0", "1.0.0_build.5"]
    helm("pull", f"{charts}/chart", PLAIN, "--destination", "first")
    helm("pull", f"{charts}/chart", PLAIN, "--version", "<1", "--destination", "second")
    pulled = [path.name for folder in ("first", "second") for path in (home / folder).iterdir()]
    assert pulled == ["chart-1.0.0+build.5.tgz", "chart-0.10.0.tgz"]


@pytest.mark.everywhere
def test_login(helm: Client, protected_server: Registry, repository: str) -> None:
    """Without a log-in and with a wrong password nothing goes; with the right one a push and a pull do."""
    charts = f"oci://{protected_server.host}/{repository}"
    push = ("push", CHART, charts, PLAIN)
    plain = "--insecure" if helm("version", "--short").startswith("v3") else PLAIN
    login = ("registry", "login", plain, "--username", USER, "--password-stdin", protected_server.host)
    helm.refused(*push)
    helm.refused(*login, stdin="wrong")
    helm(*login, stdin=PASSWORD)
    helm(*push)
    protected_server.complete(f"{repository}/chart", "0.1.0")
    helm("pull", f"{charts}/chart", PLAIN, "--destination", "first")
    helm("registry", "logout", protected_server.host)
    helm.refused("pull", f"{charts}/chart", PLAIN)
