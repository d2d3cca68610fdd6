"""How the client tests run a program: where it is found, in an environment of its own, failing loudly."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

TOOLS = Path(os.environ.get("REGISTRY_TEST_TOOLS") or Path(tempfile.gettempdir()) / "registry-test-tools")
COMMAND_SECONDS_MAX = 180


def run(
    command: list[str],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    stdin: str = "",
    fails: bool = False,
) -> str:
    """Run a command to its end and return what it printed: its stdout, or stdout and stderr of one that has to fail.

    Raises AssertionError with everything it printed when it fails (or, with fails, when it does not).
    """
    done = subprocess.run(
        command,
        env=environment,
        cwd=directory,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    everything = f"{done.stdout}\n{done.stderr}"
    assert (done.returncode != 0) == fails, f"{command} ended with {done.returncode}:\n{everything}"
    return everything if fails else done.stdout


@dataclass(frozen=True)
class Client:
    """A program, the options that every call of it gets, and the environment it runs in."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """Run it; return its stdout."""
        return run(
            [*self.command, *arguments], environment=self.environment, directory=self.directory, stdin=stdin
        )

    def refused(self, *arguments: str, stdin: str = "") -> str:
        """Run it where it has to fail; return all it said."""
        return run(
            [*self.command, *arguments],
            environment=self.environment,
            directory=self.directory,
            stdin=stdin,
            fails=True,
        )

    def having(self, **variables: str) -> Client:
        """Return the same client with these environment variables too."""
        return replace(self, environment={**self.environment, **variables})


def client(program: str, home: Path, *options: str) -> Client:
    """Return a client whose configuration, log-ins and working directory are below home, and nothing of the machine's.

    A relative program with a folder (forky/usr/bin/crane) lies below REGISTRY_TEST_TOOLS, any other is the system's.
    """
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home / "run"),
    }
    (home / "run").mkdir(exist_ok=True)
    path = shutil.which(TOOLS / program if "/" in program else program, path=environment["PATH"])
    assert path, f"no {program}: run ci/clients/install.sh"
    return Client((path, *options), environment, home)


def eventually(what: str, question: Callable[[], T | None], seconds_max: float = 30) -> T:
    """Ask again and again until the answer is something; raise AssertionError when time is up."""
    end = time.monotonic() + seconds_max
    while time.monotonic() < end:
        answer = question()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds_max} s")
