"""The command line. Imports what a command needs when it runs, so that `--version` and `--help` answer at once."""

from typing import Annotated

import typer

from registry.terminal import (
    COULD_NOT,
    PROBLEMS,
    ConfigFile,
    Data,
    DatabaseUrl,
    load,
    load_and_log,
    plain_errors,
    progress,
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
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every blob and compare it with its digest.")
    ] = False,
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
    for note in report.notes:
        typer.echo(f"note: {note}")
    for problem in report.problems:
        typer.echo(f"problem: {problem}")
    counted = ", ".join(f"{count} {what}" for what, count in report.counts.items())
    found = len(report.problems)
    typer.echo(f"checked {counted or 'nothing'}: {found or 'no'} {'problem' if found == 1 else 'problems'}")
    raise typer.Exit(PROBLEMS if found else 0)


def main() -> None:
    """The `registry` command."""
    app(prog_name="registry")


if __name__ == "__main__":
    main()
