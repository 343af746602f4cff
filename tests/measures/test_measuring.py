"""Which generated windows of a trial are compared with which real ones."""

import dataclasses

import numpy as np
import pytest
from made_trials import MemoryFiles, stage_run

from musiclab.data.store import WindowStore
from musiclab.data.windows import pack, unpack
from musiclab.measures.sets import duplicate_rate, start_sensitivity
from musiclab.systems import find_system
from musiclab.systems.base import GENERATE, StageRun, write_generated
from musiclab.systems.measuring import measured
from musiclab.training.streams import Block


class NothingOfItsOwn:
    """Stands for a system whose continuations are already there."""

    def own_measures(self, run: StageRun) -> dict[str, float]:
        return {"latent/kl": 1.5}


def measured_of(store: WindowStore, rolls: np.ndarray) -> tuple[dict[str, float], dict[str, float], StageRun]:
    """Measures and floor of continuations `(start, variation, continuation, track, time, pitch)`."""
    starts, variations, continuation = rolls.shape[:3]
    common = {"max_eval": 24, "starts": starts, "variations": variations, "continuation": continuation}
    run = stage_run(store, Block(0, 0), find_system("vae_nn").config().with_values(common), MemoryFiles())
    write_generated(run.files.product(GENERATE), pack(rolls.reshape(-1, *rolls.shape[2:])))
    return *measured(NothingOfItsOwn(), run), run


def random_rolls(*shape: int) -> np.ndarray:
    rolls = np.zeros((*shape, 5, 32, 128), dtype=bool)
    rolls[..., 40:80] = np.random.default_rng(0).random((*shape, 5, 32, 40)) < 0.05
    return rolls


def test_variations_are_those_of_one_start(store: WindowStore) -> None:
    rolls = np.repeat(random_rolls(4, 1, 2), 3, axis=1)  # noise changes nothing
    measures, _, _ = measured_of(store, rolls)
    assert measures["set/noise_sensitivity"] == measures["set/noise_sensitivity.Piano"] == 0
    assert measures["set/duplicate_rate"] == 0  # copies of one start are no fault of a system without noise
    rolls = np.repeat(random_rolls(1, 3, 2), 4, axis=0)  # and here the start changes nothing
    measures, _, _ = measured_of(store, rolls)
    assert measures["set/noise_sensitivity"] > 0.5
    assert measures["set/duplicate_rate"] == 1
    assert measures["set/start_sensitivity"] < 0.2


def test_without_variations_there_is_no_noise_to_see(store: WindowStore) -> None:
    measures, floor, _ = measured_of(store, random_rolls(4, 1, 2))
    assert np.isnan(measures["set/noise_sensitivity"])
    assert measures["set/duplicate_rate"] == 0
    assert measures["latent/kl"] == 1.5
    assert not {"set/noise_sensitivity", "set/duplicate_rate"} & floor.keys()


def test_measured_against_test_songs_and_the_floor_from_validation_songs(store: WindowStore) -> None:
    rolls = random_rolls(4, 1, 2)
    measures, floor, run = measured_of(store, rolls)
    windows = run.windows
    reference = unpack(windows.packed(windows.reference))
    others = unpack(windows.packed(windows.validation[:8]))
    expected = start_sensitivity(rolls.reshape(8, 5, 32, 128), np.repeat(np.arange(4), 2), reference)
    assert measures["set/start_sensitivity"] == pytest.approx(expected)
    songs = store.song_numbers(windows.reference)
    assert floor["set/start_sensitivity"] == pytest.approx(start_sensitivity(reference, songs, reference))
    assert floor["set/duplicate_rate.floor"] == duplicate_rate(others)
    swapped = dataclasses.replace(windows, reference=windows.validation, validation=windows.reference)
    again, _ = measured(NothingOfItsOwn(), dataclasses.replace(run, windows=swapped))
    assert again["set/start_sensitivity"] != measures["set/start_sensitivity"]
