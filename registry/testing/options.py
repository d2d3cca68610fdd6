"""What a test asks of its registry, and the registry's configuration that results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import bcrypt

from registry.keys import Config

if TYPE_CHECKING:
    from pathlib import Path

    from registry.testing.certificates import CertificateFiles

_BCRYPT_COST = 4  # the least there is: these passwords are in the test's own source
_PASSWORD_BYTES_MAX = 72
_KEEP_ALIVE_SECONDS = 3600  # a debugger may stop a test for long


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of `registry.testing.serve`, which explains them."""

    auth: Mapping[str, str]
    tokens: bool
    tls: bool
    store: Literal["memory", "filesystem"]
    persistent: bool | Path
    database: str | None
    latency: float
    read_only: bool
    port: int
    settings: Mapping[str, object]

    def __post_init__(self) -> None:
        """TypeError or ValueError for users that nobody could log in as, and numbers that make no sense."""
        if not isinstance(self.auth, Mapping):
            raise TypeError(
                f"auth must be passwords by user name, as in {{'alice': 'secret'}}, not {self.auth!r}"
            )
        for name, password in self.auth.items():
            _check_user(name, password)
        if self.latency < 0:
            raise ValueError(f"latency must be 0 or more seconds, not {self.latency}")


@dataclass(frozen=True)
class Places:
    """Where a start of the registry finds its files: `data` for rows and blobs, the others where they are wanted."""

    data: Path
    users: Path | None
    certificate: CertificateFiles | None


def config_of(options: Options, places: Places, port: int) -> Config:
    """The configuration; unlike the command line's, it does not look at the environment."""
    certificate = places.certificate
    return Config.model_validate(
        nested(
            {
                "http.host": "127.0.0.1",
                "http.port": port,
                "http.keep_alive_seconds": _KEEP_ALIVE_SECONDS,
                "http.tls.certificate_file": certificate and certificate.certificate,
                "http.tls.key_file": certificate and certificate.key,
                "auth.htpasswd.file": places.users,
                "storage.kind": options.store,
                "storage.directory": places.data,
                "database.url": options.database or f"sqlite:///{places.data / 'registry.db'}",
                **options.settings,
            }
        )
    )


def nested(settings: Mapping[str, object]) -> dict[str, Any]:
    """Settings by dotted key, section by section.

    >>> nested({"http.port": 0, "http.host": "::1"})
    {'http': {'port': 0, 'host': '::1'}}
    """
    result: dict[str, Any] = {}
    for path, value in settings.items():
        *sections, key = path.split(".")
        section = result
        for name in sections:
            section = section.setdefault(name, {})
        section[key] = value
    return result


def _check_user(name: object, password: object) -> None:
    if not isinstance(name, str) or not isinstance(password, str):
        raise TypeError(f"user names and passwords must be str: {name!r}")
    if not name or ":" in name or not name.isprintable():
        raise ValueError(f"no user can have this name: {name!r}")
    if len(password.encode()) > _PASSWORD_BYTES_MAX:
        raise ValueError(
            f"the password of {name!r} has more than the {_PASSWORD_BYTES_MAX} bytes that bcrypt takes"
        )


def write_users(file: Path, users: Mapping[str, str]) -> Path:
    """The users as an htpasswd file; where it is."""
    lines = [
        f"{name}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(_BCRYPT_COST)).decode()}\n"
        for name, password in users.items()
    ]
    file.write_text("".join(lines), encoding="utf-8")
    return file
