"""What is pushed for a test: the same bytes everywhere, whole, and stored as a client's push would have stored it."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import testing
from registry.oci.digest import Digest
from registry.oci.errors import ManifestBlobUnknown, ManifestUnknown, NameInvalid
from registry.testing import File, Image, Manifest, OciRegistry
from registry.testing import images as made
from tests.support.content import DOCKER_IMAGE, DOCKER_LIST, OCI_IMAGE, OCI_INDEX
from tests.testing.clients import client


def files(layer: bytes) -> dict[str, tuple[bytes, int]]:
    """What is in a layer: content and mode by path."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer))) as archive:
        return {
            entry.name: (archive.extractfile(entry).read(), entry.mode)  # type: ignore[union-attr]
            for entry in archive
        }


def test_the_same_bytes_everywhere(oci_registry: OciRegistry) -> None:
    """An image's digest is decided by what it was made of, on every machine and with every version of Python."""
    image = oci_registry.push_image("team/app:1")
    assert image.digest == "sha256:652f74e12e7cef581c2ebdeaaec1e9fab5bba2657ee081040490a1bd4cd0db20"
    assert image == oci_registry.push_image("team/app:1")


def test_another_name_is_another_image(oci_registry: OciRegistry) -> None:
    """Images that were given no layers differ by their names."""
    images = [oci_registry.push_image(name) for name in ("app:1", "app:2", "other:1")]
    assert len({image.digest for image in images}) == 3


def test_an_image_is_whole(oci_registry: OciRegistry) -> None:
    """Layers unpack to what was given, the configuration names what they unpack to, and clients find all of it."""
    layers: list[made.Layer] = [{"/etc/motd": "hello", "app": File(b"\x7fELF", 0o755)}, {"a/b": b"\0"}]
    image = oci_registry.push_image(
        "app:1",
        layers=layers,
        config={"Entrypoint": ["/app"], "Env": ["A=1"]},
        platform="linux/arm64/v8",
        annotations={"colour": "red"},
    )
    assert files(image.layers[0].content) == {"etc/motd": (b"hello", 0o644), "app": (b"\x7fELF", 0o755)}
    assert files(image.layers[1].content) == {"a/b": (b"\0", 0o644)}
    config = json.loads(image.config.content)
    assert config["config"] == {"Entrypoint": ["/app"], "Env": ["A=1"]}
    assert (config["os"], config["architecture"], config["variant"]) == ("linux", "arm64", "v8")
    unpacked = [Digest.of(gzip.decompress(layer.content)) for layer in image.layers]
    assert config["rootfs"] == {"type": "layers", "diff_ids": unpacked}
    assert image.document["annotations"] == {"colour": "red"}
    with client(oci_registry) as http:
        answer = http.get("/v2/app/manifests/1")
        assert (answer.content, answer.headers["content-type"]) == (image.content, OCI_IMAGE)
        for blob in (image.config, *image.layers):
            assert http.get(f"/v2/app/blobs/{blob.digest}").content == blob.content


def test_layers_by_bytes_and_by_size(oci_registry: OciRegistry) -> None:
    """A layer may be given as its exact bytes, or as a size."""
    image = oci_registry.push_image("app:1", layers=[b"exactly this", 1_000_000])
    assert image.layers[0].content == b"exactly this"
    assert len(files(image.layers[1].content)["random"][0]) == 1_000_000
    assert oci_registry.problems() == []


@pytest.mark.parametrize(
    ("form", "plain"),
    [
        ("oci", "application/vnd.oci.image.layer.v1.tar"),
        ("docker", "application/vnd.docker.image.rootfs.diff.tar"),
    ],
)
def test_layers_by_bytes(oci_registry: OciRegistry, form: made.Format, plain: str) -> None:
    """Bytes are what they are: gzip is called that, and its diff id is of what is in it."""
    archive = made.tar({"a": "1"})
    image = oci_registry.push_image("app:1", layers=[archive, gzip.compress(archive)], format=form)
    joint = "+" if form == "oci" else "."
    assert [layer.media_type for layer in image.layers] == [plain, f"{plain}{joint}gzip"]
    assert json.loads(image.config.content)["rootfs"]["diff_ids"] == [Digest.of(archive)] * 2


def test_no_layers(oci_registry: OciRegistry) -> None:
    """An image without layers is had by asking for none."""
    assert oci_registry.push_image("app:1", layers=[]).layers == ()


def test_an_index_in_an_index(oci_registry: OciRegistry) -> None:
    """An index may name others, which have no platform."""
    inner = oci_registry.push_index("app:1")
    outer = oci_registry.push_index("app:2", [inner, "linux/arm64"])
    assert outer.document["manifests"][0] == inner.descriptor
    assert (outer.manifests[0], len(outer.images)) == (inner, 1)
    assert oci_registry.problems() == []


def test_names_with_a_host(oci_registry: OciRegistry) -> None:
    """The names that clients use are understood, and those of another registry are told as such."""
    image = oci_registry.push_image(f"{oci_registry.host}/team/app:1")
    for name in (image.name, image.name_with_digest, f"team/app:1@{image.digest}"):
        assert oci_registry.manifest(name).content == image.content
    assert oci_registry.tags(f"{oci_registry.host}/team/app") == ["1"]
    assert image.digest == oci_registry.push_image("team/app:1").digest
    with pytest.raises(ValueError, match="of another registry"):
        oci_registry.manifest("localhost:1/team/app:1")


def test_names(oci_registry: OciRegistry) -> None:
    """An image knows the names by which clients pull it; without a tag there is only its digest."""
    tagged, untagged = oci_registry.push_image("team/app:1"), oci_registry.push_image("team/app")
    assert tagged.name == f"{oci_registry.host}/team/app:1"
    assert tagged.name_with_digest == f"{oci_registry.host}/team/app@{tagged.digest}"
    assert untagged.name == untagged.name_with_digest
    assert oci_registry.tags("team/app") == ["1"]
    assert oci_registry.manifest(f"team/app@{untagged.digest}").content == untagged.content


@pytest.mark.parametrize(
    ("form", "image_type", "index_type"),
    [("oci", OCI_IMAGE, OCI_INDEX), ("docker", DOCKER_IMAGE, DOCKER_LIST)],
)
def test_index(oci_registry: OciRegistry, form: made.Format, image_type: str, index_type: str) -> None:
    """An index names its images with their platforms, made on the spot or pushed before."""
    windows = oci_registry.push_image("app", platform="windows/amd64", format=form)
    index = oci_registry.push_index("app:1", ["linux/amd64", "linux/arm64/v8", windows], format=form)
    assert index.media_type == index_type
    assert [child["mediaType"] for child in index.document["manifests"]] == [image_type] * 3
    assert [child["platform"] for child in index.document["manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
        {"architecture": "amd64", "os": "windows"},
    ]
    for image in index.images:
        assert oci_registry.manifest(f"app@{image.digest}").content == image.content
    assert oci_registry.problems() == []


def test_artifact(oci_registry: OciRegistry) -> None:
    """An artifact with a subject is one of its referrers, whatever kind of manifest the subject is."""
    image = oci_registry.push_image("app:1")
    index = oci_registry.push_index("app:2", [image])
    for subject in (image, index):
        signature = oci_registry.push_artifact(
            "app",
            artifact_type="application/vnd.example.signature",
            contents=[b"signed"],
            annotations={"by": "alice"},
            subject=subject,
        )
        assert oci_registry.referrers(subject) == [
            {
                "mediaType": OCI_IMAGE,
                "digest": signature.digest,
                "size": len(signature.content),
                "artifactType": "application/vnd.example.signature",
                "annotations": {"by": "alice"},
            }
        ]
        assert oci_registry.referrers(subject, "application/other") == []
        assert oci_registry.blob(signature.blobs[0].digest) == b"signed"


def test_referrers_of_several_pages(oci_registry: OciRegistry) -> None:
    """All referrers are found, also where the registry tells them to clients in several pages."""
    image = oci_registry.push_image("app:1")
    pushed = [
        oci_registry.push_artifact("app", annotations={"n": f"{n}".zfill(100_000)}, subject=image).digest
        for n in range(60)
    ]
    assert [found["digest"] for found in oci_registry.referrers(image)] == sorted(pushed)


def test_lists_of_several_pages() -> None:
    """Tags and repositories are told whole, however few of them a client gets at once."""
    with testing.serve(settings={"lists.page_size_max": 1}) as oci:
        image = oci.push_image("app:1")
        oci.push_image("app:2")
        other = oci.push_image("other:1")
        artifacts = [oci.push_artifact("app", contents=[content], subject=image) for content in (b"1", b"2")]
        assert oci.tags("app") == ["1", "2"]
        assert oci.repositories() == ["app", other.repository]
        assert len(oci.referrers(image)) == len(artifacts)


def test_missing_things(oci_registry: OciRegistry) -> None:
    """What is not there is told by the registry's own errors; a repository that is not there has no tags."""
    assert oci_registry.tags("app") == []
    with pytest.raises(ManifestUnknown):
        oci_registry.manifest("app:1")
    with pytest.raises(ValueError, match="neither a tag nor a digest"):
        oci_registry.manifest("app")
    with pytest.raises(NameInvalid):
        oci_registry.push_image("App:1")


def test_an_index_of_another_repository(oci_registry: OciRegistry) -> None:
    """The registry's rules hold for the test as well: an index cannot name what its repository does not have."""
    image = oci_registry.push_image("one:1")
    with pytest.raises(ManifestBlobUnknown):
        oci_registry.push_index("other:1", [image])


def rows(oci: OciRegistry) -> dict[str, list[dict[str, Any]]]:
    """Every row of the registry, but for what time and chance decide."""
    from registry.db.schema import metadata

    with oci._registry.database.engine.connect() as connection:
        return {
            table.name: sorted(
                (
                    {key: timeless(value) for key, value in row.items() if not key.endswith("_us")}
                    for row in connection.execute(table.select()).mappings()
                ),
                key=str,
            )
            for table in metadata.sorted_tables
        }


def timeless(value: Any) -> Any:
    """A value; without its time, where it is an entry of the journal."""
    return re.sub(r'"at_us":\d+', '"at_us":0', value) if isinstance(value, str) else value


def push_as_client(oci: OciRegistry, image: Manifest, blobs: list[testing.Blob]) -> None:
    """Push what another registry holds, over HTTP."""
    with client(oci) as http:
        for blob in blobs:
            path = f"/v2/{image.repository}/blobs/uploads/?digest={blob.digest}"
            assert http.post(path, content=blob.content).status_code == 201
        path = f"/v2/{image.repository}/manifests/{image.tag}"
        headers = {"content-type": image.media_type}
        assert http.put(path, content=image.content, headers=headers).status_code == 201


def test_stored_as_by_a_client() -> None:
    """The rows after `push_image` are those after the same push by a client."""
    with testing.serve() as one, testing.serve() as other:
        image = one.push_image("team/app:1", layers=[{"a": "1"}, {"b": "2"}], annotations={"colour": "red"})
        push_as_client(other, image, [image.config, *image.layers])
        assert rows(one) == rows(other)
        assert rows(one)["tags"] != []


@given(st.binary(max_size=200_000))
def test_gzip(content: bytes) -> None:
    """Whatever is packed, every gzip unpacks it to the same."""
    assert gzip.decompress(made.gzip(content)) == content


@pytest.mark.parametrize("size", [0, 1, 65534, 65535, 65536, 131070, 131071])
def test_gzip_at_the_edges_of_its_blocks(size: int) -> None:
    """A block holds 65535 bytes; one more begins another."""
    assert gzip.decompress(made.gzip(bytes(size))) == bytes(size)


def test_an_image_is_a_value() -> None:
    """Images compare by what they are."""
    with testing.serve() as oci:
        image = oci.push_image("app:1")
        assert isinstance(image, Image)
        assert image.descriptor == {
            "mediaType": OCI_IMAGE,
            "digest": image.digest,
            "size": len(image.content),
        }
