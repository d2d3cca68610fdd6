"""Builds and runs the official suite, and reads what it found."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.server import PROJECT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_RUN_SECONDS_MAX = 300


@dataclass(frozen=True)
class Results:
    """How many checks ended in which way, and a line for each that did not pass, with the suite's reason."""

    passed: int
    failed: int = 0
    skipped: int = 0
    disabled: int = 0
    complaints: list[str] = field(default_factory=list, compare=False)

    def __str__(self) -> str:
        counts = (
            f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped, {self.disabled} disabled"
        )
        return "\n".join([counts, *self.complaints])


def build() -> str:
    """The path of the suite's program, built at the first call on a machine."""
    command = [str(PROJECT / "scripts" / "conformance-suite")]
    environment = {**os.environ, "PYTHON": sys.executable}
    built = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return built.stdout.strip()


def run(program: str, host: str, folder: Path, options: Mapping[str, str]) -> Results:
    """Runs the suite against the registry at `host`, with `options` of its own; its report is left in `folder`."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OCI_")}
    environment |= {"OCI_REGISTRY": host, "OCI_TLS": "disabled", "OCI_RESULTS_DIR": str(folder)} | options
    done = subprocess.run(
        [program],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=_RUN_SECONDS_MAX,
    )
    report = folder / "junit.xml"
    assert report.exists(), done.stdout + done.stderr
    results = read(report)
    assert (done.returncode == 0) == (results.failed == 0), f"ended with {done.returncode}: {results}"
    return results


def read(report: Path) -> Results:
    """The suite's own counters and complaints from its JUnit report."""
    suites = ET.parse(report).getroot()  # noqa: S314 (the suite wrote it a moment ago)
    total, errors, failures, skipped, disabled = (
        int(suites.get(name, "0")) for name in ("tests", "errors", "failures", "skipped", "disabled")
    )
    complaints = [
        f"{case.get('status')}: {case.get('name')}: {case.findtext('system-out', '').strip()}"
        for case in suites.iter("testcase")
        if case.get("status") != "passed"
    ]
    failed = errors + failures
    return Results(total - failed - skipped - disabled, failed, skipped, disabled, complaints)
