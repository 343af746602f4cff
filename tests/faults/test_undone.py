"""The table of undone safeguards is of this code."""

from tests.faults.undone import ROOT, SAFEGUARDS


def test_every_line_that_is_undone_stands_once_where_it_is_looked_for() -> None:
    for safeguard in SAFEGUARDS:
        text = (ROOT / safeguard.file).read_text()
        assert safeguard.undo(text) != text  # which asserts the rest
