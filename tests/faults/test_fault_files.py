"""Files of a storage are damaged: said in a sentence, what they stood for is done again, and the records are equal."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.forks import KILLED, Nursery
from tests.faults.judging import Truth, records_in
from tests.support.study_processes import copied

pytestmark = pytest.mark.slow


def _half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _another_digit(file: Path) -> None:
    """Valid JSON, and not what was written."""
    text = file.read_text()
    at = max(text.rfind(f".{digit}") for digit in "123456789") + 1
    file.write_text(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :])


def _flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x55
    file.write_bytes(data)


@pytest.fixture
def done(nursery: Nursery, tmp_path: Path) -> Path:
    """A copy of the finished study's storage, with one of its two records gone, so that there is something to do."""
    storage = copied(nursery.finished, tmp_path / "done")
    _records(storage)[1].unlink()
    return storage


def _records(storage: Path) -> list[Path]:
    return sorted(storage.glob("trials/*/record.json"))


def _seldom(name: str, damage: Callable[[Path], None]) -> object:
    return pytest.param(name, damage, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("trials/*/record.json", _another_digit),
        ("stages/*/weights.safetensors", _flipped),
        _seldom("trials/*/record.json", _half),
        _seldom("trials/*/run.json", _half),
        _seldom("studies/*/*/plan.json", _half),
        _seldom("scales/*.json", _another_digit),
        _seldom("stages/*/done", _empty),
        _seldom("stages/*/generated.npy", _flipped),
        _seldom("stages/*/curves.json", _half),
        _seldom("splits/*.json", _half),
    ],
)
def test_what_is_damaged_is_done_again(
    name: str, damage: Callable[[Path], None], done: Path, nursery: Nursery, half: Truth
) -> None:
    for file in done.glob(name):
        damage(file)
    assert nursery.run(done) == 0, _said(done)
    assert "Traceback" not in _said(done)
    assert records_in(done) == half.records
    if name.startswith(("splits", "scales", "studies")):
        for file in done.glob(name):
            json.loads(file.read_text())
    if name.startswith("trials/*/record"):
        (damaged,) = [line for line in _said(done).splitlines() if "is damaged (" in line]
        assert damaged.endswith("; what it stood for is done again.")


@pytest.mark.long
def test_a_checkpoint_that_is_damaged_is_passed_over(nursery: Nursery, half: Truth) -> None:
    storage = nursery.storage("checkpoint")
    assert nursery.run(storage, die_at=nursery.steps_of("checkpoint.safetensors")[10]) == KILLED
    (checkpoint,) = storage.glob("stages/*/checkpoint.safetensors")
    _half(checkpoint)
    assert nursery.run(storage) == 0, _said(storage)
    assert records_in(storage) == half.records


def _said(storage: Path) -> str:
    return storage.with_suffix(".log").read_text()
