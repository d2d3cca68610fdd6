"""`python -m registry.testing`, for test suites in other languages."""

from __future__ import annotations

import signal
import ssl
import subprocess
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import httpx
import pytest

from tests.testing.clients import is_refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMAND = [sys.executable, "-m", "registry.testing"]


@contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """Run it; the process and what it prints."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*COMMAND, *arguments], text=True, **pipes) as running:  # type: ignore[call-overload]
        assert running.stdout
        yield running, running.stdout
        running.kill()


def test_until_the_end_of_input() -> None:
    """It says its URL in the first line, serves, and ends with its standard input."""
    with process() as (running, output):
        url = output.readline().strip()
        assert httpx.get(f"{url}/v2/", trust_env=False).status_code == 200
        running.stdin.close()
        assert running.wait(10) == 0
        assert output.read() == ""
    assert is_refused(url.removeprefix("http://"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_until_a_signal(number: int) -> None:
    """A signal ends it as well, and its folder goes with it."""
    with process("--tls") as (running, output):
        output.readline()
        ca_file = output.readline().strip()
        running.send_signal(number)
        assert running.wait(10) == 0
    with pytest.raises(FileNotFoundError):
        ssl.create_default_context(cafile=ca_file)


def test_options(tmp_path: Path) -> None:
    """Users, TLS and a folder to keep are had by options."""
    with process("--tls", "--user", "alice:secret", "--persistent", str(tmp_path / "data")) as (_, output):
        url, ca_file = output.readline().strip(), output.readline().strip()
        trusting = ssl.create_default_context(cafile=ca_file)
        answers = [
            httpx.get(f"{url}/v2/", verify=trusting, auth=auth, trust_env=False).status_code
            for auth in (None, ("alice", "secret"))
        ]
        assert answers == [401, 200]
    assert (tmp_path / "data" / "registry.db").exists()


def test_wrong_user() -> None:
    """A user without a password is refused in words."""
    done = subprocess.run([*COMMAND, "--user", "alice"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "must be NAME:PASSWORD" in done.stderr
