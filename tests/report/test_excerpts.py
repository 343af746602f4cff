"""Excerpts: what a listening test plays of each condition is what the storage holds, and only the music differs."""

import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from musiclab.analysis.results import Results
from musiclab.dashboards.listening_test.fixed import planned
from musiclab.design.listening import PAIRS, ListeningTest
from musiclab.rendering.loudness import loudness
from musiclab.rendering.mp3 import RATE
from musiclab.report.excerpts import Excerpts
from musiclab.report.samples import RealMusic, Samples
from musiclab.storage.files import Storage
from tests.support.listeners import STUDY, storage_of
from tests.support.study_processes import Run

pytestmark = pytest.mark.slow  # needs a study that has run
BAR = 8  # steps


@pytest.fixture(scope="module")
def results(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return Results.read(Storage(str(storage_of(finished, tmp_path_factory.mktemp("excerpts") / "storage"))), STUDY)


@pytest.fixture(scope="module")
def test(results: Results) -> ListeningTest:
    return planned(results, PAIRS)


def test_starts_are_those_that_every_variant_continues_and_as_long_as_all_conditions_are(
    results: Results, test: ListeningTest
) -> None:
    samples, music = Samples(results), RealMusic(results, Samples(results))
    assert test.places and set(test.places) <= set(samples.places())
    assert 1 <= test.bars <= 8
    for place in test.places:
        lengths = [samples.get(name, place).roll.shape[1] for name in samples.variants]
        lengths.append(music.get(place).roll.shape[1])
        assert min(lengths) - music.spec.steps >= test.bars * BAR


def test_a_variant_plays_its_sample_after_the_start_that_is_heard(results: Results, test: ListeningTest) -> None:
    excerpts, samples = Excerpts(results, test), Samples(results)
    for place in test.places:
        for index, name in enumerate(samples.variants):
            sample = samples.get(name, place)
            whole = np.concatenate([excerpts.start(place), excerpts.continuation(place, index)], axis=1)
            assert np.array_equal(whole, sample.roll[:, : (4 + test.bars) * BAR])


def test_the_ceiling_is_how_the_song_goes_on_and_the_floor_is_other_songs(
    results: Results, test: ListeningTest
) -> None:
    excerpts, music = Excerpts(results, test), RealMusic(results, Samples(results))
    for place in test.places:
        real, shuffled = excerpts.continuation(place, 4), excerpts.continuation(place, 5)
        assert np.array_equal(real, music.get(place).roll[:, 4 * BAR : (4 + test.bars) * BAR])
        assert real.shape == shuffled.shape == excerpts.continuation(place, 0).shape
        # Each track that plays is played so in a song of the store. Only the piano's are different in all of them.
        songs = {track: _songs_that_play(music, track, shuffled[track]) for track in range(5) if shuffled[track].any()}
        assert len(songs) == 4 and all(songs.values())
        (piano,) = songs[1]
        assert piano != music.title(place)


def _songs_that_play(music: RealMusic, track: int, cells: np.ndarray) -> set[str]:
    steps = music.spec.steps
    found = set()
    for song in music._store.songs:
        windows = music._store.batch(np.arange(song.first, song.first + song.count))[:, track]
        whole = np.concatenate(list(windows))
        if any(np.array_equal(whole[at : at + len(cells)], cells) for at in range(0, len(whole), steps)):
            found.add(song.title or song.id)
    return found


def test_another_seed_draws_another_floor_and_the_same_one_the_same(results: Results, test: ListeningTest) -> None:

    place = test.places[0]
    floors = [Excerpts(results, replace(test, seed=seed)).continuation(place, 5) for seed in (1, 1, 2)]
    assert np.array_equal(floors[0], floors[1]) and not np.array_equal(floors[0], floors[2])


def test_sounds_differ_in_nothing_but_the_music(results: Results, test: ListeningTest) -> None:
    excerpts, place = Excerpts(results, test), test.places[0]
    silent = np.zeros((5, test.bars * BAR, 128), bool)
    rolls = [*(excerpts.continuation(place, index) for index in range(6)), silent]
    sounds = [excerpts.sound(roll) for roll in rolls]
    waves = [soundfile.read(io.BytesIO(sound), dtype="float32")[0] for sound in sounds]
    assert len({len(sound) for sound in sounds}) == 1 and len({sound[:208] for sound in sounds}) == 1
    assert {len(wave) for wave in waves} == {test.bars * 2 * RATE}
    levels = [loudness(wave, RATE) for wave in waves]
    assert max(levels[:-1]) - min(levels[:-1]) < 1 and levels[-1] == -np.inf
    assert excerpts.sound(rolls[0]) == sounds[0]
