"""Manifests: any bytes become a Manifest or are refused with ManifestInvalid; a valid one says what was pushed."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.oci import media_types
from registry.oci.digest import Digest
from registry.oci.errors import ManifestInvalid
from registry.oci.manifest import Descriptor, Manifest

PROPERTY = settings(deadline=None, max_examples=300)

TYPES: Final = [*sorted(media_types.MANIFESTS), *sorted(media_types.DOCKER_SCHEMA_1)]
DIGEST: Final = "sha256:" + "a" * 64
BLOB: Final = {"mediaType": "application/octet-stream", "digest": DIGEST, "size": 3}
IMAGE: Final = {"schemaVersion": 2, "config": BLOB, "layers": [BLOB]}
INDEX: Final = {"schemaVersion": 2, "manifests": [BLOB]}

content_types = st.none() | st.sampled_from(TYPES) | st.text(max_size=20)
texts = st.text(st.characters(exclude_categories=[]), max_size=8)  # with lone surrogates
valid_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
json_values = valid_json | st.sampled_from([float("nan"), float("inf"), 10**400])
# What is nearly right: the fields of real manifests with anything in them.
nearly_descriptors = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": st.sampled_from(["text/plain", "", "x" * 256, "tab\t", "é"]) | json_values,
        "digest": st.sampled_from([DIGEST, "md5:0", "sha256:0", ""]) | json_values,
        "size": st.integers(-1, 5) | st.just(2**63) | json_values,
    },
)
fields = nearly_descriptors | st.lists(nearly_descriptors, max_size=2) | json_values
nearly_manifests = st.fixed_dictionaries(
    {},
    optional={
        "schemaVersion": st.sampled_from([1, 2, "2", 2.0, True]) | json_values,
        "mediaType": st.sampled_from(TYPES) | json_values,
        "config": fields,
        "layers": fields,
        "manifests": fields,
        "blobs": fields,
        "fsLayers": fields,
        "subject": fields,
        "artifactType": fields,
        "annotations": st.dictionaries(st.text(max_size=5), st.text(max_size=5)) | json_values,
    },
)


def parse(content: bytes, content_type: str | None) -> Manifest | None:
    """The manifest, None where it is refused as it should be; any other error goes through."""
    try:
        manifest = Manifest.parse(content, content_type)
    except ManifestInvalid as error:
        assert 0 < len(error.message) < 1000
        return None
    assert manifest.content is content
    assert manifest.media_type in media_types.MANIFESTS
    return manifest


@PROPERTY
@given(st.binary(), content_types)
def test_any_bytes(content: bytes, content_type: str | None) -> None:
    """Any bytes are a manifest or ManifestInvalid."""
    parse(content, content_type)


@PROPERTY
@given(json_values | nearly_manifests, content_types, st.booleans())
def test_any_json(document: object, content_type: str | None, ascii_only: bool) -> None:  # noqa: FBT001
    """Any JSON, and what Python takes for JSON, is a manifest or ManifestInvalid."""
    content = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    parse(content, content_type)


@settings(PROPERTY, max_examples=500)
@given(nearly_manifests, st.sampled_from(TYPES))
def test_nearly_manifests(document: dict[str, Any], content_type: str) -> None:
    """What looks like a manifest is one or ManifestInvalid, and what is taken can be kept in rows and shown."""
    manifest = parse(json.dumps(document).encode(), content_type)
    if manifest is None:
        return
    for descriptor in (*manifest.blobs, *manifest.manifests, *filter(None, [manifest.subject])):
        assert Digest.parse_foreign(descriptor.digest) == descriptor.digest
        assert 0 <= descriptor.size < 2**63
        assert descriptor.media_type.isprintable()
    assert manifest.artifact_type is None or manifest.artifact_type.isprintable()
    assert json.loads(json.dumps(manifest.annotations)) == manifest.annotations


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not valid JSON"),
        (b"[" * 1_000_000, "nested too deeply|not valid JSON"),
        (b'{"annotations":' * 200_000, "nested too deeply|not valid JSON"),
        (b'{"schemaVersion": ' + b"2" * 100_000 + b"}", "not valid JSON"),
        (b'{"schemaVersion": NaN}', "NaN is not JSON"),
        (b'{"schemaVersion": -Infinity}', "Infinity is not JSON"),
        (b'{"schemaVersion": 2, "schemaVersion": 2}', "a key occurs twice"),
        (b'{"config": {"size": 1, "size": 2}}', "a key occurs twice"),
        (b'\xef\xbb\xbf{"schemaVersion": 2}', "not valid JSON"),
        (b'{"a": "\xff"}', "not valid JSON"),
        (b'{"a": "\xed\xa0\x80"}', "not valid JSON"),
        ('{"schemaVersion": 2}'.encode("utf-16"), "not valid JSON"),
        (b'{"schemaVersion": 2}\0', "not valid JSON"),
        (b'{"a": "\0"}', "not valid JSON"),
        (b'{"schemaVersion": 2} {}', "not valid JSON"),
        (b"null", "a manifest is a JSON object"),
        (b'"text"', "a manifest is a JSON object"),
        (b"[]", "a manifest is a JSON object"),
        (b" " * 4 * 1024 * 1024, "not valid JSON"),
        (b'"' + b"x" * (4 * 1024 * 1024 - 2) + b'"', "a manifest is a JSON object"),
    ],
)
def test_bad_json(content: bytes, words: str) -> None:
    """What JSON parsers choke on, or disagree about, is refused in words that say what it is."""
    with pytest.raises(ManifestInvalid, match=words) as caught:
        Manifest.parse(content, media_types.OCI_IMAGE)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("change", "content_type", "words"),
    [
        ({"mediaType": media_types.DOCKER_IMAGE}, media_types.OCI_IMAGE, "they must be the same"),
        ({"mediaType": 5}, media_types.OCI_IMAGE, "mediaType must be a string"),
        ({}, None, "type of the manifest is missing"),
        ({}, "", "type of the manifest is missing"),
        ({}, "application/json", "not a type of manifest"),
        (
            {},
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "Docker schema 1 .* push the image again",
        ),
        ({"schemaVersion": 1}, media_types.OCI_IMAGE, "schemaVersion must be 2"),
        ({"schemaVersion": True}, media_types.OCI_IMAGE, "schemaVersion must be 2"),
        ({"schemaVersion": None}, media_types.OCI_IMAGE, "schemaVersion must be 2"),
        ({"manifests": []}, media_types.OCI_IMAGE, "must not have manifests"),
        ({"fsLayers": []}, media_types.DOCKER_IMAGE, "must not have fsLayers"),
        ({}, media_types.OCI_INDEX, "must not have layers"),
        ({"layers": None}, media_types.OCI_INDEX, "must not have config"),
        ({}, media_types.OCI_ARTIFACT, "must not have layers"),
        ({"config": None}, media_types.OCI_IMAGE, "config must be a descriptor"),
        ({"layers": None}, media_types.OCI_IMAGE, "layers must be a list"),
        ({"layers": {}}, media_types.OCI_IMAGE, "layers must be a list"),
        ({"layers": [BLOB, "x"]}, media_types.OCI_IMAGE, r"layers\[1\] must be a descriptor"),
        ({"layers": [BLOB | {"size": -1}]}, media_types.OCI_IMAGE, r"layers\[0\]\.size"),
        ({"layers": [BLOB | {"size": 2**63}]}, media_types.OCI_IMAGE, r"layers\[0\]\.size"),
        ({"layers": [BLOB | {"size": 1.0}]}, media_types.OCI_IMAGE, r"layers\[0\]\.size"),
        ({"layers": [BLOB | {"size": True}]}, media_types.OCI_IMAGE, r"layers\[0\]\.size"),
        (
            {"layers": [BLOB | {"digest": "sha256:x"}]},
            media_types.OCI_IMAGE,
            r"layers\[0\]\.digest: a sha256 digest",
        ),
        ({"layers": [BLOB | {"digest": 5}]}, media_types.OCI_IMAGE, r"layers\[0\]\.digest must be a string"),
        ({"layers": [BLOB | {"mediaType": ""}]}, media_types.OCI_IMAGE, r"layers\[0\]\.mediaType"),
        ({"layers": [BLOB | {"mediaType": "\ud800"}]}, media_types.OCI_IMAGE, r"layers\[0\]\.mediaType"),
        ({"layers": [BLOB | {"mediaType": "a\0b"}]}, media_types.OCI_IMAGE, r"layers\[0\]\.mediaType"),
        ({"subject": {}}, media_types.OCI_IMAGE, r"subject\.mediaType"),
        ({"subject": False}, media_types.OCI_IMAGE, "subject must be a descriptor"),
        ({"artifactType": "a\nb"}, media_types.OCI_IMAGE, "artifactType must be a media type"),
        ({"annotations": []}, media_types.OCI_IMAGE, "annotations must be an object of strings"),
        ({"annotations": {"a": 1}}, media_types.OCI_IMAGE, "annotations must be an object of strings"),
    ],
)
def test_wrong_image(change: dict[str, Any], content_type: str | None, words: str) -> None:
    """Every rule of the specification that an image breaks is named, with the place where it does."""
    with pytest.raises(ManifestInvalid, match=words):
        Manifest.parse(json.dumps(IMAGE | change).encode(), content_type)


# What is generated below is valid.

algorithms = st.sampled_from(["sha256", "sha512"])
printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=30)
digests = st.builds(Digest.of, st.binary(max_size=4), algorithms)
descriptors = st.builds(Descriptor, printable, digests, st.integers(0, 2**63 - 1))
annotations = st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=4)
unknown_fields = st.dictionaries(st.text(max_size=5).map(lambda name: f"x-{name}"), valid_json, max_size=2)


@st.composite
def manifests(draw: st.DrawFn) -> tuple[Manifest, dict[str, Any], str | None]:
    """What should be parsed, the document that says it, and the Content-Type that it comes with."""
    media_type = draw(st.sampled_from(sorted(media_types.MANIFESTS)))
    document: dict[str, Any] = {"schemaVersion": 2}
    blobs: tuple[Descriptor, ...] = ()
    children: tuple[Descriptor, ...] = ()
    config_type: str | None = None
    if media_type in media_types.INDEXES:
        children = tuple(draw(st.lists(descriptors, max_size=4)))
        document["manifests"] = [as_json(child) for child in children]
    elif media_type in media_types.IMAGES:
        blobs = tuple(draw(st.lists(descriptors, min_size=1, max_size=4)))
        document |= {"config": as_json(blobs[0]), "layers": [as_json(layer) for layer in blobs[1:]]}
        config_type = blobs[0].media_type
    else:
        blobs = tuple(draw(st.lists(descriptors, max_size=3)))
        document = {"blobs": [as_json(blob) for blob in blobs]}
    subject = draw(st.none() | descriptors)
    artifact_type = draw(st.none() | printable)
    notes = draw(annotations)
    document |= {"subject": as_json(subject)} if subject else {}
    document |= {"artifactType": artifact_type} if artifact_type else {}
    document |= {"annotations": notes} if notes or draw(st.booleans()) else {}
    in_document, in_header = draw(st.sampled_from([(True, True), (True, False), (False, True)]))
    document |= {"mediaType": media_type} if in_document else {}
    expected = Manifest(b"", media_type, blobs, children, subject, artifact_type or config_type, notes)
    content_type = media_type + draw(st.sampled_from(["", "; charset=utf-8", " ;x=y"])) if in_header else None
    return expected, document | draw(unknown_fields), content_type


def as_json(descriptor: Descriptor) -> dict[str, Any]:
    """The descriptor as a document has it, with a field that we do not know."""
    return {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
        "platform": {"os": "linux"},
    }


@PROPERTY
@given(manifests(), st.sampled_from([None, 0, 2, "\t"]))
def test_valid_manifest(
    given_: tuple[Manifest, dict[str, Any], str | None], indent: int | str | None
) -> None:
    """A valid manifest of any type is parsed to what it says, however it is laid out, and keeps its exact bytes."""
    expected, document, content_type = given_
    content = json.dumps(document, indent=indent).encode()
    parsed = Manifest.parse(content, content_type)
    assert parsed.content == content
    assert parsed == Manifest(
        content,
        expected.media_type,
        expected.blobs,
        expected.manifests,
        expected.subject,
        expected.artifact_type,
        expected.annotations,
    )


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ],
)
def test_nondistributable_layers(media_type: str) -> None:
    """Layers that are fetched from elsewhere need not be in the repository."""
    document = IMAGE | {"layers": [BLOB, BLOB | {"mediaType": media_type, "digest": "sha256:" + "b" * 64}]}
    manifest = Manifest.parse(json.dumps(document).encode(), media_types.OCI_IMAGE)
    assert [blob.digest for blob in manifest.blobs] == [DIGEST, DIGEST]


@pytest.mark.parametrize(
    "header", ["Application/VND.oci.image.MANIFEST.v1+json", f"  {media_types.OCI_IMAGE} ;q=1"]
)
def test_content_type_is_read_as_a_header(header: str) -> None:
    """Neither case nor parameters of the Content-Type header matter."""
    assert Manifest.parse(json.dumps(IMAGE).encode(), header).media_type == media_types.OCI_IMAGE


@pytest.mark.parametrize("size_bytes", [4 * 1024 * 1024])
def test_largest_manifest(size_bytes: int) -> None:
    """A manifest as large as may be, with tens of thousands of layers, is parsed."""
    layer = json.dumps(BLOB)
    count = (size_bytes - 1000) // (len(layer) + 1)
    content = f'{{"schemaVersion":2,"config":{layer},"layers":[{",".join([layer] * count)}]}}'
    manifest = Manifest.parse(content.ljust(size_bytes).encode(), media_types.OCI_IMAGE)
    assert len(manifest.content) == size_bytes
    assert len(manifest.blobs) == count + 1
