"""Dependencies point one way. Read from the imports themselves, wherever in a file they stand."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(registry.__file__).parent

# What each room may import of ours, beside itself.
ROOMS = {
    "oci": set(),
    "policy": {"oci"},
    "storage": {"oci"},
    "db": {"oci"},
    "auth": {"oci"},
    "operations": {"policy", "storage", "db", "oci"},
    "api": {"operations", "auth", "oci"},
    "ui": {"operations", "auth", "oci"},
}
# Those who put it all together. The other modules beside them (configuration, logs, sockets ...) know no room.
BUILDERS = {"__main__", "app", "backups", "server", "terminal", "testing"}
# What is made of the whole registry, for others: nobody here may know it.
PRODUCTS = {"testing"}
# What every room may use that is not pure.
SHARED = {"threads", "logs"}
# Who alone may use a library.
LIBRARIES = {
    "starlette": {"api", "ui", "app", "testing"},
    "uvicorn": {"server", "protocol", "testing"},
    "sqlalchemy": {"db"},
    "psycopg": {"db"},
    "alembic": {"db"},
    "aiofiles": {"storage"},
    "obstore": {"storage"},
    "anyio": {"testing"},
    "pytest": {"testing"},
    "trustme": {"testing"},
    "botocore": {"storage"},
}
# Rooms without any input or output, and what would be some.
PURE = {"oci", "policy"}
INPUT_OUTPUT = {"asyncio", "io", "os", "pathlib", "shutil", "socket", "sqlite3", "subprocess", "tempfile"}


def imports(tree: ast.Module, package: str) -> Iterator[str]:
    """The full names that a module of `package` imports, `from a import b` as `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            yield from (".".join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names)


def violations(module: str, source: str) -> list[str]:
    """What a module (`api.manifests`, by its path below the package) imports or calls against the rules."""
    room = module.split(".", maxsplit=1)[0]
    package = ".".join(["registry", *module.split(".")[:-1]])
    tree = ast.parse(source)
    found = [f"{module} imports {name}" for name in imports(tree, package) if not allowed(room, name)]
    if room in PURE:
        calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
        found += [
            f"{module} calls open" for call in calls if isinstance(call, ast.Name) and call.id == "open"
        ]
    return found


def allowed(room: str, name: str) -> bool:
    """Whether a module in `room` may import `name`."""
    top, _, rest = name.partition(".")
    if top == "registry":
        return allowed_of_ours(room, rest.split(".")[0])
    return room in LIBRARIES.get(top, {room}) and not (room in PURE and top in INPUT_OUTPUT)


def allowed_of_ours(room: str, other: str) -> bool:
    """Whether a module in `room` may import from `other`, a room or a module beside the rooms."""
    if other in PRODUCTS:
        return room == other
    if room in BUILDERS or other in {room, "", "__version__"}:
        return True
    if room in ROOMS:
        return other in ROOMS[room] or (other in SHARED and room not in PURE)
    return other not in ROOMS and other not in BUILDERS


def modules() -> list[str]:
    """Every module of the package, by its path below it."""
    return [
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in sorted(PACKAGE.rglob("*.py"))
    ]


def test_every_folder_is_a_room() -> None:
    """A new folder has to say what it may import."""
    assert {module.split(".")[0] for module in modules() if "." in module} <= ROOMS.keys() | PRODUCTS


@pytest.mark.parametrize("module", modules())
def test_module_keeps_to_its_room(module: str) -> None:
    """A module imports only what its room may."""
    source = PACKAGE.joinpath(*module.split(".")).with_suffix(".py").read_text()
    assert violations(module, source) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("oci.digest", "from registry.policy import access"),
        ("oci.digest", "from registry import policy"),
        ("oci.digest", "import os"),
        ("policy.access", "def f():\n    return open('/etc/passwd')"),
        ("policy.access", "from registry.config import Config"),
        ("policy.access", "from registry.threads import in_thread"),
        ("db.blobs", "import registry.storage.filesystem"),
        ("db.blobs", "from ..storage import filesystem"),
        ("storage.filesystem", "from registry.db.blobs import find"),
        ("operations.blobs", "if TYPE_CHECKING:\n    from starlette.requests import Request"),
        ("operations.blobs", "def f():\n    import sqlalchemy.exc"),
        ("operations.blobs", "import aiofiles"),
        ("api.blobs", "from registry.db import blobs"),
        ("api.blobs", "from sqlalchemy import select"),
        ("api.blobs", "from .. import server"),
        ("app", "import uvicorn"),
        ("config", "from registry.app import build"),
        ("__main__", "from registry import testing"),
        ("app", "from registry.testing.application import application"),
        ("testing.thread", "import sqlalchemy"),
    ],
)
def test_violation_is_caught(module: str, source: str) -> None:
    """The rules find what is against them, however it is spelt."""
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("oci.digest", "import re\nfrom . import names\nfrom registry.oci.errors import DigestInvalid"),
        ("operations.blobs", "from registry.policy import access\nfrom ..db import blobs\nimport os"),
        ("api.base", "from registry import __version__\nfrom registry.operations.blobs import push"),
        ("app", "from starlette.routing import Router\nfrom registry.storage.filesystem import FileStore"),
        (
            "testing.thread",
            "import uvicorn\nfrom registry.app import build\nfrom registry.db.blobs import find",
        ),
    ],
)
def test_allowed_import_is_not_caught(module: str, source: str) -> None:
    """The rules leave alone what keeps to them."""
    assert violations(module, source) == []
