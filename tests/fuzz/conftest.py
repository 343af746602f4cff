"""What the fuzz tests share: files made by the data tests, studies run by the study tests, one guarded process."""

from collections.abc import Iterator

import pytest

from tests.fuzz.guard import Guard


@pytest.fixture(scope="session")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guard]:
    """The process that parsers are run in, started once."""
    with Guard(tmp_path_factory.mktemp("fuzz") / "box") as guard:
        yield guard
