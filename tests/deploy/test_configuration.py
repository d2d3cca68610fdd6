"""What compose file and chart tell the registry is a configuration that it takes; needs no tool but a YAML parser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from registry.config import load
from tests.server import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

USERS = "REGISTRY_AUTH__HTPASSWD__FILE"


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take every variable of ours away, and give a file of users."""
    for name in ("REGISTRY_CONFIG",):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "users").write_text("")
    monkeypatch.setenv(USERS, str(tmp_path / "users"))


def test_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of a replica are keys, with values that they may have; blobs are in object storage."""
    text = (PROJECT / "deploy/compose/compose.yaml").read_text().replace("${POSTGRES_PASSWORD:?}", "secret")
    replica = yaml.safe_load(text)["services"]["registry-1"]
    for name, value in replica["environment"].items():
        if name.startswith("REGISTRY_") and name != USERS:
            monkeypatch.setenv(name, value)
    config = load(None, {"http.host": "0.0.0.0"})  # noqa: S104 - as the image says
    assert config.storage.kind == "objects"
    assert config.database.url == "postgresql://registry:secret@postgres/registry"


def test_chart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The configuration in the chart's values is one; blobs are in object storage."""
    values = yaml.safe_load((PROJECT / "deploy/chart/values.yaml").read_text())
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump(values["config"]))
    monkeypatch.setenv("REGISTRY_DATABASE__URL", "postgresql://registry:secret@postgres/registry")
    config = load(tmp_path / "registry.yaml", {})
    assert config.storage.kind == "objects"
    assert config.database.migrate_at_start is False
