"""Names of repositories, tags and digests, as the specification allows them and clients spell them (3.0, trap 5)."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from tests.support.content import blob, image
from tests.support.http import Registry, Repository, ask_raw, refusal

pytestmark = pytest.mark.anyio

APP = image("app")
NAMES = [
    "a",
    "0",
    "app",
    "team/app",
    "a/b/c/d/e/f",
    "a.b",
    "a_b",
    "a__b",
    "a-b",
    "a-----b",
    "a.b_c__d-e/f.g",
    "library/debian",
    "v2",
    "a" * 255,
    "/".join("a" * 128),
    # what looks like another part of the API
    "a/blobs",
    "a/blobs/uploads",
    "blobs/uploads",
    "x/tags",
    "x/tags/list",
    "tags/list",
    "a/manifests",
    "a/manifests/b",
    "manifests",
    "referrers",
    "a/referrers/b",
    "a/blobs/uploads/b",
    "a/v2/b",
]
NO_NAMES = [
    "A",
    "App",
    "a/B",
    "a___b",
    "a..b",
    "a._b",
    "a_.b",
    "a-_b",
    ".a",
    "a.",
    "-a",
    "a-",
    "_a",
    "a_",
    "a//b",
    "a/",
    "a/-b",
    "a b",
    "a+b",
    "a@b",
    "a:b",
    "é",
    "a%00b",
    "a%0Ab",
    "a%0A",
    "%2e%2e/%2e%2e/etc",
    "a/%2e%2e/b",
    "a%5Cb",
    "%F0%9F%98%80",
    "%FF",
    "%D0%B0",
    "a" * 256,
    "_catalog/a",
    "_oci",
]
TAGS = [
    "a",
    "A",
    "_",
    "0",
    "latest",
    "v1.0-rc_1",
    "__",
    "a.",
    "a-",
    "_.-",
    "a" * 128,
    "sha256-abc",
    "list",
    "SHA256",
]
NO_TAGS = [
    "-a",
    ".a",
    "-",
    "a+b",
    "a@b",
    "a%20",
    "%20a",
    "a%00",
    "a%0A",
    "é",
    "%C3%A9",
    "a" * 129,
    "a,b",
    "%2B",
    "*",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("encoded", [False, True])
async def test_repository_name(quick: Registry, name: str, encoded: bool) -> None:  # noqa: FBT001
    """Every name that the specification allows is one repository for every request, slashes encoded or not (2, trap 5)."""
    repo = quick.repository(name.replace("/", "%2F") if encoded else name)
    await repo.push(APP, "v1")
    other = quick.repository("another")
    await other.upload(blob("other"))
    assert (await repo.get("tags/list")).json() == {"name": name, "tags": ["v1"]}
    assert (await repo.get("manifests/v1")).content == APP.content
    assert (await repo.get(f"blobs/{blob('base').digest}")).content == b"base"
    assert (await repo.head(f"blobs/{blob('other').digest}")).status_code == 404
    assert (await repo.get(f"referrers/{APP.digest}")).status_code == 200
    location = await repo.start()
    assert location.startswith(f"/v2/{name}/blobs/uploads/")
    assert (await repo.patch(location, content=b"a")).status_code == 202
    assert (await repo.delete(location)).status_code == 204
    assert name in (await quick.get("/v2/_catalog")).json()["repositories"]
    assert (await repo.delete("manifests/v1")).status_code == 202


@pytest.mark.parametrize("name", NO_NAMES)
async def test_no_repository_name(quick: Registry, name: str) -> None:
    """Every other name is 400 NAME_INVALID for every request, or no path of the API at all (2, 3, 4.6)."""
    repo, digest = quick.repository(name), blob("base").digest
    for answer in (
        await repo.get("tags/list"),
        await repo.get(f"manifests/{digest}"),
        await repo.put_manifest(APP, "v1"),
        await repo.delete("manifests/v1"),
        await repo.get(f"blobs/{digest}"),
        await repo.post(f"blobs/uploads/?digest={digest}", content=b"base"),
        await repo.post("blobs/uploads/"),
        await repo.get(f"referrers/{digest}"),
    ):
        if "%0A" in name:  # no path has lines
            assert answer.status_code in {400, 404}
        else:
            refusal(answer, 400, "NAME_INVALID")
    assert not [each for each in (await quick.get("/v2/_catalog")).json()["repositories"] if each == name]


@pytest.mark.parametrize("tag", TAGS)
async def test_tag(quick: Registry, tag: str) -> None:
    """Every tag that the specification allows can be pushed, listed, pulled and deleted (4)."""
    repo = quick.repository("tags")
    await repo.push(APP, tag)
    assert tag in await repo.tags()
    assert (await repo.get(f"manifests/{tag}")).content == APP.content
    assert (await repo.delete(f"manifests/{tag}")).status_code == 202


@pytest.mark.parametrize("tag", NO_TAGS)
async def test_no_tag(quick: Registry, tag: str) -> None:
    """Everything else, unless it is a digest, is 400 for PUT, GET and DELETE (4, 4.6)."""
    repo = quick.repository("tags")
    await repo.push(APP)
    for answer in (
        await repo.put_manifest(APP, tag),
        await repo.get(f"manifests/{tag}"),
        await repo.delete(f"manifests/{tag}"),
    ):
        if "%0A" in tag:
            assert answer.status_code in {400, 404}
        else:
            refusal(answer, 400, "NAME_INVALID")


async def test_tags_differ_by_case(quick: Registry) -> None:
    """Tags are compared byte by byte: upper and lower case are two tags."""
    repo = quick.repository("case")
    await repo.push(APP, "Latest")
    await repo.push(image("lower"), "latest")
    assert (await repo.get("manifests/Latest")).content == APP.content
    assert await repo.tags() == ["Latest", "latest"]


@pytest.mark.parametrize(
    "path",
    [
        "/v2/app",
        "/v2/app/",
        "/v2/app/tags",
        "/v2/app/tags/list/",
        "/v2/app/manifests",
        "/v2/app/manifests/",
        "/v2/app/manifests/a/b",
        "/v2/app/blobs/",
        "/v2/app/blobs",
        "/v2/app/blobs/uploads/a/b",
        "/v2//",
        "/v2/_catalog/",
        "/v2/_oci/ext/discover",
        "/v2/app/_oci/ext",
        "/v1/",
        "/v1/search",
        "/v3/",
        "/V2/",
        "//v2/",
        "/v2/%0A",
        "/favicon.ico",
        "/healthz/",
        "/token",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
async def test_no_path_of_the_api(quick: Registry, path: str, method: str) -> None:
    """A path that nothing is at is 404 with the specification's error, for every method."""
    answer = await ask_raw(quick.app, method, unquote(path))
    refusal(answer, 404, "UNSUPPORTED")


async def test_names_are_not_paths(quick: Registry) -> None:
    """A name never leads out of its place: dots are refused, not resolved (CVE-2024-4956)."""
    secret = quick.repository("secret")
    await secret.push(APP, "v1")
    for name in (
        "public/../secret",
        "./secret",
        "../secret",
        "secret/.",
        "secret/../secret",
        "public\\..\\secret",
    ):
        answer = await ask_raw(quick.app, "GET", f"/v2/{name}/manifests/v1")
        refusal(answer, 400, "NAME_INVALID")
    for reference in (".", "..", "\0", "v1\0"):
        refusal(await ask_raw(quick.app, "GET", f"/v2/secret/manifests/{reference}"), 400, "NAME_INVALID")


async def test_repositories_of_a_prefix_are_others(quick: Registry) -> None:
    """Neither a prefix nor a longer name shows what a repository has."""
    await quick.repository("team/app").push(APP, "v1")
    for name in ("team", "team/app/x", "team/ap", "team/app1"):
        assert (await Repository(quick, name).get("manifests/v1")).status_code == 404
