"""What the commands of the command line share: options, statuses, how errors and progress are told.

Imports as little as `__main__` does.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from registry.config import Config

FAILED, PROBLEMS, MISUSE, COULD_NOT = 1, 1, 2, 3
"""Exit statuses. A command that finds problems tells them from its own failure: COULD_NOT."""

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="REGISTRY_CONFIG", help="YAML file; see config.example.yaml."),
]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of blobs and SQLite database (storage.directory).")
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        help="postgresql://... or sqlite:///FILE (database.url); a password is safer in REGISTRY_DATABASE__URL.",
    ),
]


def load(
    file: Path | None, data: Path | None, database_url: str | None, flags: Mapping[str, object] | None = None
) -> "Config":
    """The configuration of files, environment and these options; `flags` are more of them, by their keys."""
    from registry import config

    return config.load(file, {"storage.directory": data, "database.url": database_url, **(flags or {})})


def load_and_log(file: Path | None, data: Path | None, database_url: str | None) -> "Config":
    """As `load`, for a command that logs."""
    from registry import logs

    loaded = load(file, data, database_url)
    logs.configure(loaded.log.level, loaded.log.format)
    return loaded


@contextmanager
def plain_errors(status: int = FAILED) -> Iterator[None]:
    """What an operator can mend is said in plain lines, a fault of ours with its traceback; both end with `status`."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends with a status of ours
        from registry.config import ConfigError

        if isinstance(error, ConfigError):
            _complain("the configuration is wrong:", *error.mistakes)
            raise typer.Exit(MISUSE) from None
        if lines := _explained(error):
            _complain(*lines)
        else:
            traceback.print_exc()
        raise typer.Exit(status) from None


def tell(kind: str, lines: Iterable[str]) -> None:
    """What a command has found, one thing on each line."""
    for line in lines:
        typer.echo(f"{kind}: {line}")


def told(counts: Mapping[str, int]) -> str:
    """Counts in words."""
    return ", ".join(f"{count} {what}" for what, count in counts.items()) or "nothing"


def conclude(done: str, counts: Mapping[str, int], problems: int) -> NoReturn:
    """End with what was done to how much, and PROBLEMS where there were some."""
    typer.echo(f"{done} {told(counts)}: {problems or 'no'} {'problem' if problems == 1 else 'problems'}")
    raise typer.Exit(PROBLEMS if problems else 0)


def _explained(error: Exception) -> list[str]:
    from registry.oci.errors import RegistryError
    from registry.operations.backup import NotEmpty
    from registry.operations.backup_file import BackupInvalid
    from registry.operations.rebuilding import CannotRebuild
    from registry.server import explained

    if isinstance(error, RegistryError):
        return [error.message]
    plain = isinstance(error, BackupInvalid | CannotRebuild | NotEmpty)
    return [str(error)] if plain else explained(error)


def _complain(first: str, *lines: str) -> None:
    typer.echo("\n  ".join([f"registry: {first}", *lines]), err=True)


@contextmanager
def progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """A bar on the terminal for each step; takes (step, done, total or None when unknown)."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = {}

        def show(step: str, done: int, total: int | None) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield show
