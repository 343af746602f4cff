"""How a trial of any system is measured: which windows are compared with which, and with what baselines."""

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from musiclab.data.songs import PIANO
from musiclab.data.windows import unpack
from musiclab.errors import UserError
from musiclab.hashing import content_hash
from musiclab.measures.baselines import COPIED_FROM, FLOOR, baseline_measures, unlike_music
from musiclab.measures.conditions import condition_response, without_piano
from musiclab.measures.distributions import features, histograms
from musiclab.measures.originality import TrainingWindows
from musiclab.measures.own import OwnMeasure, wrong_number
from musiclab.measures.suite import (
    first_variations,
    music_measures,
    set_measures,
    structure_measures,
    training_measures,
)
from musiclab.measures.window_set import WindowSet
from musiclab.plain import plain as as_plain
from musiclab.systems.base import StageRun, System, common_code, read_generated
from musiclab.systems.config import GENERATE, Config
from musiclab.systems.targets import NONE, block_targets
from musiclab.user_code import described, is_ours

# How many start windows are continued again with another condition: enough for a mean.
_CONDITION_STARTS = 64
_TRAINING_AT_ONCE = 1024


def measured(
    system: System[Any], run: StageRun[Any], baselines: dict[str, dict[str, Any]]
) -> tuple[dict[str, float], dict[str, dict[str, list[int]]]]:
    """Measure a trial whose windows are generated.

    Args:
        system: the trial's system.
        run: of the stage `measure`.
        baselines: what `real_baselines` returns for this run, or for another one with the same `baselines_key`.

    Returns:
        The trial's measures by full name, and its histograms `{"generated" or "real": {feature: counts}}`.
    """
    config = run.config
    continuations = _continuations(run)
    generated = continuations.reshape(-1, *continuations.shape[3:])
    reference, count = _windows(run, run.data.reference), _count(run)
    compared, _ = first_variations(continuations, count)
    likeness = _training(run).likeness(compared)
    measures = _own_measures(system, run)
    measures |= music_measures(generated, config.resolution)
    measures |= structure_measures(_joined(continuations), config.resolution)
    measures |= set_measures(continuations, reference, count)
    measures |= training_measures(likeness, baselines["values"][COPIED_FROM])
    measures |= _condition_measures(system, run, reference.first(count).rolls)
    counts = {"generated": histograms(features(generated, config.resolution)), "real": baselines["histograms"]}
    return measures, counts


def own_measured(system: System[Any], run: StageRun[Any], own: Iterable[OwnMeasure]) -> dict[str, float]:
    """A user's own measures of a trial whose windows are generated, by full name, of those that its system can have.

    They get the windows that the measures of sets get: as many as the baselines have, of the first variations.

    Raises:
        UserError: one raises, or returns no number.
    """
    continuations, reference = _continuations(run), _windows(run, run.data.reference)
    pieces = _joined(continuations[:, :1])
    generated = WindowSet(*first_variations(continuations, _count(run)), run.config.resolution, pieces)
    present = {*system.provides, *system.conditions}
    return {each.name: each.value(generated, reference) for each in own if present.issuperset(each.measure.needs)}


def _own_measures(system: System[Any], run: StageRun[Any]) -> dict[str, float]:
    """What the system itself measures; UserError if these are no numbers by name."""
    measures: Any = as_plain(system.own_measures(run))
    if not isinstance(measures, dict) or not all(isinstance(name, str) for name in measures):
        raise UserError(f"{described(type(system))}: own_measures must return numbers by name; got {measures!r}.")
    if is_ours(type(system)):
        return dict(measures)
    for name, value in measures.items():
        if wrong := wrong_number(value):
            raise UserError(f"{described(type(system))}: own_measures {wrong} for {name}.")
    return dict(measures)


def baselines_key(run: StageRun[Config]) -> str:
    """Content hash of all that `real_baselines` depends on. Trials of one block share it, whatever their system."""
    return content_hash(
        {
            "data": run.data.store.fingerprint,
            "block": [run.block.seed, run.block.index],
            "fields": run.config.of_stages(("windows",)),
            "count": _count(run),
            "code": common_code().identity,
        }
    )


def real_baselines(run: StageRun[Config]) -> dict[str, dict[str, Any]]:
    """What a trial's measures are compared with, from the real windows of its block alone. JSON, except for NaN.

    Returns:
        `values` of `baseline_measures`, and `histograms` of the reference windows by feature.
    """
    windows = run.data
    reference = _windows(run, windows.reference, windows.songs["reference"])
    other = _windows(run, windows.validation[: _count(run)], windows.songs["validation"])
    values = baseline_measures(other, reference, _training(run), run.block.numpy("measure", "floor"))
    return {"values": values, "histograms": histograms(reference.features)}


def own_baselines_key(run: StageRun[Config], own: OwnMeasure) -> str:
    """As `baselines_key`, of one of the user's own measures."""
    return content_hash({"baselines": baselines_key(run), "measure": own.name, "code": own.code})


def own_baselines(run: StageRun[Config], own: Iterable[OwnMeasure]) -> dict[str, dict[str, float]]:
    """What each of a user's own measures is compared with, by its full name; each as `baseline_measures` has them.

    Raises:
        UserError: one raises, or returns no number.
    """
    windows = run.data
    reference = _windows(run, windows.reference, windows.songs["reference"])
    other = _windows(run, windows.validation[: _count(run)], windows.songs["validation"])
    # From the stream of `real_baselines`, so that the random notes are the same.
    ceilings = unlike_music(other, run.block.numpy("measure", "floor"))
    sample = reference.first(len(other.rolls))
    result = {}
    for each in own:
        real = math.nan if each.compares else each.value(sample, reference)
        floor = each.value(other, reference)
        values = {FLOOR: floor} if each.compares else {"": real, FLOOR: abs(floor - real)}
        values |= {suffix: each.value(made, reference) for suffix, made in ceilings.items()}
        result[each.name] = {each.name + suffix: value for suffix, value in values.items()}
    return result


def _continuations(run: StageRun[Any]) -> np.ndarray:
    """What was generated, bool `(start, variation, continuation, track, steps, 128)`."""
    packed = read_generated(run.files.product(GENERATE))
    return unpack(packed.reshape(-1, run.config.variations, *packed.shape[1:]))


def _count(run: StageRun[Config]) -> int:
    """How many generated windows are compared with the reference.

    It is also the number of other real windows in the baselines, and at most the number of reference windows. If the
    numbers differed, distances would differ in bias, and so would a measure and its floor.
    """
    windows = run.data
    generated = len(windows.starts) * run.config.continuation
    return min(generated, len(windows.validation), len(windows.reference))


def _windows(run: StageRun[Config], indices: np.ndarray, songs: np.ndarray | tuple[int, ...] = ()) -> WindowSet:
    """The block's windows at `indices` with their songs, and the whole songs at the places `songs` of the store."""
    windows = run.data
    pieces = [unpack(windows.song(number)) for number in songs]
    numbers = windows.store.song_numbers(indices)
    return WindowSet(unpack(windows.packed(indices)), numbers, run.config.resolution, pieces)


def _training(run: StageRun[Config]) -> TrainingWindows:
    """All windows that any system may have been trained on: single windows, pairs, and windows of whole songs."""
    windows = run.data
    songs = [windows.store.songs[number] for number in windows.songs["train"]]
    song_windows = [np.arange(song.first, song.first + song.count) for song in songs]
    seen = np.unique(np.concatenate([windows.train, windows.pairs.ravel(), *song_windows]))

    def blocks() -> Iterator[np.ndarray]:
        for first in range(0, len(seen), _TRAINING_AT_ONCE):
            yield unpack(windows.packed(seen[first : first + _TRAINING_AT_ONCE]))

    return TrainingWindows(blocks())


def _joined(continuations: np.ndarray) -> list[np.ndarray]:
    """Each continuation as one piece, `(track, time, pitch)`."""
    return [np.concatenate(list(windows), axis=1) for variations in continuations for windows in variations]


def _condition_measures(system: System[Any], run: StageRun[Any], real: np.ndarray) -> dict[str, float]:
    """How much the output changes if starts exchange their piano or their target, for systems that depend on these.

    The first starts are continued by one window: with their own piano or target, then with that of the next start.
    Noise and all else stay the same. A start whose next start has the same one is left out, because it shows nothing.
    """
    starts = run.data.packed(run.data.starts[:_CONDITION_STARTS, 0])
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, continuation=1, variations=1))
    result = {}
    if "piano" in system.conditions:
        result["set/piano_sensitivity"] = _piano_sensitivity(system, run, starts, real)
    if "target" in system.conditions and run.config.target != NONE:
        result["set/target_sensitivity"] = _target_sensitivity(system, run, starts, real)
    return result


def _piano_sensitivity(system: System[Any], run: StageRun[Any], starts: np.ndarray, real: np.ndarray) -> float:
    """How much the other tracks change with the piano of the start window, relative to those of real windows."""
    exchanged = starts.copy()
    exchanged[:, PIANO] = np.roll(starts[:, PIANO], 1, axis=0)
    changed = (exchanged != starts).any(axis=(1, 2, 3))
    plain, other = (without_piano(_next_windows(system, run, packed))[changed] for packed in (starts, exchanged))
    return condition_response(plain, other, without_piano(real))


def _target_sensitivity(system: System[Any], run: StageRun[Any], starts: np.ndarray, real: np.ndarray) -> float:
    """How much all tracks change with the target song; NaN if all starts have the same target."""
    targets = block_targets(run.config.target, run.data, run.block)
    own = targets.weights_of(len(run.data.starts))[: len(starts)]
    changed = (np.roll(own, 1, axis=0) != own).any(axis=1)
    plain, other = (
        _next_windows(system, dataclasses.replace(run, targets=dataclasses.replace(targets, weights=weights)), starts)
        for weights in (own, np.roll(own, 1, axis=0))
    )
    return condition_response(plain[changed], other[changed], real)


def _next_windows(system: System[Any], run: StageRun[Any], starts: np.ndarray) -> np.ndarray:
    """The window that follows each of the packed starts, bool `(n, track, time, pitch)`."""
    return unpack(system.continued(run, starts)[:, 0])
