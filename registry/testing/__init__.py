"""A real registry for the tests of other programs: in this process, in milliseconds, and able to misbehave.

pytest finds the fixtures by itself, `docs/testing.md` tells all about them. Without pytest:

>>> from registry import testing
>>> with testing.serve() as oci:
...     image = oci.push_image("team/app:1")
...     oci.tags("team/app")
['1']

Importing this costs nothing; what a registry needs is imported when one is started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from registry.testing.content import Artifact, Blob, File, Image, Index, Manifest
    from registry.testing.faults import Fault, Faults
    from registry.testing.oci_registry import OciRegistry
    from registry.testing.requests import Request, Requests
    from registry.testing.serving import Serving

__all__ = [
    "Artifact",
    "Blob",
    "Fault",
    "Faults",
    "File",
    "Image",
    "Index",
    "Manifest",
    "OciRegistry",
    "Request",
    "Requests",
    "Serving",
    "serve",
]

_MODULES = {
    **dict.fromkeys(("Artifact", "Blob", "File", "Image", "Index", "Manifest"), "content"),
    **dict.fromkeys(("Fault", "Faults"), "faults"),
    **dict.fromkeys(("Request", "Requests"), "requests"),
    "OciRegistry": "oci_registry",
    "Serving": "serving",
}


def serve(  # noqa: PLR0913 (one for each option)
    *,
    auth: Mapping[str, str] | None = None,
    tokens: bool = False,
    tls: bool = False,
    store: Literal["memory", "filesystem"] = "memory",
    persistent: bool | str | Path = False,
    database: str | None = None,
    latency: float = 0,
    read_only: bool = False,
    port: int = 0,
    settings: Mapping[str, object] | None = None,
) -> Serving:
    """A registry for a `with` or an `async with`, which give an OciRegistry that runs until the block ends.

    - `auth`: passwords by user name; without any, everybody may do everything.
    - `tokens`: clients are sent to a token endpoint (Bearer), as by Docker Hub, instead of being asked for their
      password at every request (Basic).
    - `tls`: HTTPS with a certificate for localhost and 127.0.0.1; needs `trustme`, which `registry[testing]` brings.
    - `store`: where blobs lie. Files cost more time, and can be looked at in `OciRegistry.directory`.
    - `persistent`: what was pushed is still there after `OciRegistry.restart()`; with a path, it lies there and stays
      there afterwards. Blobs are files then.
    - `database`: another than a SQLite of its own: `postgresql://...`.
    - `latency`: seconds that every request waits before anything happens.
    - `read_only`: clients may not push or delete (405 UNSUPPORTED); `push_image` and the like still do.
    - `port`: any free one, unless given.
    - `settings`: further keys of the registry's configuration: `{"deletion.enabled": False}`.

    >>> with serve(auth={"alice": "secret"}, latency=0.05) as oci:
    ...     oci.users
    {'alice': 'secret'}
    """
    from pathlib import Path

    from registry.testing.options import Options
    from registry.testing.serving import Serving

    return Serving(
        Options(
            auth={} if auth is None else auth,
            tokens=tokens,
            tls=tls,
            store="filesystem" if persistent else store,
            persistent=Path(persistent) if isinstance(persistent, str) else persistent,
            database=database,
            latency=latency,
            read_only=read_only,
            port=port,
            settings=settings or {},
        )
    )


def __getattr__(name: str) -> Any:  # noqa: ANN401 (any of the classes)
    """The classes, imported when they are asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
