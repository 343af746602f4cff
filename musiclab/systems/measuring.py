"""How a trial of any system is measured: which windows are compared with which."""

import numpy as np

from musiclab.data.windows import unpack
from musiclab.measures.suite import floors, music_measures, set_measures
from musiclab.systems.base import GENERATE, StageRun, System, read_generated


def measured(system: System, run: StageRun) -> tuple[dict[str, float], dict[str, float]]:
    """The trial's measures by full name, and the floor: the same of real windows against other real windows."""
    resolution, windows = run.config.resolution, run.windows
    continuations = unpack(read_generated(run.files.product(GENERATE)))
    generated = continuations.reshape(-1, *continuations.shape[2:])
    starts = np.arange(len(generated)) // (run.config.variations * continuations.shape[1])
    reference = unpack(windows.packed(windows.reference))
    # As many generated windows as other real ones, or the Frechet distance and its floor would differ in bias.
    count = min(len(generated), len(windows.validation))
    other = windows.validation[:count]
    measures = system.own_measures(run)
    measures |= music_measures(generated, resolution)
    measures |= set_measures(generated, starts, reference, resolution, count)
    floor = floors(
        unpack(windows.packed(other)), windows.store.song_numbers(other),
        reference, windows.store.song_numbers(windows.reference),
        resolution, run.block.numpy("measure", "floor"),
    )  # fmt: skip
    return measures, floor
