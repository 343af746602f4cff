"""The guard notices what no parser may do: else a fuzz test that finds nothing would say nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.guard import Guard


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guard]:
    with Guard(tmp_path_factory.mktemp("bad") / "box", ("tests.fuzz.bad_parsers",), seconds=2) as guard:
        yield guard


@pytest.mark.parametrize(
    ("parser", "what"),
    [
        ("says nothing", "refused without a reason"),
        ("says control codes", "in words that a terminal would obey"),
        ("says two lines", "in words that a terminal would obey"),
        ("says lone surrogates", "in words that a terminal would obey"),
        ("says too much", "refused in 50000 characters"),
        ("fails", "raised KeyError at bad_parsers.py:"),
        ("takes memory", "ran out of the memory that an input may take"),
        ("hangs", "took more than 2 s"),
        ("hangs in C", "took more than 2 s"),
        ("crashes", "ended its process with -11"),
        ("exits", "ended its process with 0"),
        ("writes beside", "changed 'evil' outside of its folder"),
        ("writes beside in C", "wrote 'evil' outside of its folder"),
        ("writes far away", "changed 'evil' outside of its folder"),
        ("unpickles", "unpickled"),
        ("runs", "called os.system"),
    ],
)
def test_a_bad_parser_is_found_with_its_seed(bad: Guard, parser: str, what: str, tmp_path: Path) -> None:
    counts = bad.feed(parser, 1, seed=7)
    assert (counts.accepted, counts.refused, len(counts.findings)) == (0, 0, 1)
    assert str(counts.findings[0]).startswith(f"{parser}, seed 7: ")
    assert what in counts.findings[0].what
    # What was found is put down to the input at work, not to the one after it.
    assert bad.feed("good", 2).accepted == 2


def test_good_parsers_pass(bad: Guard) -> None:
    assert (bad.feed("good", 3).accepted, bad.feed("refuses", 3).refused) == (3, 3)
    assert bad.feed("writes inside", 2).accepted == 2  # its folder is empty each time


def test_one_process_serves_until_it_dies(tmp_path: Path) -> None:
    with Guard(tmp_path / "box", ("tests.fuzz.bad_parsers",), seconds=2) as guard:
        assert guard.feed("good", 5).inputs == 5
        assert guard.started == 1
        assert len(guard.feed("crashes", 2).findings) == 2
        assert guard.feed("good", 5).accepted == 5
        assert guard.started == 3
