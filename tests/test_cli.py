"""The command line, as a person or a script uses it: output, exit status, no tracebacks."""

import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from registry import __version__
from registry.config import Config
from registry.oci.media_types import OCI_IMAGE

PROJECT = Path(__file__).parents[1]
DEADLINE_SECONDS = 60
NO_DATABASE = "postgresql://bob:s3cret@127.0.0.1:1/none"  # nothing listens on port 1


def command(*arguments: str, **variables: str) -> list[str]:
    """The command with an environment that holds only these variables of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    settings = [
        f"{name}={value}" for name, value in (kept | {"PYTHONPATH": str(PROJECT)} | variables).items()
    ]
    return ["env", "-i", *settings, sys.executable, "-m", "registry", *arguments]


def registry(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    run = command(*arguments, **variables)
    return subprocess.run(run, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `registry serve` on a free port; gives the process and what it said once it was ready."""
    with subprocess.Popen(
        command("serve", "--port", "0", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout
            said = ""
            while "docker push" not in said:
                line = process.stdout.readline()
                assert line, process.communicate()[1]
                said += line
            yield process, said
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def address(said: str) -> str:
    """Where the server said it listens."""
    found = re.search(r"http://\S+", said)
    assert found, said
    return found[0]


def push_blob(url: str, content: bytes) -> None:
    """Push one blob."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    headers = {"content-type": "application/octet-stream"}
    answer = httpx.post(
        f"{url}/v2/a/blobs/uploads/?digest={digest}", content=content, headers=headers, trust_env=False
    )
    assert answer.status_code == 201, answer.text


def blob_file(data: Path, content: bytes) -> Path:
    """The file that holds the blob."""
    files = [path for path in data.rglob("*") if path.is_file() and path.stat().st_size == len(content)]
    [file] = [path for path in files if path.read_bytes() == content]
    return file


# --- words ---


def test_version() -> None:
    """`--version` names the version."""
    assert registry("--version").stdout == f"registry {__version__}\n"


def test_version_is_quick() -> None:
    """`--version` and `--help` load no server, no database and no rich."""
    code = "import sys, registry.__main__; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=True
    )
    heavy = {"pydantic", "sqlalchemy", "alembic", "uvicorn", "starlette", "structlog", "rich", "asyncio"}
    assert not heavy & set(loaded.stdout.split())


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help(arguments: list[str]) -> None:
    """Help shows the commands, and what to type first."""
    run = registry(*arguments)
    text = run.stdout + run.stderr
    for words in (
        "serve",
        "config",
        "migrate",
        "check",
        "backup",
        "restore",
        "docker push localhost:5000/debian:10",
        "REGISTRY_HTTP__PORT=",
    ):
        assert words in text


@pytest.mark.parametrize("name", ["serve", "config", "migrate", "check", "backup", "restore"])
def test_help_of_a_command(name: str) -> None:
    """Every command tells what it does, with which options."""
    run = registry(name, "--help")
    assert run.returncode == 0
    assert "--config" in run.stdout


# --- configuration ---


def test_config_shows_defaults() -> None:
    """`registry config` prints every key as YAML, which is itself a configuration."""
    run = registry("config")
    assert run.returncode == 0
    assert Config.model_validate(yaml.safe_load(run.stdout)) == Config()
    assert "#" not in run.stdout


def test_config_shows_what_is_effective(tmp_path: Path) -> None:
    """It shows what results from file, environment and flags, with the password masked."""
    file = tmp_path / "registry.yaml"
    file.write_text("http: {port: 7, workers: 3}")
    url = "postgresql://bob:s3cret@host/db"
    run = registry("config", "--data", "/data", REGISTRY_CONFIG=str(file), REGISTRY_DATABASE__URL=url)
    shown = yaml.safe_load(run.stdout)
    assert (shown["http"]["port"], shown["http"]["workers"]) == (7, 3)
    assert shown["storage"]["directory"] == "/data"
    assert shown["database"]["url"] == "postgresql://bob:***@host/db"
    assert run.stdout.startswith("# The password in database.url is not shown")


@pytest.mark.parametrize("name", ["serve", "config", "migrate", "check", "backup FILE", "restore FILE"])
def test_wrong_configuration(tmp_path: Path, name: str) -> None:
    """All mistakes are listed on stderr, without a traceback, and the exit status is 2."""
    file = tmp_path / "registry.yaml"
    file.write_text("http: {prot: 7}")
    run = registry(*name.split(), "--config", str(file), REGISTRY_LOG__LEVEL="loud")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.splitlines() == [
        "registry: the configuration is wrong:",
        "  http.prot: unknown key, did you mean http.port?",
        "  log.level: must be 'debug', 'info', 'warning' or 'error' (got 'loud', from REGISTRY_LOG__LEVEL)",
    ]


def test_refuses_to_be_open_to_the_network() -> None:
    """Without authentication it does not start on an address that others can reach."""
    run = registry("serve", "--host", "0.0.0.0")  # noqa: S104 (refused)
    assert (run.returncode, run.stdout) == (2, "")
    assert "http.host: refusing to listen on 0.0.0.0" in run.stderr


# --- serving ---


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve(tmp_path: Path, workers: str) -> None:
    """On an empty folder it says where it listens, answers there, and exits with 0 on SIGTERM."""
    with serving("--data", str(tmp_path / "data"), "--workers", workers) as (process, said):
        assert f" {tmp_path}/data\n" in said
        assert httpx.get(f"{address(said)}/v2/", trust_env=False).status_code == 200
        process.terminate()
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 0
    assert '"path":"/v2/"' in errors
    assert "Traceback" not in errors


def test_log_flags(tmp_path: Path) -> None:
    """Flags choose the level and the form of the log."""
    with serving("--data", str(tmp_path), "--log-level", "warning", "--log-format", "console") as (
        process,
        said,
    ):
        httpx.get(f"{address(said)}/v2/", trust_env=False)
        process.terminate()
        assert process.communicate(timeout=DEADLINE_SECONDS)[1] == ""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_without_its_database(tmp_path: Path, workers: str) -> None:
    """A database that cannot be reached ends the start with status 1 and a reason, without traceback or password."""
    where = "--data", str(tmp_path), "--database-url", NO_DATABASE
    run = registry("serve", "--port", "0", *where, "--workers", workers)
    assert (run.returncode, run.stdout) == (1, "")
    assert "the database cannot be used" in run.stderr
    assert "Traceback" not in run.stderr
    assert "s3cret" not in run.stderr


def test_serve_with_a_wrong_htpasswd_file(tmp_path: Path) -> None:
    """A file of users that cannot be used ends the start with status 1 and one line."""
    users = tmp_path / "users"
    users.write_text("alice:plain\n")
    run = registry("serve", "--port", "0", "--data", str(tmp_path), REGISTRY_AUTH__HTPASSWD__FILE=str(users))
    assert (run.returncode, run.stdout) == (1, "")
    [line] = run.stderr.splitlines()
    assert line.startswith(f"registry: {users}:1: ")


# --- migrate and check ---


def test_migrate(tmp_path: Path) -> None:
    """`registry migrate` makes the tables, says which revision they are at, and may be repeated."""
    for _ in range(2):
        run = registry("migrate", "--data", str(tmp_path))
        assert run.returncode == 0, run.stderr
        assert "revision" in run.stdout


@pytest.mark.parametrize(("name", "status"), [("migrate", 1), ("check", 3)])
def test_database_does_not_answer(tmp_path: Path, name: str, status: int) -> None:
    """A database that cannot be reached is told in plain words, without its password; a check says that it was none."""
    run = registry(name, "--data", str(tmp_path), "--database-url", NO_DATABASE)
    assert (run.returncode, run.stdout) == (status, "")
    assert run.stderr.startswith("registry: the database cannot be used:\n")
    assert "Traceback" not in run.stderr
    assert "s3cret" not in run.stderr


def test_check(tmp_path: Path) -> None:
    """`registry check` is content with a sound registry, beside its running server, and writes no bars to a pipe."""
    with serving("--data", str(tmp_path)) as (_, said):
        push_blob(address(said), b"content")
        run = registry("check", "--data", str(tmp_path), "--deep")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 blobs" in run.stdout
    assert run.stdout.endswith(": no problems\n")
    assert run.stderr.strip() == ""


def test_check_before_the_first_start(tmp_path: Path) -> None:
    """A data folder that was migrated and never served from is sound, and its check makes nothing in it."""
    assert registry("migrate", "--data", str(tmp_path)).returncode == 0
    before = set(tmp_path.iterdir())
    run = registry("check", "--data", str(tmp_path))
    assert (run.returncode, run.stderr) == (0, "")
    assert set(tmp_path.iterdir()) == before


def test_check_of_a_backup_without_empty_folders(tmp_path: Path) -> None:
    """What was restored without its empty folders is checked as it is: blobs that are there count, others are missed."""
    with serving("--data", str(tmp_path)) as (_, said):
        push_blob(address(said), b"content")
        push_blob(address(said), b"other content")
    blob_file(tmp_path, b"other content").unlink()
    for folder in sorted((path for path in tmp_path.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    run = registry("check", "--data", str(tmp_path), "--deep")
    assert run.returncode == 1
    assert len([line for line in run.stdout.splitlines() if line.startswith("problem: ")]) == 1


def test_check_says_its_statuses() -> None:
    """What each exit status means is told by --help."""
    text = " ".join(registry("check", "--help").stdout.split())
    assert "0: all is well; 1: there are problems" in text
    assert "3: it could not be checked" in text


def test_check_finds_what_is_missing(tmp_path: Path) -> None:
    """Lost bytes are a problem on a line of its own, and the status is 1."""
    with serving("--data", str(tmp_path)) as (_, said):
        push_blob(address(said), b"content")
    blob_file(tmp_path, b"content").unlink()
    run = registry("check", "--data", str(tmp_path))
    assert run.returncode == 1
    [line] = [line for line in run.stdout.splitlines() if line.startswith("problem: ")]
    assert hashlib.sha256(b"content").hexdigest() in line


def test_deep_check_reads_the_bytes(tmp_path: Path) -> None:
    """Bytes that changed without changing their number are found with --deep, and only with it."""
    with serving("--data", str(tmp_path)) as (_, said):
        push_blob(address(said), b"content")
    file = blob_file(tmp_path, b"content")
    file.chmod(0o600)
    file.write_bytes(b"CONTENT")
    assert registry("check", "--data", str(tmp_path)).returncode == 0
    assert registry("check", "--data", str(tmp_path), "--deep").returncode == 1


# --- rebuild ---


def push_image_of(url: str, content: bytes) -> None:
    """Push an image whose config and layer is this blob of the repository, tagged."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    blob = {"mediaType": "application/octet-stream", "digest": digest, "size": len(content)}
    manifest = {"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": blob, "layers": [blob]}
    answer = httpx.put(
        f"{url}/v2/a/manifests/latest", json=manifest, headers={"content-type": OCI_IMAGE}, trust_env=False
    )
    assert answer.status_code == 201, answer.text


def test_rebuild(tmp_path: Path) -> None:
    """`registry rebuild` fills a new database with what was pushed, says from what, and leaves a filled one alone."""
    with serving("--data", str(tmp_path)) as (_, said):
        push_blob(address(said), b"content")
        push_image_of(address(said), b"content")
    refused = registry("rebuild", "--data", str(tmp_path))
    assert refused.returncode == 3
    assert "the database is not empty" in refused.stderr
    for file in tmp_path.glob("registry.db*"):
        file.unlink()
    run = registry("rebuild", "--data", str(tmp_path))
    assert run.returncode == 0, run.stdout + run.stderr
    assert "from: no snapshot and 1 entries of the journal" in run.stdout
    assert "rebuilt 1 repositories, 1 manifests, 1 tags," in run.stdout
    assert registry("check", "--data", str(tmp_path), "--deep").returncode == 0


def test_rebuild_of_nothing(tmp_path: Path) -> None:
    """A folder that tells nothing of itself cannot be rebuilt from, which is said."""
    run = registry("rebuild", "--data", str(tmp_path))
    assert run.returncode == 3
    assert "there is neither a snapshot nor a journal in" in run.stderr
