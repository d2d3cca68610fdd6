"""The compose file: docker compose understands it, nginx starts with its configuration, and so does the registry."""

from __future__ import annotations

import json
import os
import re
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


def address_of(services: dict[str, Any], name: str) -> str:
    """The one that a service keeps."""
    address: str = services[name]["networks"]["inside"]["ipv4_address"]
    return address


def test_addresses_are_kept(understood: dict[str, Any], services: dict[str, Any]) -> None:
    """nginx and each replica have an address that is the same when they are made anew, and nobody else is given."""
    (network,) = understood["networks"]["inside"]["ipam"]["config"]
    pinned = {ip_address(address_of(services, name)) for name in (*REPLICAS, "nginx")}
    assert len(pinned) == len(REPLICAS) + 1
    for address in pinned:
        assert address in ip_network(network["subnet"])
        assert address not in ip_network(network["ip_range"])


def test_nginx_knows_the_replicas_by_address(services: dict[str, Any]) -> None:
    """nginx's servers are the replicas' addresses: a name is not found while its replica is down, and nginx then ends."""
    servers = re.findall(r"^ *server (\S+) ", (FOLDER / "nginx.conf").read_text(), re.MULTILINE)
    assert servers[: len(REPLICAS)] == [f"{address_of(services, name)}:5000" for name in REPLICAS]


def test_only_nginx_is_trusted(services: dict[str, Any]) -> None:
    """The replicas believe nginx about addresses, and nobody else, such as docker's gateway."""
    for name in REPLICAS:
        assert services[name]["environment"]["REGISTRY_HTTP__TRUSTED_PROXIES"] == address_of(
            services, "nginx"
        )


@pytest.mark.parametrize("missing", SECRETS)
def test_secrets_have_no_default(missing: str) -> None:
    """A secret that was not given is asked for, instead of being empty or known to everybody."""
    done = compose("config", "--quiet", **{name: value for name, value in SECRETS.items() if name != missing})
    assert done.returncode != 0
    assert missing in done.stderr


def test_nginx_reads_its_configuration(tmp_path: Path) -> None:
    """nginx finds nothing wrong with its configuration, once its certificate is there."""
    write_certificate(tmp_path)
    replicas = ["127.0.0.1:5001", "127.0.0.1:5002"]
    (tmp_path / "nginx.conf").write_text(configuration(tmp_path, replicas, ["127.0.0.1:443"]))
    run(["nginx", "-t", "-p", str(tmp_path), "-e", str(tmp_path / "log"), "-c", str(tmp_path / "nginx.conf")])
