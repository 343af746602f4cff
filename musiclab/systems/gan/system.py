"""gan: a DCGAN over all five instruments at once, with the article's stability tricks as switches of their own.

Facts (Tham and Kim 2021; their code if the text is silent): a generator of 6 transposed convolutions makes a 5 x 32 x
128 window from 100 normal numbers. A discriminator mirrors it with 6 convolutions to one probability. PReLU and
BatchNorm lie between the convolutions; both networks are trained by Adam. As coded the window is 5 x 64 x 72, and one
BatchNorm and one PReLU module serve every layer; labels are smoothed and features matched, but in variables that
nothing uses. The article's authors heard mode collapse: 100 samples of different noise sounded alike.

The text gives no kernels. Here every convolution, except the one between noise and first map, divides (or multiplies)
the window by its stride s with a kernel of s + 2. As in DCGAN (Radford et al. 2016), the discriminator's first layer
and the generator's last have no BatchNorm. One BatchNorm can serve only layers of the same width. So with `norm` reused
all hidden layers have the width of the middle one, and they share scale, shift and PReLU slope. Even then each layer
keeps its own statistics, which changes nothing in training.

After a few hundred steps the article's discriminator is far too strong, and the samples are much alike. The mended form
holds it back by spectral norm and R1, and its rates follow a cosine schedule. Tracks that play one note at a time
choose among their pitches and a rest.

The system continues no start window: each window is an independent sample. When windows are generated, BatchNorm uses
the statistics of one fixed batch of noise, taken after training, so that no window depends on the others of its batch.
"""

from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import torch

from musiclab.data.songs import TRACKS
from musiclab.data.windows import PITCHES, pack
from musiclab.systems.activations import OWN, NoteRules, radii_of
from musiclab.systems.base import Progress, StageRun, System
from musiclab.systems.config import GENERATE, MEASURE
from musiclab.systems.gan.config import GANConfig
from musiclab.systems.gan.learner import Adversaries, GanLearner, cell_logits, density_rules, draw, probes, sounding
from musiclab.systems.gan.networks import Generator, TrackStatistics
from musiclab.systems.timing import seconds_a_step
from musiclab.training import tensors
from musiclab.training.batches import EVAL_BATCH
from musiclab.training.fit import Diverged, fit
from musiclab.training.modules import channels_last
from musiclab.training.streams import Block

WEIGHTS = "weights.safetensors"


class GAN(System[GANConfig]):
    """GAN; see the module's docstring."""

    name = "gan"
    config = GANConfig
    packed = True
    stages: ClassVar[dict[str, int]] = {"train": 2, GENERATE: 2, MEASURE: 1}
    conditions = ("noise",)
    progress = Progress("train", "Frechet distance to validation windows", "lower")
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        # The same layers, narrower, with rates and betas for a few hundred steps instead of a hundred thousand. Without
        # spectral norm a rate of 1e-2 ends in near silence.
        "demo": {
            "width": 8, "batch": 32, "epochs": 18, "g_lr": 6e-3, "beta1": 0.5, "beta2": 0.9,
            "max_train": 1024, "max_eval": 384,
        },
        # As coded (rates, betas, init, batch), because the text gives no such detail. Neither gives a threshold; 0.5 is
        # the middle between the two values of the binary windows that the discriminator sees. After a few hundred steps
        # from even odds no cell is above it, so the demo scale takes the default start and thresholds in every form.
        "article": {"output_start": "even", "threshold_rule": "absolute"},
    }  # fmt: skip
    forms: ClassVar[dict[str, dict[str, Any]]] = {
        "mended": {
            "output": "softmax", "schedule": "cosine", "ttur": 3.5, "spectral_norm": True, "r1": 0.3,
            "output_start": "data", "threshold_rule": "density", "peaks": OWN,
        },
        "written": {},
        "coded": {
            "resolution": 4, "steps": 64, "hop": 64, "pitches": 72, "norm": "reused", "label_smoothing": False,
            "feature_matching": False,
        },
    }  # fmt: skip

    def train(self, stage: str, run: StageRun[GANConfig]) -> None:
        learner = GanLearner(run)
        fit(learner, run.config.epochs, run.files, run.after_epoch, run.rungs, run.at_rung)
        generator = learner.finished()
        logits = cell_logits(generator, learner.probes)
        if not logits[:, generator.sounds.flatten().cpu()].isfinite().all():
            # Finite weights can still overflow inside the network, and then there is no threshold.
            raise Diverged("diverged: the log-odds of generated windows are not finite")
        run.files.write(WEIGHTS, tensors.to_bytes(generator.state_dict(), asdict(learner.tracks)))

    @torch.no_grad()
    def continuations(self, run: StageRun[GANConfig], starts: np.ndarray) -> np.ndarray:
        """Independent samples, as many as windows are wanted. Only the number of starts matters."""
        config = run.config
        state, meta = tensors.from_bytes(run.files.product("train").read(WEIGHTS))
        tracks = TrackStatistics(**meta)
        generator = Generator(config, tracks)
        generator.load_state_dict(state)
        generator = channels_last(generator, run.device).eval()
        rules = _note_rules(run, generator, tracks)
        noise = run.block.torch("sampling", "generate")
        z_NL = torch.randn(len(starts) * config.continuation, config.latent_dim, generator=noise)
        batches = [
            pack(sounding(cell_logits(generator, batch.to(run.device)), rules, config))
            for batch in z_NL.split(EVAL_BATCH)
        ]
        return np.concatenate(batches).reshape(len(starts), config.continuation, *starts.shape[1:])

    def own_measures(self, run: StageRun[GANConfig]) -> dict[str, float]:
        """None: collapse, variety and duplicates are measured for every system."""
        return {}

    def estimated_seconds(self, config: GANConfig, windows: int) -> float:
        """Training time, from a few steps of both networks on noise."""
        block, cpu = Block(0, 0), torch.device("cpu")
        tracks = TrackStatistics(dict.fromkeys(TRACKS, 0.005), [PITCHES - 1] * len(TRACKS))
        pair = Adversaries(config, block, tracks, cpu)
        streams = {name: block.torch(name) for name in ("noise", "labels", "instance noise")}
        real = (torch.rand(config.batch, len(TRACKS), config.steps, config.pitches) < 0.01).float()
        seconds = seconds_a_step(lambda: pair.step(real, draw(config, config.batch, streams, cpu)))
        return seconds * config.epochs * max(1, windows // config.batch)


def _note_rules(run: StageRun[GANConfig], generator: Generator, tracks: TrackStatistics) -> NoteRules:
    """The rules from log-odds to notes. Densities are those of windows from the block's probes."""
    config = run.config
    radii = radii_of(config.peaks, tracks.radii)
    if config.threshold_rule == "absolute":
        return NoteRules(torch.full((len(TRACKS), 1, 1), config.threshold).logit(), radii)
    return density_rules(cell_logits(generator, probes(config, run.block, run.device)), tracks, radii)
