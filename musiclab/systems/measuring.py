"""How a trial of any system is measured: which windows are compared with which."""

import numpy as np

from musiclab.data.windows import unpack
from musiclab.measures.suite import RealWindows, music_measures, scale_measures, set_measures
from musiclab.systems.base import GENERATE, StageRun, System, read_generated


def measured(system: System, run: StageRun) -> tuple[dict[str, float], dict[str, float]]:
    """The trial's measures by full name, and the scale that they are read on, see `scale_measures`."""
    config, windows = run.config, run.windows
    packed = read_generated(run.files.product(GENERATE))
    # By start, variation and place in the continuation.
    continuations = unpack(packed.reshape(-1, config.variations, *packed.shape[1:]))
    generated = continuations.reshape(-1, *continuations.shape[3:])
    # As many generated windows as other real ones, or the Frechet distance and its floor would differ in bias.
    count = min(len(generated) // config.variations, len(windows.validation))
    reference, other = _real(run, windows.reference), _real(run, windows.validation[:count])
    measures = system.own_measures(run)
    measures |= music_measures(generated, config.resolution)
    measures |= set_measures(continuations, reference, count)
    return measures, scale_measures(other, reference, run.block.numpy("measure", "floor"))


def _real(run: StageRun, indices: np.ndarray) -> RealWindows:
    """The block's windows at `indices`, with their songs."""
    windows = run.windows
    return RealWindows(unpack(windows.packed(indices)), windows.store.song_numbers(indices), run.config.resolution)
