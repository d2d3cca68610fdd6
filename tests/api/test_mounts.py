"""Mounting a blob from another repository (3.5): one answer where it can be had, one where it cannot, and no third."""

from __future__ import annotations

import asyncio

import pytest

from registry.oci.access import Action, Principal
from registry.oci.names import RepositoryName
from registry.operations import mounts
from registry.policy.access import AccessRules
from tests.support.content import NOWHERE, Blob, blob, image
from tests.support.http import Repository, refusal

pytestmark = pytest.mark.anyio

BASE = blob("base")


async def mounted(repo: Repository, content: Blob, **parameters: str) -> str | None:
    """Ask for a mount: the Location of the blob on 201, None on 202 (whose upload can be finished)."""
    answer = await repo.post(repo.uploads, params={"mount": content.digest, **parameters})
    if answer.status_code == 202:
        assert answer.headers["range"] == "0-0"
        assert (await repo.delete(answer.headers["location"])).status_code == 204
        return None
    assert (answer.status_code, answer.headers["content-length"]) == (201, "0")
    assert answer.headers["docker-content-digest"] == content.digest
    return str(answer.headers["location"])


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_mount(repo: Repository, other: Repository, algorithm: str) -> None:
    """201 with the blob's Location in the new repository, from which it is pulled (46, 49)."""
    base = blob("base", algorithm=algorithm)
    await other.upload(base)
    location = await mounted(repo, base, **{"from": other.name})
    assert location == f"/v2/{repo.name}/blobs/{base.digest}"
    assert (await repo.get(location)).content == b"base"


async def test_mount_as_clients_write_it(repo: Repository, other: Repository) -> None:
    """Slash and colon may be percent-encoded in the query, parameters in any order (4.4)."""
    await other.upload(BASE)
    query = f"from={other.name.replace('/', '%2F')}&mount={BASE.digest.replace(':', '%3A')}&ns=x"
    assert (await repo.post(f"{repo.uploads}?{query}")).status_code == 201


async def test_mount_from_anywhere(repo: Repository) -> None:
    """Without `from` the blob is found wherever the caller may pull it (48)."""
    content = blob(f"only of {repo.name}")
    assert await mounted(repo, content) is None
    await repo.registry.repository(f"{repo.name}/elsewhere").upload(content)
    location = await mounted(repo, content)
    assert location is not None
    assert (await repo.get(location)).content == content.content


async def test_mount_of_what_is_here_already(repo: Repository) -> None:
    """A mount from the repository itself is 201 and changes nothing."""
    await repo.upload(BASE)
    assert await mounted(repo, BASE, **{"from": repo.name})
    assert (await repo.get(f"blobs/{BASE.digest}")).content == b"base"


@pytest.mark.parametrize("source", ["never/pushed", "Not A Name", "../..", "a" * 300, "a/blobs/uploads", "é"])
async def test_mount_from_nowhere(repo: Repository, source: str) -> None:
    """A source that does not exist, or could not, is 202 with an upload: never an error (47)."""
    assert await mounted(repo, blob(f"nowhere {repo.name}"), **{"from": source}) is None


async def test_missing_blob_is_pushed_instead(repo: Repository, other: Repository) -> None:
    """Where the source lacks the blob, the 202 is an upload like any other (47)."""
    await other.upload(blob("unrelated"))
    content = blob(f"missing {repo.name}")
    answer = await repo.post(repo.uploads, params={"mount": content.digest, "from": other.name})
    assert answer.status_code == 202
    closed = await repo.put(f"{answer.headers['location']}?digest={content.digest}", content=content.content)
    assert closed.status_code == 201


async def test_source_is_meant(repo: Repository, other: Repository) -> None:
    """With `from`, only that repository counts, even where a third one has the blob (47)."""
    content = blob(f"third {repo.name}")
    await other.registry.repository(f"{other.name}/third").upload(content)
    assert await mounted(repo, content, **{"from": other.name}) is None


@pytest.mark.parametrize("digest", ["sha256:bad", "", "latest", f"md5:{'0' * 32}", NOWHERE.upper()])
async def test_mount_of_no_digest(repo: Repository, digest: str) -> None:
    """What is mounted is a digest, else 400 DIGEST_INVALID (27)."""
    answer = await repo.post(repo.uploads, params={"mount": digest, "from": "a/b"})
    refusal(answer, 400, "DIGEST_INVALID")


async def test_refused_mount_makes_no_repository(repo: Repository) -> None:
    """A mount that fails leaves nothing behind but its upload (63)."""
    assert await mounted(repo, blob("nowhere"), **{"from": "never/pushed"}) is None
    refusal(await repo.get("tags/list"), 404, "NAME_UNKNOWN")


async def test_deleted_source_leaves_the_mount(repo: Repository, other: Repository) -> None:
    """A mounted blob is the new repository's own: a delete in the source does not reach it (80)."""
    await other.upload(BASE)
    await mounted(repo, BASE, **{"from": other.name})
    assert (await other.delete(f"blobs/{BASE.digest}")).status_code == 202
    assert (await repo.get(f"blobs/{BASE.digest}")).content == b"base"


async def test_deleted_blob_is_not_mounted(repo: Repository, other: Repository) -> None:
    """A blob that was deleted from its only repository is mounted by nobody, named source or not (CVE-2026-35172)."""
    content = blob(f"deleted {repo.name}")
    await other.upload(content)
    await other.delete(f"blobs/{content.digest}")
    assert await mounted(repo, content, **{"from": other.name}) is None
    assert await mounted(repo, content) is None
    assert (await repo.head(f"blobs/{content.digest}")).status_code == 404


async def test_mounted_blobs_make_a_manifest_complete(repo: Repository, other: Repository) -> None:
    """A whole image is pushed by mounts and its manifest alone, as dockerd does it."""
    app = image("app")
    await other.push(app, "v1")
    for content in app.blobs:
        assert await mounted(repo, content, **{"from": other.name})
    assert (await repo.put_manifest(app, "v1")).status_code == 201
    assert (await repo.get(f"blobs/{blob('code').digest}")).content == b"code"


async def test_mounts_at_once(repo: Repository, other: Repository) -> None:
    """Concurrent mounts of one blob into one new repository all succeed (4.6)."""
    await other.upload(BASE)
    places = await asyncio.gather(*(mounted(repo, BASE, **{"from": other.name}) for _ in range(6)))
    assert set(places) == {f"/v2/{repo.name}/blobs/{BASE.digest}"}


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody pull from repositories below `hidden/`: rights for single repositories are not configurable yet."""

    def may(
        rules: AccessRules, principal: Principal, action: Action, repository: RepositoryName | None
    ) -> bool:
        return not (action is Action.PULL and str(repository).startswith("hidden/"))

    monkeypatch.setattr(mounts, "may", may)


@pytest.mark.parametrize("named", [True, False])
async def test_mount_reveals_nothing(repo: Repository, hidden: None, named: bool) -> None:  # noqa: FBT001
    """From a repository that the caller may not pull from, a mount is 202 as if it had nothing (48, 4.6)."""
    content = blob(f"secret {repo.name}")
    secret = repo.registry.repository("hidden/secret")
    await secret.upload(content)
    assert await mounted(repo, content, **({"from": secret.name} if named else {})) is None
    assert (await repo.head(f"blobs/{content.digest}")).status_code == 404


async def test_mount_finds_the_one_that_may_be_pulled(
    repo: Repository, other: Repository, hidden: None
) -> None:
    """Without `from`, a repository that the caller may pull from is found behind one that it may not (48)."""
    content = blob(f"shared {repo.name}")
    await repo.registry.repository("hidden/secret").upload(content)
    await other.upload(content)
    assert await mounted(repo, content)
