"""The page about the fixture: its code runs, as it stands there, as tests of a stranger's project."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import fields
from pathlib import Path

import pytest

from registry.testing.faults import Fault
from registry.testing.options import Options
from tests.server import PROJECT

PAGE = (PROJECT / "docs" / "testing.md").read_text()
SECTIONS = {
    title: re.findall(r"^```python\n(.*?)^```", body, re.MULTILINE | re.DOTALL)
    for title, body in re.findall(r"^#{1,3} ([^\n]+)\n(.*?)(?=^#{1,3} |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
WITH_CODE = {title: "\n".join(blocks) for title, blocks in SECTIONS.items() if blocks}


def file_name(title: str) -> str:
    """The name of the test file with a section's code."""
    return f"test_{re.sub('[^a-z0-9]+', '_', title.lower()).strip('_')}"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Give the outcomes of all tests on the page, by the name of their file."""
    folder = tmp_path_factory.mktemp("page")
    for title, code in WITH_CODE.items():
        (folder / f"{file_name(title)}.py").write_text(code)
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-W", "error", "--strict-markers", f"--junitxml={report}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert report.exists(), done.stdout + done.stderr
    found: dict[str, list[str]] = {}
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314 (pytest wrote it a moment ago)
        found.setdefault(case.attrib["classname"], []).append(
            "; ".join(part.tag for part in case) or "passed"
        )
    assert done.returncode == 0, done.stdout
    return found


@pytest.mark.parametrize("title", WITH_CODE)
def test_code_of_a_section(title: str, outcomes: dict[str, list[str]]) -> None:
    """Every section with code has tests, and they pass."""
    assert set(outcomes[file_name(title)]) == {"passed"}


def test_ten_recipes() -> None:
    """There are as many recipes as the page promises, each with code."""
    assert [title.partition(".")[0] for title in WITH_CODE if title[0].isdigit()] == [
        str(number) for number in range(1, 11)
    ]


def test_everything_is_told() -> None:
    """The page names every option and every fault."""
    options = {field.name for field in fields(Options)}
    faults = {name for name in vars(Fault) if not name.startswith("_")} - {"meet", "answers"}
    missing = {name for name in options if f"`{name}=" not in PAGE}
    missing |= {name for name in faults if f".{name}(" not in PAGE}
    assert missing == set()


def test_links() -> None:
    """What the page points to is there."""
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (PROJECT / "docs" / target).exists(), target


def test_readme_points_here() -> None:
    """Who reads the README finds the page."""
    assert "(docs/testing.md)" in Path(PROJECT / "README.md").read_text()
