"""`/v2/<name>/manifests/<reference>`: what is pushed is checked, kept byte for byte, and served as it came."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from registry.api import manifests as door_manifests
from tests.api.conftest import Start
from tests.support.content import (
    DOCKER_CONFIG,
    DOCKER_FOREIGN_LAYER,
    DOCKER_IMAGE,
    DOCKER_LIST,
    NOWHERE,
    OCI_ARTIFACT,
    OCI_FOREIGN_LAYER,
    OCI_IMAGE,
    OCI_INDEX,
    Blob,
    Manifest,
    artifact,
    blob,
    digest_of,
    image,
    index,
    of_size,
)
from tests.support.http import Repository, refusal

pytestmark = pytest.mark.anyio

APP = image("app")
KINDS = {
    "oci-image": APP,
    "oci-index": index([APP, image("arm")]),
    "docker-image": image("docker", config_type=DOCKER_CONFIG, media_type=DOCKER_IMAGE),
    "docker-list": index([APP], media_type=DOCKER_LIST),
    "oci-artifact": Manifest(
        json.dumps(
            {
                "mediaType": OCI_ARTIFACT,
                "artifactType": "application/vnd.example.sbom",
                "blobs": [blob("sbom").descriptor()],
            }
        ).encode(),
        OCI_ARTIFACT,
        (blob("sbom"),),
    ),
}
MIB = 1024 * 1024


# --- pull ---


@pytest.mark.parametrize("kind", KINDS)
async def test_pushed_manifest_is_served_as_it_came(repo: Repository, kind: str) -> None:
    """GET by tag and by digest gives the exact bytes, type, length and digest; HEAD the same without bytes (14-17, 22)."""
    manifest = KINDS[kind]
    await repo.push(manifest, "v1")
    for reference in ("v1", manifest.digest, manifest.digest.replace(":", "%3A")):
        get, head = [await repo.ask(method, f"manifests/{reference}") for method in ("GET", "HEAD")]
        assert (get.status_code, head.status_code) == (200, 200)
        assert (get.content, head.content) == (manifest.content, b"")
        assert get.headers["content-type"] == manifest.media_type
        assert get.headers["content-length"] == str(len(manifest.content))
        assert get.headers["docker-content-digest"] == manifest.digest
        differing = {"x-request-id"}
        assert {*get.headers.items()} - {*head.headers.items()} == {
            (name, get.headers[name]) for name in differing
        }


@pytest.mark.parametrize(
    "content",
    [
        b'{ "mediaType":"%s",\n\t"schemaVersion" : 2, "manifests":[ ] }\r\n\n' % OCI_INDEX.encode(),
        json.dumps(
            {"schemaVersion": 2, "manifests": [], "annotations": {"x": "\u00e9 \u2028 \U0001f600"}}
        ).encode(),
        '{"schemaVersion":2,"manifests":[],"annotations":{"é":"é\\u0000\\ud800"}}'.encode(),
        b'{"manifests":[],"schemaVersion":2.0,"x":1e3,"y":[{"z":0.1000}]}',
    ],
    ids=["whitespace", "escapes", "unicode", "numbers"],
)
async def test_bytes_are_never_written_anew(repo: Repository, content: bytes) -> None:
    """JSON that no serialiser would write like this comes back byte for byte (50)."""
    await repo.push(Manifest(content, OCI_INDEX), "odd")
    assert (await repo.get("manifests/odd")).content == content


@pytest.mark.parametrize("reference", ["v1", NOWHERE, f"sha512:{'0' * 128}"])
async def test_unknown_manifest(repo: Repository, reference: str) -> None:
    """What is not there is 404 MANIFEST_UNKNOWN, in a repository that exists and in one that does not (18, 62)."""
    refusal(await repo.get(f"manifests/{reference}"), 404, "MANIFEST_UNKNOWN")
    await repo.push(APP, "other")
    error = refusal(await repo.get(f"manifests/{reference}"), 404, "MANIFEST_UNKNOWN")
    assert error["detail"] == {"name": repo.name, "reference": reference}
    assert (await repo.head(f"manifests/{reference}")).status_code == 404


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        "application/json",
        "text/html;q=0.1",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        DOCKER_IMAGE,
        f"{OCI_INDEX}, {OCI_IMAGE};q=0.5, */*",
        "",
        "nonsense",
    ],
)
async def test_accept_is_not_asked(repo: Repository, accept: str | None) -> None:
    """Whatever Accept says, the stored bytes come with their own type: nothing is chosen, nothing converted (19, 6.6)."""
    await repo.push(APP, "v1")
    headers = {"accept": accept} if accept is not None else {}
    answer = await repo.get("manifests/v1", headers=headers)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (
        200,
        OCI_IMAGE,
        APP.content,
    )


@pytest.mark.parametrize("form", ['"{}"', "{}", 'W/"{}"', '"other", "{}"', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_unchanged_manifest_is_not_sent_again(repo: Repository, method: str, form: str) -> None:
    """If-None-Match with the digest, quoted or not, is answered 304 with its headers and no body (5.5)."""
    await repo.push(APP, "v1")
    answer = await repo.ask(method, "manifests/v1", headers={"if-none-match": form.format(APP.digest)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == f'"{APP.digest}"'
    assert answer.headers["docker-content-digest"] == APP.digest


async def test_moved_tag_is_not_unchanged(repo: Repository) -> None:
    """A tag that points elsewhere since is sent, and caches are told to ask each time; a digest is for ever."""
    await repo.push(APP, "latest")
    newer = image("newer")
    await repo.push(newer, "latest")
    by_tag = await repo.get("manifests/latest", headers={"if-none-match": f'"{APP.digest}"'})
    assert (by_tag.status_code, by_tag.content) == (200, newer.content)
    assert by_tag.headers["cache-control"] == "no-cache"
    by_digest = await repo.get(f"manifests/{newer.digest}")
    assert "immutable" in by_digest.headers["cache-control"]


async def test_tag_moves_and_the_old_manifest_stays(repo: Repository) -> None:
    """After a push over a tag, the old manifest is still there by its digest."""
    await repo.push(APP, "latest")
    await repo.push(image("newer"), "latest")
    assert (await repo.get(f"manifests/{APP.digest}")).content == APP.content
    assert await repo.tags() == ["latest"]


async def test_manifest_of_another_repository_is_not_here(repo: Repository, other: Repository) -> None:
    """A manifest belongs to the repository that it was pushed to, whatever reference is asked for."""
    await other.push(APP, "v1")
    await repo.upload(blob("unrelated"))
    for method in ("GET", "HEAD", "DELETE"):
        for reference in ("v1", APP.digest):
            assert (await repo.ask(method, f"manifests/{reference}")).status_code == 404
    assert (await other.get("manifests/v1")).content == APP.content


# --- push ---


async def test_push_is_answered_with_place_and_digest(repo: Repository) -> None:
    """201 has a Location relative to the host that pulls the manifest, its digest, and length 0 (50, 51, 6.4)."""
    answer = await repo.push(APP, "v1")
    assert answer.headers["docker-content-digest"] == APP.digest
    assert answer.headers["content-length"] == "0"
    assert answer.headers["location"].startswith(f"/v2/{repo.name}/manifests/")
    assert (await repo.get(answer.headers["location"])).content == APP.content


async def test_push_in_chunks_without_length(repo: Repository) -> None:
    """A manifest may come with Transfer-Encoding: chunked and no length, as Go clients send it (4.4, trap 2)."""
    await repo.push(APP)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(APP.content), 7):
            yield APP.content[start : start + 7]

    answer = await repo.put("manifests/v1", content=pieces(), headers={"content-type": OCI_IMAGE})
    assert "content-length" not in answer.request.headers
    assert answer.status_code == 201
    assert (await repo.get("manifests/v1")).content == APP.content


@pytest.mark.parametrize("given", [f"{OCI_IMAGE}; charset=utf-8", f"{OCI_IMAGE};v=1", OCI_IMAGE.upper()])
async def test_parameters_of_the_type_are_ignored(repo: Repository, given: str) -> None:
    """Parameters and letter case of the Content-Type neither matter nor come back (16, 52)."""
    await repo.push(APP)
    assert (await repo.put_manifest(APP, "v1", **{"content-type": given})).status_code == 201
    assert (await repo.get("manifests/v1")).headers["content-type"] == OCI_IMAGE


async def test_type_is_taken_from_the_header_where_the_manifest_names_none(repo: Repository) -> None:
    """Without mediaType in the body the Content-Type is believed (53)."""
    await repo.push(APP)
    untyped = APP.saying(mediaType=None)
    assert (await repo.put_manifest(untyped, "v1")).status_code == 201
    assert (await repo.get("manifests/v1")).headers["content-type"] == OCI_IMAGE


async def test_type_is_taken_from_the_manifest_where_there_is_no_header(repo: Repository) -> None:
    """Without Content-Type the mediaType in the body is believed; without both it is a 400 (53)."""
    await repo.push(APP)
    assert (await repo.put("manifests/v1", content=APP.content)).status_code == 201
    assert (await repo.get("manifests/v1")).headers["content-type"] == OCI_IMAGE
    untyped = await repo.put("manifests/v2", content=APP.saying(mediaType=None).content)
    assert "Content-Type" in refusal(untyped, 400, "MANIFEST_INVALID")["message"]


BAD_MANIFESTS = {
    "other-type": APP.saying(mediaType=DOCKER_IMAGE),
    "type-not-a-string": APP.saying(mediaType=7),
    "layers-and-manifests": APP.saying(manifests=[]),
    "index-with-layers": index().saying(layers=[]),
    "index-with-config": index().saying(config=blob("x").descriptor()),
    "no-config": APP.saying(config=None),
    "no-layers": APP.saying(layers=None),
    "no-manifests": index().saying(manifests=None),
    "layers-an-object": APP.saying(layers={}),
    "layer-a-string": APP.saying(layers=[NOWHERE]),
    "digest-malformed": APP.saying(layers=[{**blob("base").descriptor(), "digest": "sha256:short"}]),
    "digest-upper-case": APP.saying(layers=[{**blob("base").descriptor(), "digest": f"sha256:{'A' * 64}"}]),
    "digest-a-number": APP.saying(layers=[{**blob("base").descriptor(), "digest": 1}]),
    "size-missing": APP.saying(layers=[{"mediaType": "a/b", "digest": NOWHERE}]),
    "size-negative": APP.saying(layers=[{**blob("base").descriptor(), "size": -1}]),
    "size-a-fraction": APP.saying(layers=[{**blob("base").descriptor(), "size": 1.5}]),
    "size-true": APP.saying(layers=[{**blob("base").descriptor(), "size": True}]),
    "size-huge": APP.saying(layers=[{**blob("base").descriptor(), "size": 2**63}]),
    "subject-a-digest": APP.saying(subject=NOWHERE),
    "annotations-a-list": APP.saying(annotations=["a"]),
    "annotation-a-number": APP.saying(annotations={"a": 1}),
    "artifact-type-with-nul": APP.saying(artifactType="a/\0"),
    "artifact-type-a-list": APP.saying(artifactType=["a/b"]),
    "schema-version-1": APP.saying(schemaVersion=1),
    "schema-version-missing": APP.saying(schemaVersion=None),
    "schema-version-true": APP.saying(schemaVersion=True),
    "empty": Manifest(b"", OCI_IMAGE),
    "not-json": Manifest(b"{", OCI_IMAGE),
    "json-then-more": Manifest(APP.content + b"{}", OCI_IMAGE),
    "a-list": Manifest(b"[]", OCI_IMAGE),
    "null": Manifest(b"null", OCI_IMAGE),
    "not-utf-8": Manifest(b'{"a":"\xff"}', OCI_IMAGE),
    "utf-16": Manifest(APP.content.decode().encode("utf-16"), OCI_IMAGE),
    "nan": Manifest(APP.content[:-1] + b',"x":NaN}', OCI_IMAGE),
    "a-key-twice": Manifest(APP.content[:-1] + b',"layers":[]}', OCI_IMAGE),
    "nested-deeply": Manifest(
        APP.content[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", OCI_IMAGE
    ),
    "number-of-many-digits": Manifest(APP.content[:-1] + b',"x":' + b"9" * 10_000 + b"}", OCI_IMAGE),
    "a-layer-type": Manifest(APP.saying(mediaType=None).content, "application/vnd.oci.image.layer.v1.tar"),
    "plain-json": Manifest(APP.saying(mediaType=None).content, "application/json"),
    "type-not-a-type": Manifest(APP.saying(mediaType=None).content, "x" * 5000),
}


@pytest.mark.parametrize("case", BAD_MANIFESTS)
async def test_invalid_manifest_is_refused(repo: Repository, case: str) -> None:
    """What does not follow its type's specification, or could be read in two ways, is 400 and not stored (53, 4.6)."""
    await repo.push(APP)
    refusal(await repo.put_manifest(BAD_MANIFESTS[case], "v1"), 400, "MANIFEST_INVALID")
    assert await repo.tags() == []


@pytest.mark.parametrize("kind", ["v1+json", "v1+prettyjws"])
async def test_schema_1_is_refused_with_words_that_help(repo: Repository, kind: str) -> None:
    """Docker schema 1 is refused, and the message says what to do instead (6.5)."""
    old = Manifest(
        json.dumps({"schemaVersion": 1, "name": "app", "fsLayers": []}).encode(),
        f"application/vnd.docker.distribution.manifest.{kind}",
    )
    error = refusal(await repo.put_manifest(old, "v1"), 400, "MANIFEST_INVALID")
    assert "schema 1" in error["message"]
    assert "skopeo copy" in error["message"]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", None])
async def test_schema_1_without_its_type(repo: Repository, content_type: str | None) -> None:
    """Schema 1 that old tools send as plain JSON, or without a type, is told the same."""
    headers = {"content-type": content_type} if content_type else {}
    content = json.dumps({"schemaVersion": 1, "name": "app", "fsLayers": []}).encode()
    answer = await repo.put("manifests/v1", content=content, headers=headers)
    error = refusal(answer, 400, "MANIFEST_INVALID")
    assert "skopeo copy" in error["message"]


UNUSUAL_MANIFESTS = {
    "no-layers": image("none", layers=[]),
    "empty-index": index(),
    "nested-index": index([index([APP])]),
    "custom-fields": image("custom", custom={"a": [1, None]}, **{"org.example.key": "v"}),
    "data-field": image("data").saying(
        config=Blob(b"{}", "application/vnd.oci.empty.v1+json").descriptor(data="e30="),
    ),
    "unknown-config-type": image("config", config_type="application/vnd.example+json"),
    "unknown-layer-type": image("layer", layers=[blob("helm", media_type="application/x.what-ever")]),
    "artifact": artifact("sbom", artifactType="application/vnd.example.sbom.v1"),
    "artifact-with-annotations": artifact("signature", annotations={"a": "b", "": ""}),
    "layer-with-urls": image("urls").saying(layers=[blob("base").descriptor(urls=["https://example.com/x"])]),
    "the-same-layer-twice": image("twice", layers=["base", "base"]),
    "annotations-null": image("null", annotations=None),
}


@pytest.mark.parametrize("case", UNUSUAL_MANIFESTS)
async def test_unusual_manifest_is_accepted(repo: Repository, case: str) -> None:
    """Unknown types, unknown fields, empty lists and nested indexes are nobody's mistake (57)."""
    manifest = UNUSUAL_MANIFESTS[case]
    if case == "data-field":
        await repo.upload(Blob(b"{}"))
    await repo.push(manifest, "v1")
    assert (await repo.get("manifests/v1")).content == manifest.content


async def test_wrong_digest_is_refused(repo: Repository) -> None:
    """A manifest under a digest that is not its own is 400 DIGEST_INVALID, and stored under neither (54)."""
    await repo.push(APP, "v1")
    error = refusal(await repo.put_manifest(image("other"), APP.digest), 400, "DIGEST_INVALID")
    assert error["detail"] == {"expected": APP.digest, "actual": image("other").digest}
    assert (await repo.get(f"manifests/{APP.digest}")).content == APP.content
    assert (await repo.get(f"manifests/{image('other').digest}")).status_code == 404


@pytest.mark.parametrize(
    "digest",
    ["sha256:baddigeststring", f"sha256:{'A' * 64}", f"sha256:{'0' * 63}", f"md5:{'0' * 32}", "sha256:", ":"],
)
async def test_malformed_digest_is_refused(repo: Repository, digest: str) -> None:
    """A reference with a colon that is no digest is 400 DIGEST_INVALID for every method (5, 54)."""
    refusal(await repo.put_manifest(APP, digest), 400, "DIGEST_INVALID")
    refusal(await repo.get(f"manifests/{digest}"), 400, "DIGEST_INVALID")
    refusal(await repo.delete(f"manifests/{digest}"), 400, "DIGEST_INVALID")


@pytest.mark.parametrize(("size", "elsewhere"), [(60_000, 0), (3_000_000, 1)])
async def test_large_manifest_is_parsed_off_the_loop(
    repo: Repository, monkeypatch: pytest.MonkeyPatch, size: int, elsewhere: int
) -> None:
    """A manifest of megabytes is parsed in a thread, so that nobody else waits for it; a small one where it is."""
    threads: list[threading.Thread] = []
    parse = door_manifests.Manifest.parse

    def watched(content: bytes, content_type: str | None) -> Any:
        threads.append(threading.current_thread())
        return parse(content, content_type)

    monkeypatch.setattr(door_manifests.Manifest, "parse", watched)
    await repo.push(of_size(APP, size), "large")
    assert [thread is not threading.current_thread() for thread in threads] == [bool(elsewhere)]


# --- what a manifest names ---


async def test_missing_blobs_are_named_one_by_one(repo: Repository) -> None:
    """A manifest that names blobs which are not here is refused, with one error for each of them (56, 6.5)."""
    await repo.upload(blob("base"))
    refused = await repo.put_manifest(APP, "v1")
    refusal(refused, 400, "MANIFEST_BLOB_UNKNOWN")
    missing = {b.digest for b in APP.blobs} - {blob("base").digest}
    assert {error["detail"]["digest"] for error in refused.json()["errors"]} == missing
    assert len(refused.json()["errors"]) == len(missing)
    assert await repo.tags() == []


async def test_wrong_sizes_are_named_one_by_one(repo: Repository) -> None:
    """A manifest that gives content which is here another size is refused, with one error that says both sizes (6.5)."""
    await repo.push(APP)
    layers = [{**layer, "size": layer["size"] + 1} for layer in APP.document["layers"]]
    refused = await repo.put_manifest(APP.saying(layers=layers), "v1")
    refusal(refused, 400, "MANIFEST_INVALID")
    details = [error["detail"] for error in refused.json()["errors"]]
    assert sorted(details, key=str) == sorted(
        (
            {"digest": layer["digest"], "given": layer["size"] + 1, "actual": layer["size"]}
            for layer in APP.document["layers"]
        ),
        key=str,
    )
    assert await repo.tags() == []


async def test_wrong_size_of_a_child_is_named(repo: Repository) -> None:
    """The same for a manifest that an index names."""
    await repo.push(APP)
    wrong = index().saying(manifests=[APP.descriptor(size=5)])
    error = refusal(await repo.put_manifest(wrong, "v1"), 400, "MANIFEST_INVALID")
    assert error["detail"] == {"digest": APP.digest, "given": 5, "actual": len(APP.content)}


async def test_refused_manifest_leaves_the_tag_alone(repo: Repository) -> None:
    """A tag stays where it is when the manifest pushed over it is refused."""
    await repo.push(APP, "latest")
    refusal(await repo.put_manifest(image("next", layers=["new"]), "latest"), 400, "MANIFEST_BLOB_UNKNOWN")
    assert (await repo.get("manifests/latest")).content == APP.content


async def test_missing_child_is_named(repo: Repository) -> None:
    """An index that names a manifest which is not here is refused in the same way (56)."""
    await repo.push(APP)
    error = refusal(await repo.put_manifest(index([APP, image("arm")]), "v1"), 400, "MANIFEST_BLOB_UNKNOWN")
    assert error["detail"] == {"digest": image("arm").digest}


async def test_blob_of_another_repository_is_missing(repo: Repository, other: Repository) -> None:
    """That another repository has the blobs does not help: they are not visible here (20, threat: deduplication)."""
    await other.push(APP, "v1")
    refusal(await repo.put_manifest(APP, "v1"), 400, "MANIFEST_BLOB_UNKNOWN")
    refusal(await repo.put_manifest(index([APP]), "v1"), 400, "MANIFEST_BLOB_UNKNOWN")


async def test_manifest_is_not_a_blob(repo: Repository) -> None:
    """A child of an index must be there as a manifest, not as a blob with the same bytes."""
    await repo.upload(Blob(APP.content))
    refusal(await repo.put_manifest(index([APP]), "v1"), 400, "MANIFEST_BLOB_UNKNOWN")


@pytest.mark.parametrize(
    ("media_type", "layer_type"), [(OCI_IMAGE, OCI_FOREIGN_LAYER), (DOCKER_IMAGE, DOCKER_FOREIGN_LAYER)]
)
async def test_layers_that_nobody_may_push_are_not_asked_for(
    repo: Repository, media_type: str, layer_type: str
) -> None:
    """Non-distributable layers, with their urls, need not be here (56, 6.5)."""
    windows = image("windows", layers=[blob("code")], media_type=media_type)
    foreign = Blob(b"windows base", layer_type).descriptor(urls=["https://example.com/base"])
    windows = windows.saying(layers=[foreign, blob("code").descriptor()])
    await repo.push(windows, "v1")
    assert (await repo.get("manifests/v1")).content == windows.content


async def test_missing_references_can_be_allowed(start: Start) -> None:
    """With manifests.missing_references=allow a manifest comes in before what it names; its blobs are 404 (56)."""
    registry = await start({"manifests.missing_references": "allow"})
    repo = registry.repository("sparse")
    assert (await repo.put_manifest(APP, "v1")).status_code == 201
    assert (await repo.put_manifest(index([image("arm")]), "v2")).status_code == 201
    assert (await repo.get("manifests/v1")).content == APP.content
    for named in APP.blobs:
        assert (await repo.head(f"blobs/{named.digest}")).status_code == 404
    await repo.upload(blob("base"))
    assert (await repo.get(f"blobs/{blob('base').digest}")).content == b"base"


async def test_subject_may_be_missing(repo: Repository) -> None:
    """A manifest whose subject does not exist is accepted (55)."""
    await repo.push(artifact("signature", subject=image("never pushed")), "v1")


@pytest.mark.parametrize("by", ["tag", "digest"])
@pytest.mark.parametrize("kind", ["image", "index"])
async def test_subject_is_confirmed(repo: Repository, kind: str, by: str) -> None:
    """OCI-Subject tells that the subject was understood, for image and index, by tag and digest (59)."""
    referrer = index(subject=APP) if kind == "index" else artifact("signature", subject=APP)
    answer = await repo.push(referrer, *(["v1"] if by == "tag" else []))
    assert answer.headers["oci-subject"] == APP.digest


async def test_no_subject_no_header(repo: Repository) -> None:
    """Without a subject there is no OCI-Subject (59)."""
    assert "oci-subject" not in (await repo.push(APP, "v1")).headers


# --- size ---


async def test_manifest_of_4_mib_is_accepted(repo: Repository) -> None:
    """The largest manifest that clients send, 4 MiB exactly, is taken and served (58)."""
    large = of_size(index(), 4 * MIB)
    assert len(large.content) == 4_194_304
    await repo.push(large, "large")
    assert (await repo.get("manifests/large")).content == large.content


@pytest.mark.parametrize("chunked", [False, True])
async def test_larger_manifest_is_413(repo: Repository, chunked: bool) -> None:  # noqa: FBT001
    """One byte more is 413 with the limit in words, whether its length is announced or not (58)."""
    content = of_size(index(), 4 * MIB + 1).content

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 65536):
            yield content[start : start + 65536]

    answer = await repo.put(
        "manifests/large", content=pieces() if chunked else content, headers={"content-type": OCI_INDEX}
    )
    assert "4194304" in refusal(answer, 413, "MANIFEST_INVALID")["message"]
    assert (await repo.get("manifests/large")).status_code == 404


# --- tags as parameters ---


async def test_tags_come_with_a_digest(repo: Repository) -> None:
    """A push by digest sets all tags given as parameters, and confirms each in OCI-Tag (60)."""
    await repo.push(APP)
    tags = [f"v1.{number}" for number in range(12)]
    answer = await repo.put(
        f"manifests/{APP.digest}",
        params={"tag": tags},
        content=APP.content,
        headers={"content-type": OCI_IMAGE},
    )
    assert answer.status_code == 201
    assert sorted(answer.headers.get_list("oci-tag")) == sorted(tags)
    for tag in tags:
        assert (await repo.head(f"manifests/{tag}")).headers["docker-content-digest"] == APP.digest


async def test_tags_parameter_beside_a_tag_is_ignored(repo: Repository) -> None:
    """A push by tag takes no notice of tag parameters (60)."""
    await repo.push(APP)
    answer = await repo.put_manifest(APP, "v1?tag=v2&tag=!")
    assert answer.status_code == 201
    assert "oci-tag" not in answer.headers
    assert await repo.tags() == ["v1"]


@pytest.mark.parametrize("tag", ["-v1", ".v1", "a/b", "", "a" * 129, "v1 ", "é"])
async def test_invalid_tag_parameter_is_refused_as_a_whole(repo: Repository, tag: str) -> None:
    """One invalid tag among several is 400, and nothing is stored (60)."""
    refusal(await repo.put_manifest(index(), f"{index().digest}?tag=good&tag={tag}"), 400, "NAME_INVALID")
    assert (await repo.get("manifests/good")).status_code == 404
    assert (await repo.get(f"manifests/{index().digest}")).status_code == 404


async def test_too_many_tags_are_414(repo: Repository) -> None:
    """A hundred tags in one push are taken, a hundred and one are 414 (60)."""
    many = "&".join(f"tag=t{number}" for number in range(100))
    assert (await repo.put_manifest(index(), f"{index().digest}?{many}")).status_code == 201
    refusal(await repo.put_manifest(index(), f"{index().digest}?{many}&tag=more"), 414, "UNSUPPORTED")
    assert len(await repo.tags()) == 100


async def test_tag_remembers_the_algorithm(repo: Repository) -> None:
    """A tag given with a sha512 digest answers with that digest; a plain push by tag is sha256 again (51, 61)."""
    await repo.push(APP)
    strong = APP.by("sha512")
    pushed = await repo.put_manifest(strong, f"{strong.digest}?tag=v1")
    assert pushed.headers["docker-content-digest"] == strong.digest
    assert (await repo.get("manifests/v1")).headers["docker-content-digest"] == strong.digest
    assert (await repo.get(f"manifests/{strong.digest}")).content == APP.content
    assert (await repo.put_manifest(APP, "v1")).headers["docker-content-digest"] == APP.digest
    assert (await repo.get("manifests/v1")).headers["docker-content-digest"] == APP.digest


async def test_sha512_content_is_named(repo: Repository) -> None:
    """Layers and children may be named by sha512 (5, 57)."""
    layer = blob("strong", algorithm="sha512")
    strong = image("strong", layers=[layer]).by("sha512")
    await repo.push(index([strong]), "v1")
    assert (await repo.get(f"blobs/{layer.digest}")).content == b"strong"


async def test_same_manifest_again(repo: Repository) -> None:
    """Pushing what is there already is 201 again, and changes nothing."""
    first = await repo.push(APP, "v1")
    second = await repo.push(APP, "v1")
    assert first.headers["location"] == second.headers["location"]
    assert await repo.tags() == ["v1"]


async def test_type_of_the_last_push_counts(repo: Repository) -> None:
    """Bytes without a mediaType that are pushed under another type are served with that one from then on (53)."""
    await repo.push(APP)
    untyped = APP.saying(mediaType=None)
    await repo.put_manifest(untyped, "v1")
    await repo.put_manifest(untyped, "v1", **{"content-type": DOCKER_IMAGE})
    assert (await repo.get("manifests/v1")).headers["content-type"] == DOCKER_IMAGE


async def test_concurrent_pushes_to_one_tag(repo: Repository) -> None:
    """Pushes that race for a tag are all accepted; the tag is one of them, and all are there by digest (4.6)."""
    images = [image(f"racer {number}") for number in range(8)]
    for racer in images:
        await repo.push(racer)
    answers = await asyncio.gather(*(repo.put_manifest(racer, "latest") for racer in images))
    assert {answer.status_code for answer in answers} == {201}
    assert (await repo.head("manifests/latest")).headers["docker-content-digest"] in {
        i.digest for i in images
    }
    assert await repo.tags() == ["latest"]


async def test_concurrent_first_pushes(repo: Repository) -> None:
    """The very same push, several times at once to a repository that does not exist yet, succeeds each time (4.6)."""
    answers = await asyncio.gather(*(repo.push(APP, f"v{number}") for number in range(6)))
    assert {answer.status_code for answer in answers} == {201}
    assert len(await repo.tags()) == 6


# --- delete ---


async def test_deleted_tag_is_gone_and_only_it(repo: Repository) -> None:
    """DELETE by tag is 202; the tag is 404 at once, the manifest and its other tags stay (77)."""
    await repo.push(APP, "v1", "v2")
    assert (await repo.delete("manifests/v1")).status_code == 202
    refusal(await repo.get("manifests/v1"), 404, "MANIFEST_UNKNOWN")
    for reference in ("v2", APP.digest):
        assert (await repo.get(f"manifests/{reference}")).status_code == 200
    assert await repo.tags() == ["v2"]


async def test_last_tag_does_not_take_the_manifest_along(repo: Repository) -> None:
    """A manifest whose last tag is deleted is still there by digest (77)."""
    await repo.push(APP, "v1")
    await repo.delete("manifests/v1")
    assert (await repo.get(f"manifests/{APP.digest}")).content == APP.content
    assert await repo.tags() == []


async def test_deleted_manifest_takes_its_tags_along(repo: Repository) -> None:
    """DELETE by digest is 202; the digest and every tag that pointed to it are 404 at once (78, 4.6)."""
    await repo.push(APP, "v1", "v2")
    await repo.push(image("next"), "v3")
    assert (await repo.delete(f"manifests/{APP.digest}")).status_code == 202
    for reference in ("v1", "v2", APP.digest):
        assert (await repo.head(f"manifests/{reference}")).status_code == 404
    assert await repo.tags() == ["v3"]


@pytest.mark.parametrize("reference", ["v1", NOWHERE])
async def test_delete_of_what_is_not_there(repo: Repository, reference: str) -> None:
    """DELETE of an unknown tag or digest is 404, also in a repository that does not exist, and twice (78)."""
    refusal(await repo.delete(f"manifests/{reference}"), 404, "MANIFEST_UNKNOWN")
    await repo.push(APP, "v2")
    refusal(await repo.delete(f"manifests/{reference}"), 404, "MANIFEST_UNKNOWN")
    assert (await repo.delete("manifests/v2")).status_code == 202
    refusal(await repo.delete("manifests/v2"), 404, "MANIFEST_UNKNOWN")


async def test_delete_in_one_repository(repo: Repository, other: Repository) -> None:
    """What is deleted in one repository stays in another (80)."""
    for each in (repo, other):
        await each.push(APP, "v1")
    await repo.delete(f"manifests/{APP.digest}")
    assert (await other.get("manifests/v1")).content == APP.content


async def test_deleted_manifest_can_be_pushed_again(repo: Repository) -> None:
    """A push after a delete brings everything back, without sending the blobs again."""
    await repo.push(APP, "v1")
    await repo.delete(f"manifests/{APP.digest}")
    assert (await repo.put_manifest(APP, "v1")).status_code == 201
    assert (await repo.get("manifests/v1")).content == APP.content


async def test_deleted_child_leaves_the_index(repo: Repository) -> None:
    """A child of an index may be deleted by its owner's will; the index stays as it was pushed."""
    both = index([APP])
    await repo.push(both, "v1")
    assert (await repo.delete(f"manifests/{APP.digest}")).status_code == 202
    assert (await repo.get("manifests/v1")).content == both.content


@pytest.mark.parametrize("kind", ["tag", "manifest", "blob"])
async def test_deletion_can_be_switched_off(start: Start, kind: str) -> None:
    """With deletion.enabled=false, tags, manifests and blobs alike are 405 UNSUPPORTED, and stay (76)."""
    repo = (await start({"deletion.enabled": False})).repository("app")
    await repo.push(APP, "v1")
    unused = blob("in no manifest")
    await repo.upload(unused)
    paths = {"tag": "manifests/v1", "manifest": f"manifests/{APP.digest}", "blob": f"blobs/{unused.digest}"}
    answer = await repo.delete(paths[kind])
    assert "deletion.enabled" in refusal(answer, 405, "UNSUPPORTED")["message"]
    assert "DELETE" not in answer.headers["allow"]
    assert (await repo.get(paths[kind])).status_code == 200


async def test_digest_of_what_was_served_is_what_was_asked(repo: Repository) -> None:
    """Bytes served are the bytes named, in each algorithm."""
    await repo.push(APP)
    await repo.put_manifest(APP.by("sha512"), APP.by("sha512").digest)
    for algorithm in ("sha256", "sha512"):
        digest = APP.by(algorithm).digest
        assert digest_of((await repo.get(f"manifests/{digest}")).content, algorithm) == digest
