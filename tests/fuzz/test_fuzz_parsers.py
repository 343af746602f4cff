"""Every parser on damaged and hostile inputs: taken or refused in a sentence, within limits, nothing else touched.

A finding names its parser and seed; `guard.one(parser, seed)` does it again.
"""

import pytest

from tests.fuzz.guard import Guard

# The parsers of parsers.py, which the guarded process imports and this one need not.
PARSERS = (
    "lpd5", "info.json", "midi", "start file", "archive of npz", "archive of MIDI", "unique_tracks.txt", "window store",
    "part of a store", "config", "options", "study", "style", "weights", "generated.npy", "records", "scales", "curves",
    "plans", "leases", "sealed by another hand",
)  # fmt: skip
FEW = 25
MANY = 1000


def fuzz(guard: Guard, parser: str, inputs: int) -> None:
    """Fail where the parser does what none may; a parser that refuses good input would pass all else."""
    assert guard.one(parser, 0)["outcome"] == "accepted"
    counts = guard.feed(parser, inputs)
    print(f"{parser}: {counts.inputs} inputs, {counts.accepted} accepted, {counts.refused} refused, "
          f"{len(counts.findings)} findings, slowest {counts.slowest:.2f} s")  # fmt: skip
    assert not counts.findings, f"{parser}:\n{counts.kinds()}"
    assert counts.inputs == inputs


@pytest.mark.parametrize("parser", PARSERS)
def test_a_few_inputs_do_no_harm(guard: Guard, parser: str) -> None:
    fuzz(guard, parser, FEW)


@pytest.mark.long
@pytest.mark.parametrize("parser", PARSERS)
def test_many_inputs_do_no_harm(guard: Guard, parser: str) -> None:
    fuzz(guard, parser, MANY)


def test_no_parser_is_left_out(guard: Guard) -> None:
    assert guard.parsers() == list(PARSERS)
