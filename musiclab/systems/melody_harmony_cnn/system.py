"""melody_harmony_cnn: a MelodyCNN for the piano, and a ConditionalHarmonyCNN for each other instrument.

Facts (Tham and Kim 2021; their code if the text is silent): MelodyCNN has the shape of an autoencoder: three
convolutions, dense layers (three as written, two as coded) and three transposed convolutions. It predicts the piano's
next window from its last. Each ConditionalHarmonyCNN predicts its instrument's next window from that instrument's last
and the piano's *current* one. Both go through convolutions (separate ones as written, the same as coded) and are joined
before the dense layers. It learns with the real piano and plays with the generated one. Batch normalisation, dropout
0.4, MSE, Adam at 5e-4 x 0.98^epoch, batch 32, 50 epochs. The output is divided by its maximum and thresholded at 0.4.

The mended form plays by other rules. A network that is trained by squared error predicts the mean of all windows that
could follow: it knows what sounds better than when, and any threshold turns such plateaus into held notes. So a share
of each pitch's mean is taken away first (`contrast`). Of neighbouring pitches only the largest sounds (`peaks`), and
thresholds are set so that tracks are as dense as real ones. Its rate rises, then falls along a cosine.

There is no noise anywhere, so all continuations of one start window are the same. With the relative threshold an
instrument that should rest still plays: its likeliest cells. If the text and the code differ, there is a field. The
rolls here are binary; the article's were grey (velocity/127). If there are no facts, the choice is ours: channels and
kernels (nearly those of the article's VAE), hidden layers of 256, batch normalisation before every ReLU of a
convolution, dropout after the hidden dense layers, and a start near silence.
"""

import math
from typing import Any, ClassVar

import numpy as np
import torch

from musiclab.data.songs import PIANO, TRACKS
from musiclab.systems.activations import OWN
from musiclab.systems.base import Progress, StageRun, System
from musiclab.systems.config import GENERATE, MEASURE
from musiclab.systems.melody_harmony_cnn.config import HARMONY, MELODY, MelodyHarmonyCNNConfig
from musiclab.systems.melody_harmony_cnn.networks import NextWindowCNN, NextWindowStack
from musiclab.systems.melody_harmony_cnn.next_window import WEIGHTS, Networks, NextWindowLearner, keep_probes
from musiclab.systems.timing import seconds_a_step
from musiclab.training import tensors
from musiclab.training.adam import Adam
from musiclab.training.batches import in_order, mean_window
from musiclab.training.fit import fit
from musiclab.training.patches import squared_distance

MEAN_WINDOW = "mean_window.safetensors"


class MelodyHarmonyCNN(System[MelodyHarmonyCNNConfig]):
    """The CNN pair; see the module's docstring."""

    name = "melody_harmony_cnn"
    config = MelodyHarmonyCNNConfig
    packed = True
    stages: ClassVar[dict[str, int]] = {MELODY: 3, HARMONY: 2, GENERATE: 2, MEASURE: 2}
    conditions = ("start", "piano")
    provides = ("pairs",)
    progress = Progress(HARMONY, "Frechet distance to validation windows", "lower")
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        # The same architecture, narrower and with fewer epochs, so that any data set takes minutes only.
        "demo": {"width": 16, "epochs": 14, "lr": 1e-2, "lr_decay": 0.95, "max_train": 1024, "max_eval": 384},
        "article": {},
    }
    forms: ClassVar[dict[str, dict[str, Any]]] = {
        "mended": {"schedule": "cosine", "threshold_rule": "density", "peaks": OWN, "contrast": 0.5},
        "written": {"dense_layers": 3, "encoder": "separate", "threshold_rule": "relative", "threshold": 0.4},
        "coded": {"dense_layers": 2, "encoder": "shared", "threshold_rule": "relative", "threshold": 0.4},
    }

    def train(self, stage: str, run: StageRun[MelodyHarmonyCNNConfig]) -> None:
        tracks = [PIANO] if stage == MELODY else [track for track in range(len(TRACKS)) if track != PIANO]
        learner = NextWindowLearner(run, tracks)
        fit(learner, run.config.epochs, run.files, run.after_epoch, run.rungs, run.at_rung)
        run.files.write(WEIGHTS, tensors.to_bytes(learner.weights(), {"tracks": learner.tracks}))
        if stage == MELODY:
            keep_probes(run)
            run.files.write(MEAN_WINDOW, tensors.to_bytes({"mean": mean_window(run.data, run.device).float()}))

    def continuations(self, run: StageRun[MelodyHarmonyCNNConfig], starts: np.ndarray) -> np.ndarray:
        """All starts at once, window by window: the piano, then the others given the piano."""
        return Networks(run).continued(starts)

    def own_measures(self, run: StageRun[MelodyHarmonyCNNConfig]) -> dict[str, float]:
        """How well the next window of test songs is predicted, given the predicted piano."""
        from musiclab.systems.prediction import prediction_measures

        networks = Networks(run)

        def activations(last: np.ndarray) -> np.ndarray:
            batches = (networks.following(x_NRTP)[1] for x_NRTP in in_order(run.data, last, run.device))
            return torch.cat(list(batches)).cpu().numpy()

        state, _ = tensors.from_bytes(run.files.product(MELODY).read(MEAN_WINDOW))
        return prediction_measures(run.data, activations, state["mean"].numpy())

    def estimated_seconds(self, config: MelodyHarmonyCNNConfig, windows: int) -> float:
        """Training time of the five networks, from a few steps of each kind on noise."""
        steps = config.epochs * math.ceil(windows / config.batch)
        return steps * (_seconds_a_step(config, 1, False) + _seconds_a_step(config, len(TRACKS) - 1, True))


def _seconds_a_step(config: MelodyHarmonyCNNConfig, members: int, with_piano: bool) -> float:
    stack = NextWindowStack([NextWindowCNN(config, with_piano) for _ in range(members)])
    optimizer = Adam(stack.parameters())
    x = (torch.rand(members, config.batch, config.steps * 128) < 0.05).float()
    kept = [torch.ones(members, config.batch, config.hidden)] * (config.dense_layers - 1)

    def step() -> None:
        optimizer.zero_grad()
        squared_distance(stack(x, x[0], kept), x).sum().backward()
        optimizer.step()

    return seconds_a_step(step)
