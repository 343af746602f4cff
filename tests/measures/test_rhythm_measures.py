"""Measures of time, against numbers worked out by hand."""

import muspy
import numpy as np
import pytest

from musiclab.data.notes import notes
from musiclab.measures.music import note_density
from musiclab.measures.rhythm import (
    drum_pattern,
    groove_similarity,
    note_length,
    note_length_entropy,
    qualified_notes,
)

NAN = float("nan")
DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)


def silence(n: int = 1, steps: int = 16) -> np.ndarray:
    return np.zeros((n, 5, steps, 128), dtype=bool)


def with_notes(lengths: list[int], steps: int = 384) -> np.ndarray:
    """One window with piano notes of those lengths, each followed by a rest."""
    rolls, start = silence(steps=steps), 0
    for length in lengths:
        rolls[0, PIANO, start : start + length, 60] = True
        start += length + 1
    return rolls


def test_nothing_has_no_value() -> None:
    drums = silence()
    drums[0, DRUMS, ::3, 36] = True
    for rolls in (silence(0), silence(3), drums):
        for values in (
            note_length(rolls, 2),
            note_length_entropy(rolls),
            qualified_notes(rolls, 24),
            groove_similarity(rolls, 2)[[0, 2, 3, 4, 5]],
        ):
            np.testing.assert_array_equal(values, [NAN] * len(values))
    assert np.isnan(drum_pattern(silence(3), 4)) and np.isnan(drum_pattern(silence(0), 4))


def test_notes_have_their_mean_length_in_beats() -> None:
    rolls = silence(2)
    rolls[0, PIANO, 0:4, 60] = True
    rolls[0, PIANO, 14:, 64] = True  # cut by the window: two steps are seen
    rolls[1, PIANO, :, 60] = True  # held in from the window before: sixteen
    rolls[1, BASS, [0, 2], 40] = True
    rolls[0, DRUMS, :, 42] = True
    np.testing.assert_allclose(note_length(rolls, 2), [24 / 5 / 2, NAN, 22 / 3 / 2, NAN, 0.5, NAN])
    np.testing.assert_allclose(note_length(rolls, 4), note_length(rolls, 2) / 2)


def test_entropy_of_note_lengths() -> None:
    assert note_length_entropy(with_notes([1, 1, 2, 4]))[1 + PIANO] == 1.5
    assert str(note_length_entropy(with_notes([3, 3, 3]))[1 + PIANO]) == "0.0"
    rolls = with_notes([1, 1])
    rolls[0, STRINGS, :, 60] = True
    rolls[0, STRINGS, :, 64] = True
    values = note_length_entropy(rolls)  # each track has one length, together they have two
    np.testing.assert_array_equal(values, [1, NAN, 0, NAN, NAN, 0])


def test_lengths_are_counted_as_a_list_of_notes_would() -> None:
    rng = np.random.default_rng(0)
    rolls = silence(600, 12)  # more windows than are followed at once
    rolls[..., 50:60] = rng.random((600, 5, 12, 10)) < 0.7
    lengths = [np.concatenate([notes(window[track])[:, 1] for window in rolls]) for track in range(5)]
    for index, own in [(0, np.concatenate(lengths[1:])), *((1 + track, lengths[track]) for track in range(1, 5))]:
        shares = np.unique(own, return_counts=True)[1] / len(own)
        assert note_length_entropy(rolls)[index] == pytest.approx(-(shares * np.log2(shares)).sum())
        assert note_length(rolls, 3)[index] == pytest.approx(own.mean() / 3)
        assert qualified_notes(rolls, 24)[index] == pytest.approx((own >= 3).mean())


@pytest.mark.parametrize(("resolution", "shortest"), [(12, 2), (24, 3)])
def test_a_32nd_qualifies_and_less_does_not(resolution: int, shortest: int) -> None:
    rolls = with_notes([shortest - 1, shortest, shortest + 1, 50])
    assert qualified_notes(rolls, resolution)[1 + PIANO] == 0.75
    assert qualified_notes(rolls, resolution)[0] == 0.75
    rolls[0, DRUMS, ::5, 36] = True
    np.testing.assert_array_equal(qualified_notes(rolls, resolution), [0.75, NAN, 0.75, NAN, NAN, NAN])


@pytest.mark.parametrize("resolution", [1, 2, 3, 4, 6, 8])
def test_where_a_step_is_a_32nd_all_notes_would_qualify(resolution: int) -> None:
    np.testing.assert_array_equal(qualified_notes(with_notes([1, 2, 3]), resolution), [NAN] * 6)


@pytest.mark.parametrize("resolution", [4, 6, 8, 12, 24])
def test_drums_on_and_off_the_eighths(resolution: int) -> None:
    rolls = silence(2, 4 * resolution)
    rolls[:, PIANO, 1, 60] = True
    rolls[0, DRUMS, :: resolution // 2, 42] = True  # eight on eighths
    assert drum_pattern(rolls, resolution) == 1
    rolls[1, DRUMS, 1 :: resolution // 2, 36] = True  # eight beside them
    assert drum_pattern(rolls, resolution) == 0.5
    rolls[0, DRUMS] = False
    assert drum_pattern(rolls, resolution) == 0


def test_every_cell_of_the_drums_is_a_hit() -> None:
    rolls = silence(1, 16)
    rolls[0, DRUMS, :, 42] = True  # sixteenths at 4 steps a beat, half of them eighths
    assert drum_pattern(rolls, 4) == 0.5
    assert note_density(rolls, 4)[DRUMS] == 4
    rolls[0, PIANO, :, 42] = True  # one held note
    assert note_density(rolls, 4)[PIANO] == 0.25
    rolls[0, DRUMS, 8:] = False
    # At 2 steps a beat: eight eighths in the first bar, none in the second.
    assert groove_similarity(rolls, 2)[1 + DRUMS] == 0


@pytest.mark.parametrize("resolution", [1, 2, 3])
def test_where_every_step_is_an_eighth_or_none_is_there_is_no_pattern(resolution: int) -> None:
    rolls = silence()
    rolls[0, DRUMS, ::2, 36] = True
    assert np.isnan(drum_pattern(rolls, resolution))


def bars_of(onsets: list[list[int]], resolution: int = 2, track: int = PIANO) -> np.ndarray:
    """One window with short notes of one track at the given eighths of each bar; neighbours differ in pitch."""
    rolls = silence(1, 4 * resolution * len(onsets))
    for bar, eighths in enumerate(onsets):
        for eighth in eighths:
            rolls[0, track, (bar * 8 + eighth) * resolution // 2, 60 + eighth % 2] = True
    return rolls


def test_grooves_are_cosines_of_neighbouring_bars() -> None:
    assert groove_similarity(bars_of([[0, 3, 6], [0, 3, 6]]), 2)[1 + PIANO] == 1
    assert groove_similarity(bars_of([[0, 2], [1, 5]]), 2)[1 + PIANO] == 0
    assert groove_similarity(bars_of([[0, 2], [0, 4]]), 2)[1 + PIANO] == 0.5
    # 1, then .5: the first and third bar are no neighbours.
    assert groove_similarity(bars_of([[0, 2], [0, 2], [0, 4]]), 2)[1 + PIANO] == 0.75
    rolls = bars_of([[0, 2], [0, 2]])
    rolls[0, PIANO, 0, 64] = True  # histograms (2, 1) and (1, 1)
    assert groove_similarity(rolls, 2)[1 + PIANO] == pytest.approx(3 / np.sqrt(5 * 2))


def test_a_bar_without_onsets_is_unlike_one_with_some_and_two_are_no_pair() -> None:
    assert groove_similarity(bars_of([[0], []]), 2)[1 + PIANO] == 0
    assert groove_similarity(bars_of([[0], [0], [], [], []]), 2)[1 + PIANO] == 0.5  # 1 and 0
    held = bars_of([[0], [], []])
    held[0, PIANO, :, 60] = True  # sounds in all bars, starts in the first
    assert groove_similarity(held, 2)[1 + PIANO] == 0


def test_grooves_are_of_neighbours_within_a_window() -> None:
    rolls = np.concatenate([bars_of([[0], [4]]), bars_of([[4], [4]]), bars_of([[], []])])
    assert groove_similarity(rolls, 2)[1 + PIANO] == 0.5
    assert np.isnan(groove_similarity(bars_of([[0]]), 2)).all()


def test_grooves_of_tracks_together_leave_drums_out() -> None:
    rolls = bars_of([[0], [4]]) | bars_of([[4], [0]], track=BASS) | bars_of([[1], [1]], track=DRUMS)
    np.testing.assert_array_equal(groove_similarity(rolls, 2), [1, 1, 0, NAN, 0, NAN])


def as_muspy(rolls: np.ndarray, resolution: int) -> muspy.Music:
    found = [muspy.Note(int(start), int(pitch), int(length)) for start, length, pitch in notes(rolls[0, PIANO])]
    return muspy.Music(resolution=resolution, tracks=[muspy.Track(notes=found)])


def test_grooves_are_the_same_at_every_resolution_where_muspys_are_not() -> None:
    alternating = [[0, 2, 4, 6], [1, 3, 5, 7]] * 4
    like = [[0, 2, 3], [0, 3, 6]] * 4
    for resolution in (2, 4, 24):
        assert groove_similarity(bars_of(alternating, resolution), resolution)[1 + PIANO] == 0
        assert groove_similarity(bars_of(like, resolution), resolution)[1 + PIANO] == pytest.approx(2 / 3)
    theirs = [muspy.groove_consistency(as_muspy(bars_of(alternating, r), r), 4 * r) for r in (2, 220)]
    assert theirs == pytest.approx([0.0625, 0.991], abs=0.001)


def test_equal_bars_that_end_on_the_bar_line_are_alike_here_and_not_in_muspy() -> None:
    rolls = bars_of([[0, 7], [0, 7]])
    assert groove_similarity(rolls, 2)[1 + PIANO] == 1
    assert muspy.groove_consistency(as_muspy(rolls, 2), 8) == 0.875
