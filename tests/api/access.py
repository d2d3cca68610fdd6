"""Users for the tests of access: a writer, another writer, and a reader."""

from __future__ import annotations

from pathlib import Path

import bcrypt

PASSWORDS = {"writer": "w-secret", "other": "o-secret", "reader": "r-secret"}


def users_file(folder: Path) -> Path:
    """An htpasswd file with PASSWORDS, hashed as cheaply as bcrypt can."""
    file = folder / "htpasswd"
    lines = [
        f"{name}:{bcrypt.hashpw(word.encode(), bcrypt.gensalt(4)).decode()}"
        for name, word in PASSWORDS.items()
    ]
    file.write_text("\n".join(lines) + "\n")
    return file
