"""cosign, in two generations: signatures and attestations with a local key, without a transparency log."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from .images import image
from .registry_view import Registry
from .tools import Client, client


@dataclass(frozen=True)
class Signer:
    """cosign with the options that its generation has for a private registry and no transparency log."""

    cosign: Client
    signing: tuple[str, ...]
    verifying: tuple[str, ...]

    def sign(self, verb: str, name: str, *options: str) -> None:
        """Sign or attest with the key."""
        self.cosign(
            verb, "--yes", *self.signing, "--allow-http-registry", "--key", "cosign.key", *options, name
        )

    def verify(
        self, verb: str, name: str, *options: str, key: str = "cosign.pub", fails: bool = False
    ) -> str:
        """Verify with a public key; return what cosign said."""
        ask = self.cosign.refused if fails else self.cosign
        return ask(verb, *self.verifying, "--allow-http-registry", "--key", key, *options, name)


OPTIONS = {
    "trixie": (("--tlog-upload=false",), ("--private-infrastructure", "--insecure-ignore-tlog")),
    "forky": (
        ("--use-signing-config=false", "--tlog-upload=false", "--new-bundle-format=true"),
        ("--private-infrastructure", "--new-bundle-format=true"),
    ),
}


@pytest.fixture(params=["trixie", "forky"])
def signer(request: pytest.FixtureRequest, home: Path) -> Signer:
    """Give cosign 2.5 (signatures under tags) and 3.1 (bundles as referrers), with a key pair."""
    cosign = client(f"{request.param}/usr/bin/cosign", home).having(COSIGN_PASSWORD="secret")
    cosign("generate-key-pair")
    return Signer(cosign, *OPTIONS[request.param])


@pytest.fixture
def signed(skopeo: Client, registry_server: Registry, repository: str) -> str:
    """Give the name, by digest, of a multi-arch index that nobody has signed yet."""
    place = f"{registry_server.host}/{repository}"
    skopeo("copy", "--all", image("busybox-multi").layout, f"docker://{place}:1")
    return f"{place}@{image('busybox-multi').digest}"


@pytest.mark.everywhere
def test_sign_and_verify(signer: Signer, signed: str) -> None:
    """What was signed verifies, for its digest; before that, and with another key, nothing does."""
    signer.verify("verify", signed, fails=True)
    signer.sign("sign", signed)
    (claim,) = json.loads(signer.verify("verify", signed))
    assert claim["critical"]["image"]["docker-manifest-digest"] == image("busybox-multi").digest
    signer.cosign("generate-key-pair", "--output-key-prefix", "other")
    signer.verify("verify", signed, key="other.pub", fails=True)


def test_attest_and_verify(signer: Signer, signed: str, home: Path) -> None:
    """An attestation beside a signature verifies and holds what was attested."""
    (home / "predicate.json").write_text('{"tested": "yes"}')
    signer.sign("sign", signed)
    signer.sign("attest", signed, "--type", "custom", "--predicate", "predicate.json")
    signer.verify("verify", signed)
    signer.verify("verify-attestation", signed, "--type", "custom")
    signer.cosign("tree", "--allow-http-registry", signed)


def test_the_signed_image_is_untouched(
    signer: Signer, signed: str, registry_server: Registry, repository: str
) -> None:
    """A signature lies beside the image, complete, and leaves the image as it was."""
    signer.sign("sign", signed)
    assert registry_server.complete(repository, "1").digest == image("busybox-multi").digest
    for tag in registry_server.tags(repository):
        registry_server.complete(repository, tag)


@pytest.mark.parametrize("signer", ["forky"], indirect=True)
def test_a_bundle_is_a_referrer(
    signer: Signer, signed: str, registry_server: Registry, repository: str
) -> None:
    """The newer cosign's signature is listed by the referrers API and needs no tag."""
    signer.sign("sign", signed)
    assert registry_server.tags(repository) == ["1"]
    referrers = registry_server.get(f"{repository}/referrers/{image('busybox-multi').digest}").json()
    (listed,) = referrers["manifests"]
    bundle = registry_server.complete(repository, listed["digest"])
    assert bundle.document["artifactType"].startswith("application/vnd.dev.sigstore.bundle")
