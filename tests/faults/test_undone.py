"""The table of undone safeguards is of this code."""

from undone import ROOT, SAFEGUARDS


def test_every_line_that_is_undone_stands_once_where_it_is_looked_for() -> None:
    for safeguard in SAFEGUARDS:
        text = (ROOT / safeguard.file).read_text()
        for old, _ in safeguard.lines:
            assert text.count(old) == 1, f"{safeguard.name}: {safeguard.file} has {old!r} {text.count(old)} times"
