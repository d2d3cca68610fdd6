"""`/v2/<name>/referrers/<digest>`: what refers to a manifest, filtered and in pages (3.7)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from registry.operations import listing
from tests.support.content import (
    EMPTY_JSON,
    NOWHERE,
    OCI_CONFIG,
    OCI_INDEX,
    Manifest,
    artifact,
    image,
    index,
)
from tests.support.http import Repository, next_page, pages, refusal

pytestmark = pytest.mark.anyio

APP = image("app")
SBOM, SIGNATURE = "application/vnd.example.sbom.v1+json", "application/vnd.example.signature"


def listed(answer: httpx.Response) -> list[dict[str, Any]]:
    """The descriptors in an answer that is an index in every respect (69)."""
    assert (answer.status_code, answer.headers["content-type"]) == (200, OCI_INDEX)
    assert answer.headers["content-length"] == str(len(answer.content))
    document = answer.json()
    descriptors: list[dict[str, Any]] = document.pop("manifests")
    assert document == {"schemaVersion": 2, "mediaType": OCI_INDEX}
    return descriptors


async def referrers(repo: Repository, subject: Manifest, query: str = "") -> list[dict[str, Any]]:
    """The referrers of a manifest on one page."""
    return listed(await repo.get(f"referrers/{subject.digest}{query}"))


@pytest.mark.parametrize(
    "digest", [NOWHERE, f"sha512:{'0' * 128}", "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564"]
)
async def test_nothing_refers(repo: Repository, digest: str) -> None:
    """An empty index, never 404: for an unknown subject, and in a repository that was never pushed to (69)."""
    assert listed(await repo.get(f"referrers/{digest}")) == []
    await repo.push(APP, "v1")
    assert listed(await repo.get(f"referrers/{digest}")) == []
    assert await referrers(repo, APP) == []


@pytest.mark.parametrize(
    "digest", ["latest", "sha256:bad", f"sha256:{'A' * 64}", "sha256:", ":abc", "sha256", "a" * 600]
)
async def test_malformed_digest(repo: Repository, digest: str) -> None:
    """What is no digest is 400 DIGEST_INVALID (70)."""
    refusal(await repo.get(f"referrers/{digest}"), 400, "DIGEST_INVALID")


async def test_descriptors_tell_all(repo: Repository) -> None:
    """Type, size, digest, artifactType and the manifest's own annotations, each as the referrer has them (71)."""
    sbom = artifact("sbom", APP, artifactType=SBOM, annotations={"org.example": "é", "b": ""})
    plain = image("plain", subject=APP)
    bare = index(subject=APP)
    signed = index([APP], subject=APP, artifactType=SIGNATURE)
    await repo.push(APP, "v1")
    for referrer in (sbom, plain, bare, signed):
        await repo.push(referrer)
    expected = [
        sbom.descriptor(artifactType=SBOM, annotations={"org.example": "é", "b": ""}),
        plain.descriptor(artifactType=OCI_CONFIG),
        bare.descriptor(),
        signed.descriptor(artifactType=SIGNATURE),
    ]
    assert await referrers(repo, APP) == sorted(expected, key=lambda each: str(each["digest"]))


async def test_artifact_type_of_the_config(repo: Repository) -> None:
    """An image manifest without artifactType, or with an empty one, shows its config's media type (71)."""
    await repo.push(artifact("one", APP))
    await repo.push(artifact("two", APP, artifactType=""))
    assert [each["artifactType"] for each in await referrers(repo, APP)] == [EMPTY_JSON, EMPTY_JSON]


@pytest.mark.parametrize(
    "written", [SBOM.replace("+", "%2B"), SBOM, SBOM.replace("+", "%2B").replace("/", "%2F")]
)
async def test_filter(repo: Repository, written: str) -> None:
    """artifactType lists that type alone and says so, with the plus sign encoded or not (73, trap 6)."""
    sbom, signature = (
        artifact("sbom", APP, artifactType=SBOM),
        artifact("signature", APP, artifactType=SIGNATURE),
    )
    for referrer in (sbom, signature):
        await repo.push(referrer)
    answer = await repo.get(f"referrers/{APP.digest}?artifactType={written}")
    assert [each["digest"] for each in listed(answer)] == [sbom.digest]
    assert answer.headers["oci-filters-applied"] == "artifactType"


async def test_filter_by_config_type(repo: Repository) -> None:
    """The filter looks at what the list shows, so a config's media type is found too (73)."""
    plain = image("plain", subject=APP)
    await repo.push(plain)
    query = "?artifactType=application%2Fvnd.oci.image.config.v1%2Bjson"
    assert [each["digest"] for each in await referrers(repo, APP, query)] == [plain.digest]


async def test_filter_without_match(repo: Repository) -> None:
    """A filter that matches nothing, or nothing there, is an empty list which was filtered (69, 73)."""
    for _ in range(2):
        answer = await repo.get(f"referrers/{APP.digest}?artifactType=a/b")
        assert (listed(answer), answer.headers["oci-filters-applied"]) == ([], "artifactType")
        await repo.push(artifact("sbom", APP, artifactType=SBOM))


@pytest.mark.parametrize("query", ["", "?artifactType=", "?ns=docker.io", "?artifacttype=a/b", "?n=1"])
async def test_no_filter(repo: Repository, query: str) -> None:
    """Without a filter there is no OCI-Filters-Applied; unknown parameters filter nothing (73, 81)."""
    await repo.push(artifact("sbom", APP, artifactType=SBOM))
    answer = await repo.get(f"referrers/{APP.digest}{query}")
    assert len(listed(answer)) == 1
    assert "oci-filters-applied" not in answer.headers


async def test_referrer_before_its_subject(repo: Repository) -> None:
    """A referrer may come first, and is listed before and after its subject does (55)."""
    sbom = artifact("sbom", APP, artifactType=SBOM)
    await repo.push(sbom, "sbom")
    assert len(await referrers(repo, APP)) == 1
    await repo.push(APP, "v1")
    assert len(await referrers(repo, APP)) == 1
    await repo.delete(f"manifests/{APP.digest}")
    assert len(await referrers(repo, APP)) == 1


async def test_tags_make_no_second_entry(repo: Repository) -> None:
    """A referrer pushed by tag, by digest and again is listed once."""
    sbom = artifact("sbom", APP, artifactType=SBOM)
    await repo.push(sbom, "one", "two")
    await repo.push(sbom)
    assert len(await referrers(repo, APP)) == 1


async def test_deleted_referrer(repo: Repository) -> None:
    """A referrer disappears when its manifest is deleted, and not when only its tag is (75)."""
    sbom, signature = artifact("sbom", APP), artifact("signature", APP)
    await repo.push(sbom, "sbom")
    await repo.push(signature)
    await repo.delete("manifests/sbom")
    assert len(await referrers(repo, APP)) == 2
    await repo.delete(f"manifests/{sbom.digest}")
    assert [each["digest"] for each in await referrers(repo, APP)] == [signature.digest]


async def test_referrers_of_this_repository(repo: Repository, other: Repository) -> None:
    """Referrers belong to a repository; those of the same subject elsewhere are not shown (4.6)."""
    await other.push(artifact("sbom", APP))
    await repo.push(APP, "v1")
    assert await referrers(repo, APP) == []


async def test_subject_by_sha512(repo: Repository) -> None:
    """Referrers are found under the digest that they name as subject, of whichever algorithm (59)."""
    strong = APP.by("sha512")
    answer = await repo.push(artifact("sbom", strong))
    assert answer.headers["oci-subject"] == strong.digest
    assert len(await referrers(repo, strong)) == 1
    assert await referrers(repo, APP) == []


async def test_referrer_by_sha512(repo: Repository) -> None:
    """A referrer pushed under its sha512 digest is listed under that one."""
    sbom = artifact("sbom", APP).by("sha512")
    await repo.push(sbom)
    assert [each["digest"] for each in await referrers(repo, APP)] == [sbom.digest]


@pytest.mark.parametrize("query", ["", f"?artifactType={SBOM}"])
async def test_pages(repo: Repository, query: str) -> None:
    """A list too long for one answer comes in pages below 4 MiB, each an index of others, with a Link to the next (72)."""
    wanted = [
        artifact(f"sbom {n}", APP, artifactType=SBOM, annotations={"a": "x" * 900_000}) for n in range(9)
    ]
    unwanted = [artifact(f"other {n}", APP, artifactType=SIGNATURE, annotations={"a": "x"}) for n in range(3)]
    for referrer in (*wanted, *unwanted):
        await repo.push(referrer)
    answers = await pages(repo.registry, f"/v2/{repo.name}/referrers/{APP.digest}{query}")
    assert len(answers) > 2
    assert all(len(answer.content) < 4 * 1024 * 1024 for answer in answers)
    digests = [each["digest"] for answer in answers for each in listed(answer)]
    assert sorted(digests) == sorted(each.digest for each in (wanted if query else [*wanted, *unwanted]))
    assert all(("oci-filters-applied" in answer.headers) == bool(query) for answer in answers)


async def test_entry_larger_than_a_page(repo: Repository) -> None:
    """A referrer whose annotations fill a page alone is listed all the same, and the next one behind it (72)."""
    for number in range(2):
        await repo.push(artifact(f"sbom {number}", APP, annotations={"a": "x" * 3_900_000}))
    answers = await pages(repo.registry, f"/v2/{repo.name}/referrers/{APP.digest}")
    assert [len(listed(answer)) for answer in answers] == [1, 1]


async def test_many_entries(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """More entries than one answer may have are paged too, and none is lost or doubled (72)."""
    monkeypatch.setattr(listing, "_REFERRERS_MAX", 20)
    first = artifact("sbom", APP)
    await repo.push(first)
    wanted = {first.digest}
    for number in range(40):
        referrer = first.saying(annotations={"n": str(number)})
        await repo.put_manifest(referrer, referrer.digest)
        wanted.add(referrer.digest)
    answers = await pages(repo.registry, f"/v2/{repo.name}/referrers/{APP.digest}")
    assert [len(listed(answer)) for answer in answers] == [20, 20, 1]
    assert {each["digest"] for answer in answers for each in listed(answer)} == wanted


async def test_head(repo: Repository) -> None:
    """HEAD tells type and length of the list without it."""
    await repo.push(artifact("sbom", APP))
    get, head = [await repo.ask(method, f"referrers/{APP.digest}") for method in ("GET", "HEAD")]
    assert head.headers["content-length"] == get.headers["content-length"]
    assert next_page(head) is None
