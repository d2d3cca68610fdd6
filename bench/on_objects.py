"""This registry with its blobs in object storage: SeaweedFS on the same machine, which does not sync what it writes.

Rows are in SQLite, so that the store is all that differs from the registry with files.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bench.ours import ours
from bench.tools import STORAGE_CORE, starting_on
from tests.s3 import running_s3

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from bench.servers import Command, Server
    from tests.s3 import S3Server


def service(stack: ExitStack) -> S3Server:
    """The object storage, on a core other than the registry's."""
    with starting_on(STORAGE_CORE):
        return stack.enter_context(running_s3())


def on_objects(name: str, checkout: Path, started: Callable[[], S3Server], redirect: str) -> Server:
    """A checkout whose blobs are there; each folder has a prefix of its own. `redirect`: always or never."""
    server = ours(name, checkout)

    def command(folder: Path, port: int) -> Command:
        storage, inner = started(), server.command(folder, port)
        settings = {**storage.settings(), "storage.objects.redirect": redirect}
        variables = {_variable(key): str(value) for key, value in settings.items()}
        environment = {**inner.environment, **storage.environment, **variables}
        return replace(inner, environment=environment, storage=(storage.pid,))

    return replace(server, command=command, fill=None, grow=None)


def _variable(key: str) -> str:
    return "REGISTRY_" + key.upper().replace(".", "__")
