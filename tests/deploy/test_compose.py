"""The compose file: docker compose understands it, nginx starts with its configuration, and so does the registry."""

from __future__ import annotations

import json
import os
import subprocess
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.tools import TOOLS, run
from tests.replicas.nginx import configuration, write_certificate
from tests.server import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.deploy

FOLDER = PROJECT / "deploy" / "compose"
SECRETS = {"POSTGRES_PASSWORD": "one", "S3_ACCESS_KEY": "two", "S3_SECRET_KEY": "three"}
REPLICAS = ("registry-1", "registry-2")
COMPOSE = str(TOOLS / "deploy/usr/libexec/docker/cli-plugins/docker-compose")


def compose(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run docker compose on our file, with an environment of these variables alone."""
    command = [COMPOSE, "--file", str(FOLDER / "compose.yaml"), *arguments]
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def understood() -> dict[str, Any]:
    """Give the file as docker compose understands it."""
    done = compose("config", "--format", "json", **SECRETS)
    assert done.returncode == 0, done.stderr
    understood: dict[str, Any] = json.loads(done.stdout)
    return understood


@pytest.fixture(scope="module")
def services(understood: dict[str, Any]) -> dict[str, Any]:
    """Give the services."""
    services: dict[str, Any] = understood["services"]
    return services


def test_parts(services: dict[str, Any]) -> None:
    """There are two replicas, what they stand on, a migration before them and nginx in front; only nginx is reached."""
    assert services.keys() == {"postgres", "s3", "migrate", "registry-1", "registry-2", "nginx"}
    assert [name for name, service in services.items() if "ports" in service] == ["nginx"]
    one, two = ({**services[name], "networks": None} for name in REPLICAS)
    assert one == two
    assert services["registry-1"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_replicas_keep_their_addresses(understood: dict[str, Any]) -> None:
    """A replica that is made anew has the address that nginx found at its start, and nobody else is given it meanwhile."""
    (network,) = understood["networks"]["inside"]["ipam"]["config"]
    pinned = {
        ip_address(understood["services"][name]["networks"]["inside"]["ipv4_address"]) for name in REPLICAS
    }
    assert len(pinned) == len(REPLICAS)
    for address in pinned:
        assert address in ip_network(network["subnet"])
        assert address not in ip_network(network["ip_range"])


@pytest.mark.parametrize("missing", SECRETS)
def test_secrets_have_no_default(missing: str) -> None:
    """A secret that was not given is asked for, instead of being empty or known to everybody."""
    done = compose("config", "--quiet", **{name: value for name, value in SECRETS.items() if name != missing})
    assert done.returncode != 0
    assert missing in done.stderr


def test_nginx_reads_its_configuration(tmp_path: Path) -> None:
    """nginx finds nothing wrong with its configuration, once its certificate and the replicas' names are there."""
    write_certificate(tmp_path)
    replicas = ["127.0.0.1:5001", "127.0.0.1:5002"]
    (tmp_path / "nginx.conf").write_text(configuration(tmp_path, replicas, ["127.0.0.1:443"]))
    run(["nginx", "-t", "-p", str(tmp_path), "-e", str(tmp_path / "log"), "-c", str(tmp_path / "nginx.conf")])
