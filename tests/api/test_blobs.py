"""`/v2/<name>/blobs/<digest>`: who may see a blob sees all of it, and nobody else sees that it exists."""

from __future__ import annotations

import pytest

from tests.support.content import NOWHERE, Blob, blob, image
from tests.support.http import Repository, refusal

pytestmark = pytest.mark.anyio

BLOBS = {
    "small": blob("small"),
    "empty": Blob(b""),
    "pieces": blob("pieces", 2 * 1024 * 1024 + 17),
    "sha512": blob("strong", algorithm="sha512"),
}


@pytest.mark.parametrize("kind", BLOBS)
async def test_pushed_blob_is_served(repo: Repository, kind: str) -> None:
    """GET gives the bytes with their exact length and digest, HEAD the same without them (20, 22)."""
    content = BLOBS[kind]
    await repo.upload(content)
    for digest in (content.digest, content.digest.replace(":", "%3A")):
        get, head = [await repo.ask(method, f"blobs/{digest}") for method in ("GET", "HEAD")]
        assert (get.status_code, get.content) == (200, content.content)
        assert (head.status_code, head.content) == (200, b"")
        for answer in (get, head):
            assert answer.headers["content-length"] == str(len(content.content))
            assert answer.headers["docker-content-digest"] == content.digest
            assert answer.headers["content-type"] == "application/octet-stream"
            assert answer.headers["etag"] == f'"{content.digest}"'
            assert answer.headers["accept-ranges"] == "bytes"
            assert "max-age=31536000" in answer.headers["cache-control"]
            assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_unknown_blob(repo: Repository, method: str) -> None:
    """A blob that is not here is 404, whether the repository exists or not (20, 22, 79)."""
    for _ in range(2):
        answer = await repo.ask(method, f"blobs/{NOWHERE}")
        assert answer.status_code == 404
        if method != "HEAD":
            assert refusal(answer, 404, "BLOB_UNKNOWN")["detail"] == {"digest": NOWHERE}
        await repo.upload(blob("unrelated"))


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:bad",
        f"sha256:{'F' * 64}",
        f"sha512:{'0' * 64}",
        f"blake3:{'0' * 64}",
        "0" * 64,
        "latest",
        ":",
        "sha256:",
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_malformed_digest(repo: Repository, method: str, digest: str) -> None:
    """What is no digest that this registry computes is 400 DIGEST_INVALID (5, 27)."""
    refusal(await repo.ask(method, f"blobs/{digest}"), 400, "DIGEST_INVALID")


@pytest.mark.parametrize("form", ['"{}"', "{}", 'W/"{}"', '"a", "{}" , "b"', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_unchanged_blob_is_not_sent_again(repo: Repository, method: str, form: str) -> None:
    """If-None-Match with the digest, quoted or not, is answered 304 without bytes (6.8)."""
    base = blob("base")
    await repo.upload(base)
    answer = await repo.ask(
        method, f"blobs/{base.digest}", headers={"if-none-match": form.format(base.digest)}
    )
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == f'"{base.digest}"'


@pytest.mark.parametrize("form", ['"{}"', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_foreign_blob_is_never_unchanged(
    repo: Repository, other: Repository, method: str, form: str
) -> None:
    """If-None-Match does not tell whether another repository has a blob (threat: deduplication)."""
    secret = blob("secret")
    await other.upload(secret)
    headers = {"if-none-match": form.format(secret.digest)}
    assert (await repo.ask(method, f"blobs/{secret.digest}", headers=headers)).status_code == 404


@pytest.mark.parametrize("encoding", ["gzip", "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5", "identity;q=0, gzip"])
async def test_blob_is_never_compressed(repo: Repository, encoding: str) -> None:
    """Whatever encodings a client takes, the bytes come as they are, with their length (17, 6.8, trap 3)."""
    base = Blob(b"a" * 100_000)
    await repo.upload(base)
    answer = await repo.get(f"blobs/{base.digest}", headers={"accept-encoding": encoding})
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-length"] == "100000"
    assert answer.content == base.content


async def test_blob_of_another_repository_is_not_here(repo: Repository, other: Repository) -> None:
    """A blob is seen only through the repository it was pushed to (20, 4.6)."""
    base = blob("base")
    await other.upload(base)
    for method in ("GET", "HEAD", "DELETE"):
        assert (await repo.ask(method, f"blobs/{base.digest}")).status_code == 404
    ranged = await repo.get(f"blobs/{base.digest}", headers={"range": "bytes=0-0"})
    refusal(ranged, 404, "BLOB_UNKNOWN")
    assert (await other.get(f"blobs/{base.digest}")).content == b"base"


async def test_the_other_algorithm_is_another_blob(repo: Repository) -> None:
    """Bytes pushed under their sha256 digest are not found under their sha512 digest (note 12 of section 2)."""
    await repo.upload(blob("base"))
    assert (await repo.head(f"blobs/{blob('base', algorithm='sha512').digest}")).status_code == 404


async def test_deleted_blob_is_gone(repo: Repository) -> None:
    """DELETE is 202; right after it the blob is 404 for GET, HEAD and DELETE (79)."""
    base = blob("base")
    await repo.upload(base)
    assert (await repo.delete(f"blobs/{base.digest}")).status_code == 202
    for method in ("GET", "HEAD", "DELETE"):
        assert (await repo.ask(method, f"blobs/{base.digest}")).status_code == 404


async def test_deleted_blob_stays_elsewhere(repo: Repository, other: Repository) -> None:
    """A delete in one repository takes nothing from another one, pushed or mounted (80)."""
    base = blob("base")
    for each in (repo, other):
        await each.upload(base)
    await repo.delete(f"blobs/{base.digest}")
    assert (await other.get(f"blobs/{base.digest}")).content == b"base"


async def test_deleted_blob_can_be_pushed_again(repo: Repository) -> None:
    """A push after a delete brings the blob back."""
    base = blob("base")
    await repo.upload(base)
    await repo.delete(f"blobs/{base.digest}")
    await repo.upload(base)
    assert (await repo.get(f"blobs/{base.digest}")).content == b"base"


async def test_named_blob_is_not_deleted(repo: Repository) -> None:
    """While a manifest here names a blob, its delete is 405 and says which manifests; after them it is 202 (79)."""
    app = image("app")
    await repo.push(app, "v1")
    base = blob("base")
    answer = await repo.delete(f"blobs/{base.digest}")
    error = refusal(answer, 405, "UNSUPPORTED")
    assert error["detail"] == {"digest": base.digest, "manifests": [app.digest]}
    assert answer.headers["allow"] == "GET, HEAD"
    assert (await repo.get(f"blobs/{base.digest}")).content == b"base"
    await repo.delete(f"manifests/{app.digest}")
    assert (await repo.delete(f"blobs/{base.digest}")).status_code == 202


async def test_blob_named_elsewhere_is_deleted_here(repo: Repository, other: Repository) -> None:
    """Only manifests of the same repository hold a blob there; those of another one keep their own."""
    await other.push(image("app"), "v1")
    base = blob("base")
    await repo.upload(base)
    assert (await repo.delete(f"blobs/{base.digest}")).status_code == 202
    assert (await other.get(f"blobs/{base.digest}")).content == b"base"


async def test_manifest_after_delete_of_its_blob(repo: Repository) -> None:
    """A blob that was deleted is missing for the next manifest: no memory of it outlives it (CVE-2026-35172)."""
    app = image("app")
    await repo.push(app, "v1")
    await repo.delete(f"manifests/{app.digest}")
    await repo.delete(f"blobs/{blob('code').digest}")
    error = refusal(await repo.put_manifest(app, "v1"), 400, "MANIFEST_BLOB_UNKNOWN")
    assert error["detail"] == {"digest": blob("code").digest}
