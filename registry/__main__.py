"""The command line. Imports what a command needs when it runs, so that `--version` and `--help` answer at once."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from registry.terminal import (
    COULD_NOT,
    ConfigFile,
    Data,
    DatabaseUrl,
    conclude,
    load,
    load_and_log,
    plain_errors,
    progress,
    tell,
    told,
)

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
  registry backup --data ./data FILE         the database as one file; restore makes a database of it

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

Deep = Annotated[bool, typer.Option("--deep", help="Read every blob and compare it with its digest.")]
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
    with plain_errors():
        loaded = load(config, data, database_url, flags)
        from registry import server

        status = server.serve(loaded)
    raise typer.Exit(status)


@app.command(name="config")
def show_config(*, config: ConfigFile = None, data: Data = None, database_url: DatabaseUrl = None) -> None:
    """Show the effective configuration as YAML, secrets masked; fails with all mistakes there are.

    Where a password is masked, the first line says so: as a file of its own this would need it put back.
    """
    with plain_errors():
        loaded = load(config, data, database_url)
        import yaml

        if loaded.has_secrets:
            typer.echo(MASKED)
        typer.echo(yaml.safe_dump(loaded.masked(), sort_keys=False, allow_unicode=True), nl=False)


@app.command()
def migrate(*, config: ConfigFile = None, data: Data = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database's schema up to date; safe beside running servers."""
    with plain_errors():
        loaded = load_and_log(config, data, database_url)
        from registry.app import prepare

        typer.echo(prepare(loaded))


@app.command()
def check(
    *,
    config: ConfigFile = None,
    data: Data = None,
    database_url: DatabaseUrl = None,
    deep: Deep = False,
) -> None:
    """Verify that everything the database promises is there; works beside a running server.

    Exit status 0: all is well; 1: there are problems, one on each line; 2: the configuration is wrong; 3: it could not
    be checked, for example since the database does not answer.
    """
    with plain_errors(COULD_NOT):
        loaded = load_and_log(config, data, database_url)
        from registry.app import check as check_everything

        with progress() as show:
            report = check_everything(loaded, deep, show)
    tell("note", report.notes)
    tell("problem", report.problems)
    conclude("checked", report.counts, len(report.problems))


@app.command()
def backup(
    target: Annotated[str, typer.Argument(metavar="FILE", help="Where to; - is standard output.")],
    *,
    config: ConfigFile = None,
    data: Data = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write what the database says at one moment to a file; works beside running servers.

    The bytes of the blobs are not in it: copy them afterwards. The file has its name once it is whole and on disk.
    Exit status 0: it is; 1: it is not; 2: the configuration is wrong.
    """
    with plain_errors():
        loaded = load_and_log(config, data, database_url)
        from registry.backups import backup as back_up

        with progress() as show:
            counts = back_up(loaded, None if target == "-" else Path(target), show)
    typer.echo(f"backed up {told(counts)}", err=target == "-")


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="What registry backup wrote.")],
    *,
    config: ConfigFile = None,
    data: Data = None,
    database_url: DatabaseUrl = None,
    deep: Deep = False,
) -> None:
    """Fill an empty database from a backup, and see whether the store has all that it names.

    The file is verified before anything is written. Let no server use the database before this has ended.

    Exit status 0: all is there; 1: something is missing or wrong, one thing on each line; 2: the configuration is
    wrong; 3: it could not be restored, for example since the file is damaged or the database is not empty.
    """
    with plain_errors(COULD_NOT):
        loaded = load_and_log(config, data, database_url)
        from registry.backups import restore as restore_from

        with progress() as show:
            restored, checked = restore_from(loaded, source, show, deep=deep)
    tell("refused", restored.refused)
    tell("missing", restored.missing)
    tell("problem", checked.problems)
    tell("note", checked.notes)
    found = len(restored.refused) + len(restored.missing) + len(checked.problems)
    conclude("restored", restored.counts, found)


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

    Repositories, manifests and tags are as they were; blobs stay where they are. Let no server use the database before
    this has ended.

    Exit status 0: all is there; 1: something is missing or wrong, one thing on each line; 2: the configuration is
    wrong; 3: it could not be rebuilt, for example since the database is not empty.
    """
    with plain_errors(COULD_NOT):
        loaded = load_and_log(config, data, database_url)
        from registry.backups import rebuild as rebuild_all

        since = before.replace(tzinfo=UTC).timestamp() if before else None
        with progress() as show:
            rebuilt, checked = rebuild_all(loaded, since, show)
    tell("problem", rebuilt.problems + checked.problems)
    tell("note", checked.notes)
    tell("from", [f"{rebuilt.source} and {rebuilt.entries} entries of the journal"])
    conclude("rebuilt", rebuilt.restored.counts, len(rebuilt.problems + checked.problems))


def main() -> None:
    """The `registry` command."""
    app(prog_name="registry")


if __name__ == "__main__":
    main()
