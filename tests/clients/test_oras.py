"""oras, in two generations: artifacts, and what is attached to them."""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from .registry_view import PASSWORD, USER, Registry
from .tools import Client, client

PLAIN = "--plain-http"


@pytest.fixture(params=["trixie", "forky"])
def oras(request: pytest.FixtureRequest, home: Path) -> Client:
    """Give oras 1.2 and 1.3, beside the files word.txt and table.json."""
    (home / "word.txt").write_text("a word")
    (home / "table.json").write_text('{"a": 1}')
    return client(f"{request.param}/usr/bin/oras", home)


@pytest.fixture
def artifact(oras: Client, registry_server: Registry, repository: str) -> str:
    """Give the name of an artifact of two files."""
    name = f"{registry_server.host}/{repository}:1"
    oras("push", PLAIN, "--artifact-type", "example/thing", name, "word.txt:text/plain", "table.json")
    return name


def discovered(oras: Client, *arguments: str) -> dict[str, str]:
    """Return the artifact type of each referrer by its digest."""
    told: dict[str, Any] = json.loads(oras("discover", PLAIN, "--format", "json", *arguments))
    referrers = told.get("referrers", told.get("manifests", []))
    return {referrer["digest"]: referrer["artifactType"] for referrer in referrers}


@pytest.mark.everywhere
def test_push_and_pull(
    oras: Client, artifact: str, registry_server: Registry, repository: str, home: Path
) -> None:
    """An artifact keeps its type, the types of its files, their names and their bytes."""
    manifest = registry_server.complete(repository, "1")
    assert manifest.document["artifactType"] == "example/thing"
    assert manifest.document["layers"][0]["mediaType"] == "text/plain"
    oras("pull", PLAIN, "--output", "back", artifact)
    assert {file.name: file.read_text() for file in (home / "back").iterdir()} == {
        "word.txt": "a word",
        "table.json": '{"a": 1}',
    }


@pytest.mark.everywhere
def test_attach_and_discover(oras: Client, artifact: str, registry_server: Registry, repository: str) -> None:
    """Everything attached is discovered, one type when one is asked for, and comes along in a copy."""
    oras("attach", PLAIN, "--artifact-type", "example/table", artifact, "table.json")
    oras(
        "attach", PLAIN, "--artifact-type", "example/sign", "--annotation", "key=value", artifact, "word.txt"
    )
    found = discovered(oras, artifact)
    assert sorted(found.values()) == ["example/sign", "example/table"]
    assert list(discovered(oras, "--artifact-type", "example/sign", artifact).values()) == ["example/sign"]
    subject = registry_server.manifest(repository, "1").digest
    for digest in found:
        assert registry_server.complete(repository, digest).document["subject"]["digest"] == subject
    copy = f"{registry_server.host}/{repository}/copy:1"
    oras("copy", "--recursive", "--from-plain-http", "--to-plain-http", artifact, copy)
    assert discovered(oras, copy) == found


def test_attach_leaves_no_tag(
    oras: Client, artifact: str, registry_server: Registry, repository: str
) -> None:
    """The referrers API lists what is attached, with its annotations, so that oras makes no tag instead of it."""
    subject = registry_server.manifest(repository, "1").digest
    described = ("--artifact-type", "example/table", "--annotation", "key=value")
    oras("attach", PLAIN, *described, artifact, "table.json")
    assert registry_server.tags(repository) == ["1"]
    (listed,) = registry_server.get(f"{repository}/referrers/{subject}").json()["manifests"]
    assert (listed["artifactType"], listed["annotations"]["key"]) == ("example/table", "value")
    by_api = ("--distribution-spec", "v1.1-referrers-api")
    assert discovered(oras, *by_api, artifact) == {listed["digest"]: "example/table"}


def test_tags_and_manifests(oras: Client, artifact: str, registry_server: Registry, repository: str) -> None:
    """Tags are added, listed and resolved; a manifest deleted by one tag is gone."""
    place = f"{registry_server.host}/{repository}"
    oras("tag", PLAIN, artifact, "2", "latest")
    assert oras("repo", "tags", PLAIN, place).split() == ["1", "2", "latest"]
    digest = registry_server.manifest(repository, "1").digest
    assert oras("resolve", PLAIN, f"{place}:latest").strip() == digest
    assert json.loads(oras("manifest", "fetch", PLAIN, f"{place}:2"))["artifactType"] == "example/thing"
    assert repository in oras("repo", "ls", PLAIN, registry_server.host).split()
    oras("manifest", "delete", PLAIN, "--force", f"{place}@{digest}")
    assert "not found" in oras.refused("manifest", "fetch", PLAIN, f"{place}:latest")


def test_blob(oras: Client, registry_server: Registry, repository: str, home: Path) -> None:
    """A blob that no manifest names is pushed, fetched with the same bytes, and deleted."""
    content = secrets.token_bytes(9_000_000)
    (home / "blob").write_bytes(content)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    name = f"{registry_server.host}/{repository}@{digest}"
    oras("blob", "push", PLAIN, name, "blob")
    assert registry_server.hashed(repository, digest) == (digest, len(content))
    oras("blob", "fetch", PLAIN, "--output", "back", name)
    assert (home / "back").read_bytes() == content
    oras("blob", "delete", PLAIN, "--force", name)
    assert registry_server.ask("HEAD", f"{repository}/blobs/{digest}").status_code == 404


@pytest.mark.everywhere
def test_login(oras: Client, protected_server: Registry, repository: str) -> None:
    """Without a log-in and with a wrong password nothing goes; with the right one a push does."""
    name = f"{protected_server.host}/{repository}:1"
    push = ("push", PLAIN, name, "word.txt")
    assert "credential not found" in oras.refused(*push)
    login = ("login", PLAIN, "--username", USER, "--password-stdin", protected_server.host)
    assert "unauthorized" in oras.refused(*login, stdin="wrong")
    oras(*login, stdin=PASSWORD)
    oras(*push)
    assert len(protected_server.complete(repository, "1").layers) == 1
    oras("logout", protected_server.host)
    oras.refused("pull", PLAIN, name)
