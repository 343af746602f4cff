"""What all tests of the mirror share."""

import pytest

from musiclab.tracking import process
from tests.support.waiting import STILL_S


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study waits for its mirror as long as tests wait for anything."""
    monkeypatch.setattr(process, "_PATIENCE_S", STILL_S)
