"""The user who measures where everybody has to log in."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import bcrypt

if TYPE_CHECKING:
    from pathlib import Path

_NAME, _WORD = "bench", "bench-is-no-secret"
_ROUNDS = 5  # what `htpasswd -B` does when not told otherwise
AUTHORIZATION = "Basic " + base64.b64encode(f"{_NAME}:{_WORD}".encode()).decode()


def write(folder: Path) -> Path:
    """An htpasswd file with that user."""
    file = folder / "htpasswd"
    hashed = bcrypt.hashpw(_WORD.encode(), bcrypt.gensalt(_ROUNDS, prefix=b"2b")).decode()
    file.write_text(f"{_NAME}:{hashed.replace('$2b$', '$2y$', 1)}\n")
    return file
