"""Of how many similar moments should one go on? The nearest neighbours of scikit-learn as a generator."""

import io
from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from musiclab import Grid, Study
from musiclab.systems import Config, System, field


@dataclass(frozen=True)
class NearestStepsConfig(Config):
    alike: int = field(4, "generate", "last steps by which moments are alike", low=1, high=16)
    neighbors: int = field(4, "generate", "most similar moments, of which one is drawn", low=1)


class NearestSteps(System):
    """Goes on with the step that followed a moment of the training windows which was much like the last steps."""

    name, config = "nearest_steps", NearestStepsConfig

    def lowest(self, rolls):  # (n, track, step, pitch) bool as the lowest pitch (n, step, track), 128 for a rest
        return np.where(rolls.any(-1), rolls.argmax(-1), 128).astype(np.uint8).swapaxes(1, 2)

    def train(self, stage, run):  # what such a model learns is its data; of others keep what they have fitted
        buffer = io.BytesIO()
        np.save(buffer, self.lowest(run.rolls("train")))
        run.files.write("pitches.npy", buffer.getvalue())

    def continuations(self, run, starts):  # (n, track, step, pitch) bool; returns (n, window, track, step, pitch) bool
        pitches = np.load(io.BytesIO(run.files.product("train").read("pitches.npy")))
        alike, neighbors = run.config.alike, run.config.neighbors
        moments = np.lib.stride_tricks.sliding_window_view(pitches[:, :-1], alike, axis=1)
        followers = pitches[:, alike:].reshape(-1, 5)
        model = NearestNeighbors(n_neighbors=neighbors, metric="hamming", algorithm="brute")
        model.fit(moments.reshape(len(followers), -1))
        music, draws = self.lowest(starts), run.block.numpy("sampling")
        for _ in range(run.config.continuation * run.config.steps):
            last = music[:, -alike:].swapaxes(1, 2).reshape(len(music), -1)
            similar = model.kneighbors(last, return_distance=False)
            drawn = similar[np.arange(len(music)), draws.integers(neighbors, size=len(music))]
            music = np.concatenate([music, followers[drawn, None]], axis=1)
        made = music[:, run.config.steps :].reshape(len(music), run.config.continuation, -1, 5).swapaxes(2, 3)
        return made[..., None] == np.arange(128)


if __name__ == "__main__":
    space, control = {"neighbors": Grid(2, 4, 16)}, {"neighbors": 4}
    Study(name="nearest_steps", system=NearestSteps, space=space, control=control, blocks=2, objective="frechet").main()
