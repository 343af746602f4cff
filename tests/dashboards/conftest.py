"""A listening test over a small real study, with its sounds, for all tests of its pages."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from musiclab.dashboards.listening_test.fixed import FixedTest
from musiclab.dashboards.listening_test.sounds import Sounds
from tests.support.listeners import fixed_test, made_sounds, storage_of
from tests.support.study_processes import Run


@pytest.fixture(scope="session")
def sounds(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Sounds:
    """All sounds of the study's listening tests."""
    return made_sounds(fixed_test(storage_of(finished, tmp_path_factory.mktemp("sounds") / "storage")))


@pytest.fixture
def listening_test(finished: Run, tmp_path: Path) -> Callable[..., FixedTest]:
    """What fixes a listening test, with the fields given, in a storage of its own, `tmp_path / "storage"`."""

    def fix(protocol: str = "pairs", **fields: Any) -> FixedTest:
        return fixed_test(storage_of(finished, tmp_path / "storage"), protocol, **fields)

    return fix
