"""All measures of the notes at once: whose value stands under which name, and what they cost."""

import tracemalloc

import numpy as np
import pytest

from musiclab.measures.rhythm import drum_pattern, groove_similarity, note_length, qualified_notes
from musiclab.measures.suite import music_measures
from musiclab.measures.tonality import pitch_class_entropy, pitch_range, polyphony, scale_consistency

TRACKS = ("Drums", "Piano", "Guitar", "Bass", "Strings")
TOGETHER = ("pitch_class_entropy", "scale_consistency", "pitch_range", "polyphony", "note_length")
TOGETHER += ("note_length_entropy", "qualified_notes", "groove_similarity")


def random_rolls(n: int, resolution: int = 2) -> np.ndarray:
    rolls = np.zeros((n, 5, 16 * resolution, 128), dtype=bool)
    rolls[..., 40:80] = np.random.default_rng(0).random((n, 5, 16 * resolution, 40)) < 0.03
    return rolls


def test_values_of_tracks_and_of_tracks_together_stand_under_their_names() -> None:
    rolls = random_rolls(4, 24)
    rolls[:, 4] = np.roll(rolls[:, 4], 20, axis=2)  # the strings are higher than the others
    made = music_measures(rolls, 24)
    for name, values in {
        "pitch_class_entropy": pitch_class_entropy(rolls),
        "scale_consistency": scale_consistency(rolls),
        "pitch_range": pitch_range(rolls),
        "polyphony": polyphony(rolls),
        "note_length": note_length(rolls, 24),
        "qualified_notes": qualified_notes(rolls, 24),
        "groove_similarity": groove_similarity(rolls, 24),
    }.items():
        own = [made[f"music/{name}"], *(made[f"music/{name}.{track}"] for track in TRACKS)]
        np.testing.assert_array_equal(own, values)
    assert made["music/drum_pattern"] == drum_pattern(rolls, 24)
    # The mean of four tracks is another number.
    assert made["music/pitch_range"] > max(made[f"music/pitch_range.{track}"] for track in TRACKS[1:])


def test_nothing_gives_nothing_but_nan() -> None:
    made = music_measures(random_rolls(0), 2)
    assert np.isnan(list(made.values())).all()
    names = {f"music/{name}{part}" for name in TOGETHER for part in ("", *(f".{track}" for track in TRACKS))}
    assert names < made.keys()


def test_what_a_coarse_grid_cannot_tell_has_no_value() -> None:
    made = music_measures(random_rolls(4), 2)
    assert np.isnan(
        [made["music/drum_pattern"], made["music/qualified_notes"], made["music/qualified_notes.Bass"]]
    ).all()
    assert not np.isnan([made[f"music/{name}"] for name in TOGETHER if name != "qualified_notes"]).any()


@pytest.mark.parametrize("resolution", [2, 24])
def test_many_windows_take_less_memory_than_they_are_given_in(resolution: int) -> None:
    rolls = random_rolls(8000 // resolution, resolution)
    tracemalloc.start()
    music_measures(rolls, resolution)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rolls.nbytes
