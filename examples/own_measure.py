#!/usr/bin/env python
"""Does noise on the latents lead voices into parallel fifths, which Bach avoids?"""

from itertools import combinations

import numpy as np

from musiclab import Grid, Study
from musiclab.measures import measure


@measure(unit="share", better="real", title="Parallel fifths where two voices move")
def parallel_fifths(rolls):  # (n, track, step, pitch) bool
    """Share of the steps where two voices move that lead from a fifth to a fifth; NaN if none ever move together."""
    highest = np.where(rolls.any(-1), 127 - rolls[..., ::-1].argmax(-1), -1)
    moves, fifths = 0, 0
    for one, other in combinations(highest[:, 1:].swapaxes(0, 1), 2):  # (n, step) each, without the drums
        sounding, fifth = (one >= 0) & (other >= 0), abs(one - other) % 12 == 7
        both = (np.diff(one) != 0) & (np.diff(other) != 0) & sounding[:, 1:] & sounding[:, :-1]
        moves += both.sum()
        fifths += (both & fifth[:, 1:] & fifth[:, :-1]).sum()
    return fifths / moves if moves else float("nan")


@measure(unit="semitones", better="real", title="How far the top voice moves at a time")
def leap(rolls):
    """Mean distance of neighbouring notes of the top voice, which is the Piano's; NaN if it never moves."""
    piano = rolls[:, 1]
    highest = 127 - piano[..., ::-1].argmax(-1)
    distance = abs(np.diff(highest))[piano.any(-1)[:, 1:] & piano.any(-1)[:, :-1]]
    return distance[distance > 0].mean() if distance.any() else float("nan")


if __name__ == "__main__":
    space, control = {"noise_sd": Grid(0.0, 0.5, 2.0)}, {"noise_sd": 0.5}
    study = Study(
        name="parallel_fifths", system="vae_nn", space=space, control=control, blocks=2,
        fixed={"vae_epochs": 20, "latent_epochs": 20}, objective=parallel_fifths, measures=(leap,),
    )  # fmt: skip
    study.main()
