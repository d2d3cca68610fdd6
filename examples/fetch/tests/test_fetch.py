"""The fetcher, against a registry that is good, busy, or cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fetch import Fetcher, FetchError

if TYPE_CHECKING:
    from pathlib import Path

    from registry.testing import Image, OciRegistry


class MendedFetcher(Fetcher):
    """The fetcher without its bug."""

    def advance(self, piece: bytes) -> int:
        """As far as the piece is long."""
        return len(piece)


both = pytest.mark.parametrize("fetcher", [Fetcher, MendedFetcher])


@pytest.fixture
def image(oci_registry: OciRegistry) -> Image:
    """Give an image with a layer of 50 kB."""
    return oci_registry.push_image("team/app:1", layers=[50_000])


def fetched(fetcher: type[Fetcher], oci: OciRegistry, image: Image, target: Path) -> bytes:
    """What a fetcher has fetched of the image's layer."""
    fetcher(oci.url).fetch(image.repository, image.layers[0].digest, target)
    return target.read_bytes()


@both
def test_a_layer(fetcher: type[Fetcher], oci_registry: OciRegistry, image: Image, tmp_path: Path) -> None:
    """On a quiet line the layer comes in one request."""
    assert fetched(fetcher, oci_registry, image, tmp_path / "layer") == image.layers[0].content
    oci_registry.requests.assert_count(1)


@both
def test_busy(fetcher: type[Fetcher], oci_registry: OciRegistry, image: Image, tmp_path: Path) -> None:
    """A registry that is busy is asked again, after the time that it wants."""
    oci_registry.faults.on("GET").answer(429, retry_after=0).times(2)
    assert fetched(fetcher, oci_registry, image, tmp_path / "layer") == image.layers[0].content
    assert oci_registry.requests.statuses == [429, 429, 200]


@both
def test_busy_for_ever(
    fetcher: type[Fetcher], oci_registry: OciRegistry, image: Image, tmp_path: Path
) -> None:
    """Patience has an end."""
    oci_registry.faults.on("GET").answer(503)
    with pytest.raises(FetchError, match="gave up after 5 tries"):
        fetched(fetcher, oci_registry, image, tmp_path / "layer")
    oci_registry.requests.assert_count(5)


@both
def test_corrupt(fetcher: type[Fetcher], oci_registry: OciRegistry, image: Image, tmp_path: Path) -> None:
    """A layer with one changed byte is noticed."""
    oci_registry.faults.on("GET", blob=image.layers[0].digest).corrupt(25_000)
    with pytest.raises(FetchError, match="what came hashes to"):
        fetched(fetcher, oci_registry, image, tmp_path / "layer")


@both
def test_missing(fetcher: type[Fetcher], oci_registry: OciRegistry, tmp_path: Path) -> None:
    """What is not there is not asked for twice."""
    with pytest.raises(FetchError, match="the registry says 404"):
        fetcher(oci_registry.url).fetch("team/app", f"sha256:{'0' * 64}", tmp_path / "layer")
    oci_registry.requests.assert_count(1)


@both
def test_reset(fetcher: type[Fetcher], oci_registry: OciRegistry, image: Image, tmp_path: Path) -> None:
    """A connection that breaks takes with it what was not yet read; the rest is asked for again."""
    oci_registry.faults.on("GET", blob=image.layers[0].digest).reset_after(10_000).times(2)
    assert fetched(fetcher, oci_registry, image, tmp_path / "layer") == image.layers[0].content
    oci_registry.requests.assert_count(3)


@pytest.mark.parametrize(
    "fetcher",
    [
        pytest.param(Fetcher, marks=pytest.mark.xfail(raises=FetchError, reason="the planted bug")),
        MendedFetcher,
    ],
)
def test_resume(fetcher: type[Fetcher], oci_registry: OciRegistry, image: Image, tmp_path: Path) -> None:
    """A download that was cut off goes on where it was: only this test finds the bug."""
    oci_registry.faults.on("GET", blob=image.layers[0].digest).cut_after(10_000).times(2)
    assert fetched(fetcher, oci_registry, image, tmp_path / "layer") == image.layers[0].content
    ranges = [request.headers.get("range") for request in oci_registry.requests]
    assert ranges == [None, "bytes=10000-", "bytes=20000-"]
    oci_registry.faults.assert_struck()
