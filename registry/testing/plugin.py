"""The pytest plugin: fixtures that give a running registry. Imports nothing of it until one of them is used."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from registry.testing.oci_registry import OciRegistry

MARKER = "oci_registry"
_FIXTURES = ("oci_registry", "oci_registry_module", "oci_registry_session", "oci_registry_factory")


class OciRegistryFactory:
    """Starts registries with the options of `registry.testing.serve`; they stop when the test ends."""

    def __init__(self, stack: ExitStack, options: Mapping[str, Any]) -> None:
        self._stack = stack
        self._options = options
        self._made: list[OciRegistry] = []

    def __call__(self, **options: Any) -> OciRegistry:  # noqa: ANN401 (`serve` names each of them)
        """One more running registry."""
        from registry.testing import serve

        self._made.append(self._stack.enter_context(serve(**{**self._options, **options})))
        return self._made[-1]

    def report(self) -> str:
        """What came to each of them."""
        return "\n\n".join(made.report() for made in self._made)


@pytest.fixture(scope="session")
def oci_registry_options() -> Mapping[str, Any]:
    """Give the options of every registry here; override it in a conftest.py. Markers and arguments go first."""
    return {}


@pytest.fixture
def oci_registry(
    request: pytest.FixtureRequest, oci_registry_options: Mapping[str, Any]
) -> Iterator[OciRegistry]:
    """Give a registry of the test's own, empty at its start; options by `@pytest.mark.oci_registry(tls=True)`."""
    yield from _registry(request, oci_registry_options)


@pytest.fixture(scope="module")
def oci_registry_module(
    request: pytest.FixtureRequest, oci_registry_options: Mapping[str, Any]
) -> Iterator[OciRegistry]:
    """Give a registry that the tests of a module share; options by `pytestmark = pytest.mark.oci_registry(...)`."""
    yield from _registry(request, oci_registry_options)


@pytest.fixture(scope="session")
def oci_registry_session(
    request: pytest.FixtureRequest, oci_registry_options: Mapping[str, Any]
) -> Iterator[OciRegistry]:
    """Give a registry that all tests share (those of one process, with pytest-xdist)."""
    yield from _registry(request, oci_registry_options)


@pytest.fixture
def oci_registry_factory(oci_registry_options: Mapping[str, Any]) -> Iterator[OciRegistryFactory]:
    """Give a function that starts registries: `oci_registry_factory(auth={"alice": "secret"}, tls=True)`."""
    with ExitStack() as stack:
        yield OciRegistryFactory(stack, oci_registry_options)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", f"{MARKER}(**options): options of the test's OCI registry; see registry.testing.serve"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what was asked of the registry, where a test fails."""
    report = yield
    if report.failed:
        found = getattr(item, "funcargs", {})
        report.sections += [
            (f"requests to {name}", found[name].report()) for name in _FIXTURES if name in found
        ]
    return report


def _registry(request: pytest.FixtureRequest, options: Mapping[str, Any]) -> Iterator[OciRegistry]:
    from registry.testing import serve

    for marker in reversed(list(request.node.iter_markers(MARKER))):  # the closest comes last
        options = {**options, **marker.kwargs}
    with serve(**options) as oci:
        yield oci
