"""The Helm chart: helm finds nothing wrong with it, and Kubernetes' schemas nothing with what comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.clients.tools import TOOLS, run
from tests.server import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.deploy

CHART = str(PROJECT / "deploy" / "chart")
FULL = ["--set=ingress.enabled=true", "--set=ingress.className=nginx", "--set=objects.secretName=s3"]
BARE = ["--set=users.secretName=", "--set=config.http.allow_unauthenticated=true"]
VARIANTS = pytest.mark.parametrize("options", [[], FULL, BARE], ids=["default", "full", "bare"])
HELMS = pytest.mark.parametrize("helm", ["3", "4"])


def rendered(options: list[str], helm: str = "4") -> str:
    """What the chart makes of these values."""
    return run([str(TOOLS / "helm" / helm / "helm"), "template", "team", CHART, *options])


def objects(options: list[str], kind: str) -> list[dict[str, Any]]:
    """The objects of this kind."""
    return [it for it in yaml.safe_load_all(rendered(options)) if it["kind"] == kind]


@HELMS
@VARIANTS
def test_lint(helm: str, options: list[str]) -> None:
    """Helm's own linter has nothing to say, not even a warning."""
    said = run([str(TOOLS / "helm" / helm / "helm"), "lint", "--strict", CHART, *options])
    assert "0 chart(s) failed" in said
    assert "[WARNING]" not in said


@pytest.mark.parametrize("version", ["1.29.0", "1.37.0"])
@HELMS
@VARIANTS
def test_schemas(helm: str, version: str, options: list[str], tmp_path: Path) -> None:
    """Every object is one that Kubernetes knows, with no field that it does not know, in old and new versions."""
    (tmp_path / "objects.yaml").write_text(rendered(options, helm))
    said = validated(tmp_path / "objects.yaml", version)
    assert "Invalid: 0, Errors: 0, Skipped: 0" in said
    assert "Valid: 0" not in said


def test_schemas_find_mistakes(tmp_path: Path) -> None:
    """A field that is spelt wrong is found."""
    (tmp_path / "objects.yaml").write_text(rendered([]).replace("livenessProbe:", "livelinessProbe:"))
    assert "livelinessProbe" in validated(tmp_path / "objects.yaml", "1.37.0", fails=True)


def validated(file: Path, version: str, *, fails: bool = False) -> str:
    """What kubeconform says, by the schemas of this version."""
    where = f"{TOOLS / 'deploy' / 'schemas' / version}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    command = [
        str(TOOLS / "deploy" / "kubeconform"),
        "-strict",
        "-summary",
        "-schema-location",
        where,
        str(file),
    ]
    return run(command, fails=fails)


@VARIANTS
def test_parts(options: list[str]) -> None:
    """Replicas with every probe, a budget for disruptions that lets them be moved, a migration that goes before."""
    (deployment,) = objects(options, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probes = {
        name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")
    }
    assert probes == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    (budget,) = objects(options, "PodDisruptionBudget")
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]
    (migration,) = objects(options, "Job")
    assert migration["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"


def test_one_replica_has_no_budget() -> None:
    """Where there is one replica, no budget says that it is protected, which it would not be."""
    assert objects(["--set=replicas=1"], "PodDisruptionBudget") == []


def test_migration_takes_no_requests() -> None:
    """The service and the budget choose replicas, and not the pod of the migration."""
    (migration,) = objects([], "Job")
    (service,) = objects([], "Service")
    labels = migration["spec"]["template"]["metadata"]["labels"]
    assert not service["spec"]["selector"].items() <= labels.items()


@VARIANTS
def test_requests_may_end(options: list[str]) -> None:
    """A pod has more time to end than the registry gives to requests, and the wait before it."""
    (deployment,) = objects(options, "Deployment")
    configuration = objects(options, "ConfigMap")[0]["data"]["registry.yaml"]
    pod = deployment["spec"]["template"]["spec"]
    assert (
        pod["terminationGracePeriodSeconds"]
        > yaml.safe_load(configuration)["http"]["shutdown_seconds_max"] + 5
    )
