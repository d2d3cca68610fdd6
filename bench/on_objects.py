"""This registry with its blobs in object storage: SeaweedFS on the same machine, which does not sync what it writes.

Rows are in SQLite, so that the store is all that differs from the registry with files.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.ours import ours
from bench.tools import STORAGE_CORE
from tests.s3 import running_s3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.servers import Command, Server
    from tests.s3 import S3Server


@contextmanager
def service() -> Iterator[S3Server]:
    """The object storage, on a core other than the registry's."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(STORAGE_CORE)})  # all threads of what is started now inherit it
    try:
        with running_s3() as server:
            os.sched_setaffinity(0, before)
            yield server
    finally:
        os.sched_setaffinity(0, before)


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
