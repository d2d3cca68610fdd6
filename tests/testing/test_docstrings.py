"""The examples in the docstrings do what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from registry import testing

MODULES = [
    "registry.testing",
    *(f"registry.testing.{module.name}" for module in pkgutil.iter_modules(testing.__path__)),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    """Every example of the module has the result that stands below it."""
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.ELLIPSIS, raise_on_error=False)
    assert results.failed == 0


def test_there_are_examples() -> None:
    """The page of the module, the methods that push and the requests have some."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    modules = [importlib.import_module(name) for name in MODULES]
    found = {test.name for module in modules for test in finder.find(module) if test.examples}
    assert found >= {
        "registry.testing",
        "registry.testing.serve",
        "registry.testing.faults",
        "registry.testing.requests.Requests",
        "registry.testing.oci_registry.OciRegistry.push_image",
        "registry.testing.oci_registry.OciRegistry.push_index",
        "registry.testing.oci_registry.OciRegistry.push_artifact",
    }
