"""The command line. Imports what a command needs when it runs, so that `--version` and `--help` answer at once."""

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from registry.config import Config
    from registry.operations.check import CheckReport

FAILED, PROBLEMS, MISUSE, NOT_CHECKED = 1, 1, 2, 3

MASKED = (
    "# The password in database.url is not shown, but ***: before this is used as a file, put it back,"
    " or give the URL as REGISTRY_DATABASE__URL."
)

EXAMPLES = """
\b
Try it:
  registry serve
  docker tag debian:10 localhost:5000/debian:10
  docker push localhost:5000/debian:10

\b
With a file, and for other machines:
  htpasswd -Bc users alice                   a user (bcrypt)
  registry config > registry.yaml            every key, with its default: set auth.htpasswd.file to users
  registry serve --config registry.yaml --host 0.0.0.0

\b
Every key can be set by environment too, its path in capitals with "__" between:
  REGISTRY_HTTP__PORT=8080 registry serve    REGISTRY_AUTH__HTPASSWD__READERS=bob,carol
The command line wins over the environment, that over the file, that over the defaults.

\b
Beside a running server:
  registry check --data ./data               is every blob and manifest whole?

The keys are explained in config.example.yaml, and all else in the README.
"""

app = typer.Typer(
    name="registry",
    help="A container registry: docker push localhost:5000/debian:10.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: no import of rich, and our line breaks are kept
    pretty_exceptions_enable=False,  # they show local variables, among them passwords
    context_settings={"help_option_names": ["-h", "--help"]},
)

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
Host = Annotated[str | None, typer.Option("--host", help="Address to listen on (http.host).")]
Port = Annotated[int | None, typer.Option("--port", "-p", help="Port, 0 for any free one (http.port).")]
Workers = Annotated[int | None, typer.Option("--workers", help="Server processes (http.workers).")]
LogLevel = Annotated[str | None, typer.Option("--log-level", help="debug, info, warning, error (log.level).")]
LogFormat = Annotated[str | None, typer.Option("--log-format", help="auto, console, json (log.format).")]


def _print_version(wanted: bool) -> None:  # noqa: FBT001 (typer's calling convention)
    if wanted:
        from registry import __version__

        typer.echo(f"registry {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit."),
    ] = False,
) -> None:
    del version  # its callback did it


@app.command()
def serve(  # noqa: PLR0913 (one for each option)
    *,
    config: ConfigFile = None,
    host: Host = None,
    port: Port = None,
    data: Data = None,
    database_url: DatabaseUrl = None,
    workers: Workers = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> None:
    """Start the server; with no option on 127.0.0.1:5000, its data in ./data.

    Prints where it listens and a docker push line to try once it is ready. SIGTERM stops it, after running requests.
    """
    flags = {
        "http.host": host,
        "http.port": port,
        "http.workers": workers,
        "log.level": log_level,
        "log.format": log_format,
    }
    with _plain_errors():
        loaded = _load(config, data, database_url, flags)
        from registry import server

        status = server.serve(loaded)
    raise typer.Exit(status)


@app.command(name="config")
def show_config(*, config: ConfigFile = None, data: Data = None, database_url: DatabaseUrl = None) -> None:
    """Show the effective configuration as YAML, secrets masked; fails with all mistakes there are.

    Where a password is masked, the first line says so: as a file of its own this would need it put back.
    """
    with _plain_errors():
        loaded = _load(config, data, database_url)
        import yaml

        if loaded.has_secrets:
            typer.echo(MASKED)
        typer.echo(yaml.safe_dump(loaded.masked(), sort_keys=False, allow_unicode=True), nl=False)


@app.command()
def migrate(*, config: ConfigFile = None, data: Data = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database's schema up to date; safe beside running servers."""
    with _plain_errors():
        loaded = _load_and_log(config, data, database_url)
        from registry.app import prepare

        typer.echo(prepare(loaded))


@app.command()
def check(
    *,
    config: ConfigFile = None,
    data: Data = None,
    database_url: DatabaseUrl = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every blob and compare it with its digest.")
    ] = False,
) -> None:
    """Verify that everything the database promises is there; works beside a running server.

    Exit status 0: all is well; 1: there are problems, one on each line; 2: the configuration is wrong; 3: it could not
    be checked, for example since the database does not answer.
    """
    with _plain_errors(NOT_CHECKED):
        loaded = _load_and_log(config, data, database_url)
        from registry.app import check as check_everything

        with _progress() as progress:
            report = check_everything(loaded, deep, progress)
    _tell(report)
    raise typer.Exit(PROBLEMS if report.problems else 0)


@app.command()
def rebuild(
    *,
    config: ConfigFile = None,
    data: Data = None,
    database_url: DatabaseUrl = None,
    before: Annotated[
        datetime | None,
        typer.Option("--before", help="Begin with a snapshot that was saved before this time (UTC)."),
    ] = None,
) -> None:
    """Fill an empty database with what the store tells of itself, after the one before was lost.

    Repositories, manifests and tags are as they were; blobs stay where they are. Stop all servers before.

    Exit status 0: all is well; 1: something is missing, one on each line; 2: the configuration is wrong; 3: it could
    not be rebuilt, for example since the database is not empty.
    """
    with _plain_errors(NOT_CHECKED):
        loaded = _load_and_log(config, data, database_url)
        from registry.app import rebuild as rebuild_all

        since = before.replace(tzinfo=UTC).timestamp() if before else None
        with _progress() as progress:
            rebuilt, checked = rebuild_all(loaded, since, progress)
    for problem in rebuilt.problems:
        typer.echo(f"problem: {problem}")
    typer.echo(f"rebuilt from {rebuilt.source} and {rebuilt.entries} entries of the journal")
    _tell(checked)
    raise typer.Exit(PROBLEMS if rebuilt.problems or checked.problems else 0)


def _tell(report: "CheckReport") -> None:
    for note in report.notes:
        typer.echo(f"note: {note}")
    for problem in report.problems:
        typer.echo(f"problem: {problem}")
    counted = ", ".join(f"{count} {what}" for what, count in report.counts.items())
    found = len(report.problems)
    typer.echo(f"checked {counted or 'nothing'}: {found or 'no'} {'problem' if found == 1 else 'problems'}")


def _load(
    file: Path | None, data: Path | None, database_url: str | None, flags: Mapping[str, object] | None = None
) -> "Config":
    from registry.config import load

    return load(file, {"storage.directory": data, "database.url": database_url, **(flags or {})})


def _load_and_log(file: Path | None, data: Path | None, database_url: str | None) -> "Config":
    from registry import logs

    loaded = _load(file, data, database_url)
    logs.configure(loaded.log.level, loaded.log.format)
    return loaded


@contextmanager
def _plain_errors(status: int = FAILED) -> Iterator[None]:
    """What an operator can mend is said in plain lines, a fault of ours with its traceback; both end with `status`."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends with a status of ours
        from registry.config import ConfigError
        from registry.server import explained

        if isinstance(error, ConfigError):
            _complain("the configuration is wrong:", *error.mistakes)
            raise typer.Exit(MISUSE) from None
        if lines := explained(error):
            _complain(*lines)
        else:
            traceback.print_exc()
        raise typer.Exit(status) from None


def _complain(first: str, *lines: str) -> None:
    typer.echo("\n  ".join([f"registry: {first}", *lines]), err=True)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int | None], None]]:
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


def main() -> None:
    """The `registry` command."""
    app(prog_name="registry")


if __name__ == "__main__":
    main()
