"""Which generated windows of a trial are compared with which real ones."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from musiclab.data.chorales import Chorales
from musiclab.data.store import WindowStore, build
from musiclab.data.windows import WindowSpec, pack, unpack
from musiclab.measures.conditions import condition_response, without_piano
from musiclab.measures.distributions import features, histograms
from musiclab.measures.embedding import embed, frechet_distance
from musiclab.measures.music import empty_bars
from musiclab.measures.own import OwnMeasure
from musiclab.measures.pairs import pairs
from musiclab.measures.registry import OWN, Measure
from musiclab.measures.structure import self_similarity
from musiclab.measures.suite import structure_measures
from musiclab.measures.variety import start_sensitivity
from musiclab.systems import evaluation, find_system
from musiclab.systems.base import GENERATE, StageRun, write_generated
from musiclab.systems.evaluation import (
    baselines_key,
    measured,
    own_baselines,
    own_baselines_key,
    own_measured,
    real_baselines,
)
from musiclab.training.streams import Block
from tests.support.made_trials import MemoryFiles, stage_run

PIANO, GUITAR, BASS, STRINGS = range(1, 5)


class NothingOfItsOwn:
    """Stands for a system whose continuations are already there."""

    conditions: tuple[str, ...] = ("start",)
    provides: tuple[str, ...] = ()

    def own_measures(self, run: StageRun) -> dict[str, float]:
        return {"latent/kl": 1.5}


class Reconciler(NothingOfItsOwn):
    """Continues with the start's guitar, with its piano on the bass and with the number of its target on strings."""

    conditions = ("start", "piano", "target")

    def continued(self, run: StageRun, starts: np.ndarray) -> np.ndarray:
        assert run.config.continuation == run.config.variations == 1
        made = np.zeros_like(starts)
        made[:, PIANO], made[:, GUITAR], made[:, BASS] = starts[:, PIANO], starts[:, GUITAR], starts[:, PIANO]
        if run.targets is not None:
            made[:, STRINGS, 0, 5] = run.targets.weights.argmax(axis=1) + 1
        return made[:, None]


def run_of(store: WindowStore, rolls: np.ndarray, **fields: Any) -> StageRun:
    """A run that has left continuations `(start, variation, continuation, track, time, pitch)`."""
    starts, variations, continuation = rolls.shape[:3]
    common = {"max_eval": 24, "starts": starts, "variations": variations, "continuation": continuation}
    run = stage_run(store, Block(0, 0), find_system("vae_nn").config().with_values(common | fields), MemoryFiles())
    write_generated(run.files.product(GENERATE), pack(rolls.reshape(-1, *rolls.shape[2:])))
    return run


def measured_of(store: WindowStore, rolls: np.ndarray) -> tuple[dict[str, float], dict[str, float], StageRun]:
    """Measures and scale of continuations."""
    run = run_of(store, rolls)
    scale = real_baselines(run)
    return measured(NothingOfItsOwn(), run, scale)[0], scale["values"], run


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
    reference = unpack(windows.packed(windows.reference[:8]))  # as many as are generated
    others = unpack(windows.packed(windows.validation[:8]))
    expected = start_sensitivity(pairs(rolls.reshape(8, 5, 32, 128), np.repeat(np.arange(4), 2)), pairs(reference))
    assert measures["set/start_sensitivity"] == pytest.approx(expected)
    songs = store.song_numbers(windows.reference[:8])
    assert floor["set/start_sensitivity"] == pytest.approx(start_sensitivity(pairs(reference, songs), pairs(reference)))
    assert floor["set/duplicate_rate.floor"] == pairs(others).duplicate_rate
    real = embed(unpack(windows.packed(windows.reference)), 2)
    assert floor["set/frechet.floor"] == frechet_distance(embed(others, 2), real, real) > 1
    swapped = dataclasses.replace(windows, reference=windows.validation, validation=windows.reference)
    swapped_run = dataclasses.replace(run, windows=swapped)
    again, _ = measured(NothingOfItsOwn(), swapped_run, real_baselines(swapped_run))
    assert again["set/start_sensitivity"] != measures["set/start_sensitivity"]


def test_what_is_generated_and_real_in_bins(store: WindowStore) -> None:
    rolls = random_rolls(4, 2, 2)
    rolls[0, 0, 0] = False
    run = run_of(store, rolls)
    scale = real_baselines(run)
    _, counts = measured(NothingOfItsOwn(), run, scale)
    assert counts["generated"]["tracks"] == [1, 0, 0, 0, 0, 15]  # of all variations
    assert (
        counts["real"]
        == scale["histograms"]
        == histograms(features(unpack(run.windows.packed(run.windows.reference)), 2))
    )
    assert counts["real"]["tracks"] == [0, 0, 0, 0, 12, 0]  # strings are silent
    assert counts.keys() == {"generated", "real"}


def test_whole_songs_are_compared_with_whole_continuations(store: WindowStore) -> None:
    one = random_rolls(4, 1, 1)
    rolls = np.repeat(one, 3, axis=2)  # each window comes three times: so do its four bars
    measures, scale, run = measured_of(store, rolls)
    assert measures["music/self_similarity_4"] == measures["music/self_similarity_8"] == 1
    assert measures["music/self_similarity_1"] < 0.2
    songs = [unpack(run.windows.song(number)) for number in run.windows.songs["reference"]]
    assert scale["music/self_similarity_8"] == structure_measures(songs, 2)["music/self_similarity_8"]


def test_copies_of_training_windows_are_seen(store: WindowStore) -> None:
    run = run_of(store, random_rolls(4, 1, 2))
    scale = real_baselines(run)
    measures, _ = measured(NothingOfItsOwn(), run, scale)
    assert measures["set/copied_rate"] == 0
    assert measures["set/training_similarity"] < scale["values"]["set/training_similarity"]
    copied = unpack(run.windows.packed(run.windows.train[-8:])).reshape(4, 1, 2, 5, 32, 128)
    higher = np.roll(copied, 2, axis=-1)
    higher[:, :, :, 0] = copied[:, :, :, 0]
    measures, _ = measured(NothingOfItsOwn(), run_of(store, higher), scale)
    assert measures["set/copied_rate"] == measures["set/training_similarity"] == 1


def test_conditions_are_exchanged_one_at_a_time(store: WindowStore) -> None:
    run = run_of(store, random_rolls(6, 2, 2), target="drawn")
    scale = real_baselines(run)
    found, _ = measured(Reconciler(), run, scale)
    starts = unpack(run.windows.packed(run.windows.starts[:, 0]))
    real = unpack(run.windows.packed(run.windows.reference[:12]))
    # Of what the piano changes the bass alone counts, beside the guitar that stays.
    plain = np.zeros_like(starts)
    plain[:, GUITAR], plain[:, BASS] = starts[:, GUITAR], starts[:, PIANO]
    other = plain.copy()
    other[:, BASS] = np.roll(starts[:, PIANO], 1, axis=0)
    assert found["set/piano_sensitivity"] == pytest.approx(condition_response(plain, other, without_piano(real)))
    assert 0 < found["set/piano_sensitivity"] < 1
    assert 0 < found["set/target_sensitivity"] < 0.1  # a note or two of a whole window


def test_conditions_that_a_system_has_not_are_not_measured(store: WindowStore) -> None:
    run = run_of(store, random_rolls(4, 1, 2), target="drawn")
    scale = real_baselines(run)
    assert not {"set/piano_sensitivity", "set/target_sensitivity"} & measured(NothingOfItsOwn(), run, scale)[0].keys()
    without = run_of(store, random_rolls(4, 1, 2))
    found, _ = measured(Reconciler(), without, scale)
    assert "set/piano_sensitivity" in found and "set/target_sensitivity" not in found
    # One target for all starts cannot be exchanged.
    named = run_of(store, random_rolls(4, 1, 2), target=f'song:"{store.songs[0].id}" + song:"{store.songs[1].id}"')
    assert np.isnan(measured(Reconciler(), named, scale)[0]["set/target_sensitivity"])


def test_a_scale_is_shared_by_all_that_it_does_not_hang_on(store: WindowStore) -> None:
    rolls = random_rolls(4, 1, 2)
    run = run_of(store, rolls)
    key = baselines_key(run)
    same = run_of(store, rolls, latent_dim=8, noise_sd=3.0, target="drawn")
    assert baselines_key(same) == key
    assert baselines_key(run_of(store, random_rolls(8, 1, 1))) == key  # as many windows
    others = [
        run_of(store, random_rolls(5, 1, 2)),
        run_of(store, rolls, max_eval=23),
        run_of(store, rolls, max_train=10),
        dataclasses.replace(run, block=Block(0, 1)),
        dataclasses.replace(run, block=Block(1, 0)),
    ]
    assert len({key, *map(baselines_key, others)}) == 6
    np.testing.assert_equal(real_baselines(same), real_baselines(run))  # NaN is NaN


@pytest.mark.slow
def test_of_real_chorales_the_ceilings_are_worse_than_the_floor(tmp_path: Path) -> None:
    chorales = build(Chorales(), WindowSpec(), tmp_path, workers=1)
    config = find_system("vae_nn").config().with_values({"max_train": 1024, "max_eval": 384})
    scale = real_baselines(stage_run(chorales, Block(0, 0), config, MemoryFiles()))["values"]
    for name in ("frechet", "ndb", "bins_jsd", "feature_kl"):
        floor, shuffled, random = (scale[f"set/{name}.{of}"] for of in ("floor", "shuffled", "random"))
        assert floor < shuffled < random, name
    for name in ("precision", "density", "coverage", "overlap_area"):
        floor, shuffled, random = (scale[f"set/{name}.{of}"] for of in ("floor", "shuffled", "random"))
        assert floor > shuffled > random, name
    for name in ("music/harmony_gain", "music/scale_consistency", "set/training_similarity"):
        for ceiling in ("shuffled", "random"):
            assert scale[name] - scale[f"{name}.{ceiling}"] > 3 * scale[f"{name}.floor"], name


@pytest.mark.parametrize("part", ["pairs", "songs"])
def test_what_was_copied_from_any_window_trained_on_is_found(part: str, store: WindowStore) -> None:
    few = {"max_train": 8}
    windows = run_of(store, random_rolls(4, 1, 2), **few).windows
    rows = [store.songs[number] for number in windows.songs["train"]]
    of_part = {
        "pairs": windows.pairs.ravel(),
        "songs": np.concatenate([np.arange(r.first, r.first + r.count) for r in rows]),
    }
    others = np.setdiff1d(of_part[part], windows.train)
    copied = [window for window in store.batch(others) if window.any()][:8]
    run = run_of(store, np.stack(copied).reshape(4, 1, 2, *copied[0].shape), **few)
    assert measured(NothingOfItsOwn(), run, real_baselines(run))[0]["set/training_similarity"] == 1


def test_no_more_windows_are_compared_than_the_smallest_set_has(
    store: WindowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(store, random_rolls(4, 1, 2))
    windows = run.windows
    assert len(windows.starts) == 4 and min(len(windows.validation), len(windows.reference)) > 8
    seen: list[int] = []
    monkeypatch.setattr(evaluation, "baseline_measures", lambda other, *_: seen.append(len(other.rolls)) or {})
    smaller = (
        {"starts": windows.starts[:3]},
        {"validation": windows.validation[:5]},
        {"reference": windows.reference[:4]},
    )
    for change in smaller:
        real_baselines(dataclasses.replace(run, windows=dataclasses.replace(windows, **change)))
    assert seen == [6, 5, 4]


def test_an_own_measure_gets_what_the_measures_here_get(store: WindowStore) -> None:
    def own(name: str, function: Any, needs: tuple[str, ...] = (), code: str = "code") -> OwnMeasure:
        sent: Any = SimpleNamespace(load=lambda: function)
        return OwnMeasure(Measure(name, OWN, "share", "real", "?", needs=needs), sent, code)

    given: dict[str, Any] = {}

    def remembered(rolls: np.ndarray, songs: np.ndarray, pieces: list[np.ndarray]) -> float:
        given.update(rolls=rolls, songs=songs, pieces=pieces)
        return 0.5

    empty = own("empty", lambda rolls, resolution: np.nanmean(empty_bars(rolls, resolution)))
    likeness = own("likeness", lambda pieces, resolution: self_similarity(pieces, resolution)[0][0])
    distance = own("distance", lambda rolls, reference: frechet_distance(embed(rolls, 2), *[embed(reference, 2)] * 2))
    other = [own("aimed", lambda rolls: 0.5, ("target",)), own("followed", lambda rolls: 0.5, ("start",))]
    rolls = random_rolls(12, 2, 2)
    run = run_of(store, rolls)
    baselines = real_baselines(run)
    house = measured(NothingOfItsOwn(), run, baselines)[0] | baselines["values"]
    made = own_measured(NothingOfItsOwn(), run, [distance, *other, own("given", remembered)])
    # Of the first variations, and as many as there are other real windows, which is half of them.
    assert len(run.data.validation) == len(given["rolls"]) == 12
    assert np.array_equal(given["rolls"], rolls[:, 0, 0]) and list(given["songs"]) == list(range(12))
    assert len(given["pieces"]) == 12 and np.array_equal(given["pieces"][0][:, 32:], rolls[0, 0, 1])
    assert "own/aimed" not in made and made["own/followed"] == 0.5
    assert made["own/distance"] == pytest.approx(house["set/frechet"])
    beside = own_baselines(run, [empty, likeness, distance])
    pairs_of_names = {"empty": "music/empty_bars", "likeness": "music/self_similarity_1", "distance": "set/frechet"}
    for name, full_name in pairs_of_names.items():
        suffixes = ([""] if name != "distance" else []) + [".floor", ".shuffled", ".random"]
        assert list(beside[f"own/{name}"]) == [f"own/{name}{suffix}" for suffix in suffixes]
        for suffix in suffixes:
            expected = house[full_name + suffix]
            if name == "empty" and suffix in ("", ".floor"):  # of as many windows; that of musiclab has all
                real = beside["own/empty"]["own/empty"]
                sample = unpack(run.data.packed(run.data.reference[:12])), unpack(run.data.packed(run.data.validation))
                own_real, own_other = (np.nanmean(empty_bars(each, 2)) for each in sample)
                assert real == own_real
                expected = {"": own_real, ".floor": abs(own_other - own_real)}[suffix]
            assert beside[f"own/{name}"][f"own/{name}{suffix}"] == pytest.approx(expected, nan_ok=True), (name, suffix)
    keys = {own_baselines_key(run, each) for each in (empty, likeness, own("empty", empty.function, code="edited"))}
    assert len(keys | {baselines_key(run)}) == 4
