"""How a trial of any system is measured: which windows are compared with which, and on what scale."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from musiclab.data.songs import PIANO
from musiclab.data.windows import unpack
from musiclab.hashing import content_hash
from musiclab.measures.baselines import COPIED_FROM, baseline_measures
from musiclab.measures.conditions import condition_response, without_piano
from musiclab.measures.distributions import features, histograms
from musiclab.measures.originality import TrainingWindows
from musiclab.measures.suite import (
    first_variations,
    music_measures,
    set_measures,
    structure_measures,
    training_measures,
)
from musiclab.measures.window_set import WindowSet
from musiclab.systems.base import GENERATE, StageRun, System, common_code, read_generated
from musiclab.systems.targets import NONE, block_targets

# Start windows that are continued anew with another condition: enough for a mean.
_CONDITION_STARTS = 64
_TRAINING_AT_ONCE = 1024


def measured(
    system: System, run: StageRun, scale: dict[str, dict[str, Any]]
) -> tuple[dict[str, float], dict[str, dict[str, list[int]]]]:
    """The trial's measures by full name, and its histograms `{"generated" or "real": {feature: counts}}`.

    `scale` is what `real_baselines` gives for this run, or for another of the same `baselines_key`.
    """
    config, windows = run.config, run.windows
    packed = read_generated(run.files.product(GENERATE))
    # By start, variation and place in the continuation.
    continuations = unpack(packed.reshape(-1, config.variations, *packed.shape[1:]))
    generated = continuations.reshape(-1, *continuations.shape[3:])
    reference, count = _windows(run, windows.reference), _count(run)
    compared, _ = first_variations(continuations, count)
    likeness = _training(run).likeness(compared)
    measures = system.own_measures(run)
    measures |= music_measures(generated, config.resolution)
    measures |= structure_measures(_joined(continuations), config.resolution)
    measures |= set_measures(continuations, reference, count)
    measures |= training_measures(likeness, scale["values"][COPIED_FROM])
    measures |= _condition_measures(system, run, reference.first(count).rolls)
    counts = {"generated": histograms(features(generated, config.resolution)), "real": scale["histograms"]}
    return measures, counts


def baselines_key(run: StageRun) -> str:
    """Content hash of all that `real_baselines` hangs on: trials of one block share it, whatever their system."""
    return content_hash(
        {
            "data": run.windows.store.fingerprint,
            "block": [run.block.seed, run.block.index],
            "fields": run.config.of_stages(("windows",)),
            "count": _count(run),
            "code": common_code().identity,
        }
    )


def real_baselines(run: StageRun) -> dict[str, dict[str, Any]]:
    """What a trial's measures are read on, of its block's real windows alone: JSON but for NaN.

    `values` as `suite.baseline_measures` gives them; `histograms` by feature, of the reference windows.
    """
    windows = run.windows
    reference = _windows(run, windows.reference, windows.songs["reference"])
    other = _windows(run, windows.validation[: _count(run)], windows.songs["validation"])
    values = baseline_measures(other, reference, _training(run), run.block.numpy("measure", "floor"))
    return {"values": values, "histograms": histograms(reference.features)}


def _count(run: StageRun) -> int:
    """How many generated windows are compared with the reference: as many as other real ones.

    And as there are windows of the reference. Or distances would differ in bias, and with them measure and floor.
    """
    windows = run.windows
    return min(len(windows.starts) * run.config.continuation, len(windows.validation), len(windows.reference))


def _windows(run: StageRun, indices: np.ndarray, songs: np.ndarray | tuple[int, ...] = ()) -> WindowSet:
    """The block's windows at `indices`, with their songs; and whole songs, by their places in the store."""
    windows = run.windows
    pieces = [unpack(windows.song(number)) for number in songs]
    numbers = windows.store.song_numbers(indices)
    return WindowSet(unpack(windows.packed(indices)), numbers, run.config.resolution, pieces)


def _training(run: StageRun) -> TrainingWindows:
    """All windows that any system may have been trained on: single ones, pairs, and those of whole songs."""
    windows = run.windows
    songs = [windows.store.songs[number] for number in windows.songs["train"]]
    of_songs = [np.arange(song.first, song.first + song.count) for song in songs]
    seen = np.unique(np.concatenate([windows.train, windows.pairs.ravel(), *of_songs]))

    def blocks() -> Iterator[np.ndarray]:
        for first in range(0, len(seen), _TRAINING_AT_ONCE):
            yield unpack(windows.packed(seen[first : first + _TRAINING_AT_ONCE]))

    return TrainingWindows(blocks())


def _joined(continuations: np.ndarray) -> list[np.ndarray]:
    """Each continuation as one piece, `(track, time, pitch)`."""
    return [np.concatenate(list(windows), axis=1) for of_start in continuations for windows in of_start]


def _condition_measures(system: System, run: StageRun, real: np.ndarray) -> dict[str, float]:
    """Of systems that have the condition: what exchanging the piano, or the target, between starts changes.

    The first starts are continued by one window, with their own and with the next start's, noise and all else the same.
    A start for which that is no other says nothing and is left out.
    """
    starts = run.windows.packed(run.windows.starts[:_CONDITION_STARTS, 0])
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, continuation=1, variations=1))
    result = {}
    if "piano" in system.conditions:
        result["set/piano_sensitivity"] = _piano_sensitivity(system, run, starts, real)
    if "target" in system.conditions and run.config.target != NONE:
        result["set/target_sensitivity"] = _target_sensitivity(system, run, starts, real)
    return result


def _piano_sensitivity(system: System, run: StageRun, starts: np.ndarray, real: np.ndarray) -> float:
    """How much the other tracks change with the piano of the start window, against those of real windows."""
    exchanged = starts.copy()
    exchanged[:, PIANO] = np.roll(starts[:, PIANO], 1, axis=0)
    changed = (exchanged != starts).any(axis=(1, 2, 3))
    plain, other = (without_piano(_next_windows(system, run, of))[changed] for of in (starts, exchanged))
    return condition_response(plain, other, without_piano(real))


def _target_sensitivity(system: System, run: StageRun, starts: np.ndarray, real: np.ndarray) -> float:
    """How much all tracks change with the target song; NaN where all starts have one and the same."""
    targets = block_targets(run.config.target, run.windows, run.block)
    own = targets.weights_of(len(run.windows.starts))[: len(starts)]
    changed = (np.roll(own, 1, axis=0) != own).any(axis=1)
    plain, other = (
        _next_windows(system, dataclasses.replace(run, targets=dataclasses.replace(targets, weights=weights)), starts)
        for weights in (own, np.roll(own, 1, axis=0))
    )
    return condition_response(plain[changed], other[changed], real)


def _next_windows(system: System, run: StageRun, starts: np.ndarray) -> np.ndarray:
    """The window that follows each of packed starts, bool `(n, track, time, pitch)`."""
    return unpack(system.continuations(run, starts)[:, 0])
