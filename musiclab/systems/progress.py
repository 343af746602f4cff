"""What the progress of systems is worked out from: validation songs, and music that networks make while they learn.

No product of a stage depends on its progress. So what measures it here is in functions named `*_measures`, and a change
of a measure retrains nothing, see `musiclab.code_lock`.
"""

from typing import Any

import numpy as np

from musiclab.data.windows import unpack
from musiclab.systems.base import StageRun

# How much is continued to see how far a training has come: a quarter of what a trial continues by default. It depends
# on no field of the stage `generate`, because trials that differ there share their training.
STARTS, CONTINUATION = 16, 4


def progress_starts(run: StageRun[Any]) -> np.ndarray:
    """The packed windows `(n, track, steps, 16)` of validation songs that are continued."""
    return run.data.packed(run.data.validation[:STARTS])


def song_windows(run: StageRun[Any]) -> int:
    """How many windows the block's whole validation songs have."""
    return sum(int(run.data.store.songs[number].count) for number in run.data.songs["validation"])


def best_f1_measures(activations: np.ndarray, actual: np.ndarray) -> float:
    """The mean over tracks of the frame F1 at the threshold that is best for it; NaN if no track sounds.

    Args:
        activations: `(track, ...)`.
        actual: bool, the same shape. Tracks that are silent in it do not count.
    """
    from musiclab.measures.ranking import ranking
    from musiclab.measures.rolls import nan_mean

    return nan_mean(np.array([ranking(*pair).best_f1 for pair in zip(activations, actual, strict=True)]))


def distance_measures(run: StageRun[Any], rolls: np.ndarray) -> float:
    """The Frechet distance of windows `(n, track, steps, 128)` bool to the block's validation windows.

    It is the measure `frechet`, which compares with test windows.
    """
    from musiclab.measures.embedding import embed, frechet_distance
    from musiclab.measures.notes import in_blocks

    def embedded(windows: np.ndarray) -> np.ndarray:
        return in_blocks(lambda block: embed(block, run.config.resolution), windows)

    real = embedded(unpack(run.data.packed(run.data.validation)))
    return frechet_distance(embedded(rolls), real, reference=real)
