"""The scripts of `benchmarks/` as modules."""

import importlib
from collections.abc import Callable
from types import ModuleType

import pytest

from musiclab import ROOT


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a script by its name; scripts import each other, as when they are run from their folder."""
    monkeypatch.syspath_prepend(ROOT.parent / "benchmarks")
    return importlib.import_module
