"""The pytest plugin: fixtures that give a running registry. Imports nothing of it until one of them is used."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from registry.testing.oci_registry import OciRegistry
    from registry.testing.requests import Request

MARKER = "oci_registry"
_SCOPES: Mapping[str, type[pytest.Item | pytest.Collector]] = {
    "oci_registry": pytest.Function,
    "oci_registry_factory": pytest.Function,
    "oci_registry_module": pytest.Module,
    "oci_registry_factory_module": pytest.Module,
    "oci_registry_session": pytest.Session,
    "oci_registry_factory_session": pytest.Session,
}
"""The fixtures, and the node with which each of them lives and whose markers it therefore knows."""


class Running:
    """The registries that run for the fixtures, and what each had been asked before the test at hand."""

    def __init__(self) -> None:
        self._found: list[tuple[str, OciRegistry]] = []
        self._last: dict[OciRegistry, Request] = {}

    @contextmanager
    def noted(self, fixture: str, oci: OciRegistry) -> Iterator[None]:
        """While it runs."""
        self._found.append((fixture, oci))
        try:
            yield
        finally:
            self._found.remove((fixture, oci))
            self._last.pop(oci, None)

    def begin_test(self) -> None:
        """What has come so far belongs to tests before this one."""
        self._last = {oci: oci.requests[-1] for _, oci in self._found if oci.requests}

    def sections(self, used: set[str]) -> list[tuple[str, str]]:
        """What the report of a failed test shows: of a registry for one test all, of a shared one what is new."""
        sections = []
        for fixture, oci in self._found:
            is_shared = _SCOPES[fixture] is not pytest.Function
            requests = oci.requests.behind(self._last.get(oci)) if is_shared else oci.requests
            if requests or not is_shared or fixture in used:
                sections.append((f"requests to {fixture}", oci.report(requests)))
        return sections


_RUNNING = pytest.StashKey[Running]()


class OciRegistryFactory:
    """Starts registries with the options of `registry.testing.serve`; they stop when the fixture's scope ends."""

    def __init__(self, name: str, running: Running, options: Mapping[str, Any]) -> None:
        self._name = name
        self._running = running
        self._options = options
        self.stack = ExitStack()

    def __call__(self, **options: Any) -> OciRegistry:  # noqa: ANN401 (`serve` names each of them)
        """One more running registry."""
        from registry.testing import serve

        oci = self.stack.enter_context(serve(**{**self._options, **options}))
        self.stack.enter_context(self._running.noted(self._name, oci))
        return oci


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
def oci_registry_factory(
    request: pytest.FixtureRequest, oci_registry_options: Mapping[str, Any]
) -> Iterator[OciRegistryFactory]:
    """Give a function that starts registries for one test: `oci_registry_factory(auth={"alice": "secret"})`."""
    yield from _factory(request, oci_registry_options)


@pytest.fixture(scope="module")
def oci_registry_factory_module(
    request: pytest.FixtureRequest, oci_registry_options: Mapping[str, Any]
) -> Iterator[OciRegistryFactory]:
    """Give a function that starts registries for the tests of a module."""
    yield from _factory(request, oci_registry_options)


@pytest.fixture(scope="session")
def oci_registry_factory_session(
    request: pytest.FixtureRequest, oci_registry_options: Mapping[str, Any]
) -> Iterator[OciRegistryFactory]:
    """Give a function that starts registries for all tests of a process."""
    yield from _factory(request, oci_registry_options)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.stash[_RUNNING] = Running()
    config.addinivalue_line(
        "markers", f"{MARKER}(**options): options of the test's OCI registry; see registry.testing.serve"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse markers that nobody would heed."""
    item.config.stash[_RUNNING].begin_test()
    used = _used(item)
    for node, marker in item.iter_markers_with_node(MARKER):
        if marker.args:
            pytest.fail(f"options of @pytest.mark.{MARKER} have names: {marker.args!r}", pytrace=False)
        if used and not any(_heeds(name, node, item) for name in used):
            told = f"@pytest.mark.{MARKER} of {node.name} does not reach {', '.join(sorted(used))}, which others share"
            pytest.fail(f"{told}: mark the module, or override oci_registry_options", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what was asked of the registries, where a test or one of its fixtures fails."""
    report = yield
    if report.failed:
        report.sections += item.config.stash[_RUNNING].sections(_used(item))
    return report


def _used(item: pytest.Item) -> set[str]:
    return _SCOPES.keys() & set(getattr(item, "fixturenames", ()))


def _heeds(fixture: str, marked: object, item: pytest.Item) -> bool:
    """Whether the marker is one of those that the fixture's node has."""
    kind = _SCOPES[fixture]
    node = item if kind is pytest.Function else item.getparent(kind)
    return node is not None and marked in node.listchain()


def _marked(request: pytest.FixtureRequest, options: Mapping[str, Any]) -> Mapping[str, Any]:
    for marker in reversed(list(request.node.iter_markers(MARKER))):  # the closest comes last
        options = {**options, **marker.kwargs}
    return options


def _factory(
    request: pytest.FixtureRequest, options: Mapping[str, Any]
) -> Generator[OciRegistryFactory, None, None]:
    running, name = request.config.stash[_RUNNING], request.fixturename or ""
    factory = OciRegistryFactory(name, running, _marked(request, options))
    with factory.stack:
        yield factory


def _registry(
    request: pytest.FixtureRequest, options: Mapping[str, Any]
) -> Generator[OciRegistry, None, None]:
    for factory in _factory(request, options):
        yield factory()
