"""How many steps must a Markov chain of chords remember?"""

from collections import defaultdict

import numpy as np

from musiclab import Grid, Study
from musiclab.systems import system


@system
def chord_markov(data, *, order=2):
    """What sounds at a step is drawn from what followed the last `order` steps in the training windows."""
    followers = [defaultdict(list) for _ in range(order + 1)]  # by how many steps are remembered
    for window in steps(data.train):
        for place in range(order, len(window)):
            for length in range(order + 1):
                followers[length][tuple(window[place - length : place])].append(window[place])
    draws, made = data.numpy("sampling"), []
    for song in map(list, steps(data.starts)):
        for _ in range(data.windows * data.steps):
            length = next(n for n in range(order, -1, -1) if tuple(song[len(song) - n :]) in followers[n])
            choices = followers[length][tuple(song[len(song) - length :])]
            song.append(choices[draws.integers(len(choices))])
        made.append(song[data.steps :])
    cells = np.frombuffer(b"".join(step for song in made for step in song), bool)
    return cells.reshape(len(made), data.windows, data.steps, 5, 128).transpose(0, 1, 3, 2, 4)


def steps(rolls):
    """Rolls (n, track, step, pitch) as lists of steps, each the bytes of its cells."""
    return [[step.tobytes() for step in window] for window in rolls.transpose(0, 2, 1, 3)]


if __name__ == "__main__":
    Study(
        name="chord_markov",
        system=chord_markov,
        space={"order": Grid(1, 2, 4)},
        control={"order": 1},
        blocks=2,
        objective="frechet",
    ).main()
