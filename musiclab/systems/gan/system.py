"""gan: a DCGAN over all five instruments at once, with the article's stability tricks as switches of their own.

Facts (Tham and Kim 2021, and their code where the text is silent): a generator of 6 transposed convolutions makes a
5 x 32 x 128 window of 100 normal numbers; a discriminator mirrors it with 6 convolutions to one probability; PReLU and
BatchNorm between, Adam for both. As coded the window is 5 x 64 x 72, one BatchNorm and one PReLU module serve every
layer, labels are smoothed and features matched in variables that nothing uses. The article heard mode collapse: 100
samples of different noise sounded alike.

The text gives no kernels: here every convolution but the one between noise and first map divides (or multiplies) the
window by its stride s with a kernel of s + 2. As in DCGAN (Radford et al. 2016) the discriminator's first layer and the
generator's last have no BatchNorm. A convolution has one channel count, so one BatchNorm can serve only layers of equal
width: with `norm` reused all hidden layers have the middle one's, and share scale, shift and PReLU slope. What a
BatchNorm has seen stays each layer's own even then, which changes nothing in training.

The system continues no start window: each window is an independent sample. When windows are made, BatchNorm uses the
statistics of one fixed batch of noise, taken after training, so that no window hangs on those it is made beside.
"""

import json
import math
from typing import ClassVar

import numpy as np
import torch

from musiclab.data.songs import TRACKS
from musiclab.data.windows import pack
from musiclab.systems.base import GENERATE, MEASURE, StageRun, System
from musiclab.systems.gan.config import GANConfig
from musiclab.systems.gan.learner import Adversaries, GanLearner, cell_logits, cut_rolls, draw
from musiclab.systems.gan.networks import Generator
from musiclab.systems.timing import seconds_a_step
from musiclab.training import tensors
from musiclab.training.batches import EVAL_BATCH
from musiclab.training.fit import Diverged, fit
from musiclab.training.streams import Block

WEIGHTS, THRESHOLDS = "weights.safetensors", "thresholds.json"


class GAN(System):
    """GAN; see the module's docstring."""

    name = "gan"
    config = GANConfig
    stages = ("train", GENERATE, MEASURE)
    conditions = ("noise",)
    rests_on = (
        "musiclab.systems.gan.config",
        "musiclab.systems.gan.learner",
        "musiclab.systems.gan.networks",
        "musiclab.measures.pairs",  # for the curves
        "musiclab.measures.variety",
        "musiclab.measures.rolls",
    )
    presets: ClassVar = {
        # The same layers, narrower; rates and betas for a few hundred steps instead of a hundred thousand.
        "demo": {
            "width": 8, "batch": 32, "epochs": 8, "g_lr": 3e-3, "beta1": 0.5, "beta2": 0.9,
            "max_train": 1024, "max_eval": 384,
        },
        # As coded where the text gives no detail (rates, betas, init, batch), as written where it does. Neither gives
        # a threshold: 0.5 is where the discriminator's binary windows have their middle.
        "article": {"output_start": "even", "threshold_rule": "absolute"},
    }  # fmt: skip

    def train(self, stage: str, run: StageRun) -> None:
        learner = GanLearner(run)
        fit(learner, run.config.epochs, run.files)
        generator, cuts = learner.finished()
        if not all(map(math.isfinite, cuts)):
            # Finite weights can still overflow on the way, and then there is no threshold.
            raise Diverged("diverged: the log-odds of generated windows are not finite")
        run.files.write(WEIGHTS, tensors.to_bytes(generator.state_dict(), {"cells_on": learner.cells_on}))
        run.files.write(THRESHOLDS, json.dumps(cuts).encode())

    @torch.no_grad()
    def continuations(self, run: StageRun, starts: np.ndarray) -> np.ndarray:
        """Independent samples, as many as windows are wanted; of the starts only the number counts."""
        config, files = run.config, run.files.product("train")
        state, meta = tensors.from_bytes(files.read(WEIGHTS))
        generator = Generator(config, meta["cells_on"])
        generator.load_state_dict(state)
        generator = generator.to(run.device, memory_format=torch.channels_last).eval()
        cuts = [torch.tensor(config.threshold).logit().item()] * len(TRACKS)
        if config.threshold_rule == "calibrated":
            cuts = json.loads(files.read(THRESHOLDS))
        noise = run.block.torch("sampling", "generate")
        z_NL = torch.randn(len(starts) * config.continuation, config.latent_dim, generator=noise)
        made = [
            pack(cut_rolls(cell_logits(generator, part.to(run.device)), cuts, config))
            for part in z_NL.split(EVAL_BATCH)
        ]
        return np.concatenate(made).reshape(len(starts), config.continuation, *starts.shape[1:])

    def own_measures(self, run: StageRun) -> dict[str, float]:
        """None: what tells collapse, variety and duplicates, is measured of every system."""
        return {}

    def estimated_seconds(self, config: GANConfig, windows: int) -> float:
        """Training time, from a few steps of both networks on noise."""
        block, cpu = Block(0, 0), torch.device("cpu")
        pair = Adversaries(config, block, dict.fromkeys(TRACKS, 0.02), cpu)
        streams = {name: block.torch(name) for name in ("noise", "labels", "instance noise")}
        real = (torch.rand(config.batch, len(TRACKS), config.steps, config.pitches) < 0.01).float()
        step = seconds_a_step(lambda: pair.step(real, draw(config, config.batch, streams, cpu)))
        return step * config.epochs * max(1, windows // config.batch)
