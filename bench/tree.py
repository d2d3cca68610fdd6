"""The folders in which distribution keeps as many tags and repositories as full.py says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bench import full
from bench.tools import tools_folder

if TYPE_CHECKING:
    from pathlib import Path


def link_tree(folder: Path) -> None:
    """One tree serves both versions of distribution, and every run: to make it takes long, to remove it longer."""
    tree = tools_folder() / "tree-of-distribution"
    if not tree.exists():
        growing = tree.with_suffix(f".{os.getpid()}")
        write_tree(growing / "docker" / "registry" / "v2")
        growing.rename(tree)
    (folder / "data").symlink_to(tree)


def write_tree(root: Path) -> None:
    """One manifest, and everything that points to it."""
    algorithm, _, encoded = full.DIGEST.partition(":")
    blob = root / "blobs" / algorithm / encoded[:2] / encoded
    blob.mkdir(parents=True)
    (blob / "data").write_bytes(full.MANIFEST)
    for count in full.TAGS:
        repository = root / "repositories" / full.tagged(count)
        _write_link(repository / "_manifests" / "revisions" / algorithm / encoded)
        _write_tags(repository / "_manifests" / "tags", count)
        (repository / "_layers").mkdir()
    for name in full.repositories():
        (root / "repositories" / name / "_layers").mkdir(
            parents=True
        )  # by which the catalog knows a repository


def _write_tags(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        tag = folder / full.tag(number)
        tag.mkdir()
        _write_link(tag / "current")


def _write_link(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "link").write_text(full.DIGEST)
