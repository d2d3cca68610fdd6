"""A certificate authority that lives as long as the process, and what it signs for a registry on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from trustme import CA, LeafCert


@dataclass(frozen=True)
class CertificateFiles:
    """PEM files; `authority` is what clients have to trust."""

    certificate: Path
    key: Path
    authority: Path


def write(folder: Path) -> CertificateFiles:
    """The files of a certificate for this machine."""
    authority, issued = _authority()
    files = CertificateFiles(folder / "certificate.pem", folder / "key.pem", folder / "ca.pem")
    for part in issued.cert_chain_pems:
        part.write_to_path(files.certificate, append=True)
    issued.private_key_pem.write_to_path(files.key)
    authority.cert_pem.write_to_path(files.authority)
    return files


@cache
def _authority() -> tuple[CA, LeafCert]:
    try:
        import trustme
    except ImportError as error:
        raise ImportError("TLS needs trustme: pip install 'registry[testing]'") from error
    authority = trustme.CA()
    return authority, authority.issue_cert("localhost", "127.0.0.1", "::1")
