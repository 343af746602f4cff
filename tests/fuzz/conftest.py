"""What the fuzz tests share: files made by the data tests, studies run by the study tests, one guarded process."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / "data"), str(TESTS / "study")]

from guard import Guard  # noqa: E402 - after the path


@pytest.fixture(scope="session")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guard]:
    """The process that parsers are run in, started once."""
    with Guard(tmp_path_factory.mktemp("fuzz") / "box") as guard:
        yield guard
