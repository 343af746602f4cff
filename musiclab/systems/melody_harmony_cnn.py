"""melody_harmony_cnn: a MelodyCNN for the piano, and a ConditionalHarmonyCNN for each other instrument.

Facts (Tham and Kim 2021; their code if the text is silent): MelodyCNN has the shape of an autoencoder: three
convolutions, dense layers (three as written, two as coded) and three transposed convolutions. It predicts the piano's
next window from its last. Each ConditionalHarmonyCNN predicts its instrument's next window from that instrument's last
and the piano's *current* one. Both go through convolutions (separate ones as written, the same as coded) and are joined
before the dense layers. It learns with the real piano and plays with the generated one. Batch normalisation, dropout
0.4, MSE, Adam at 5e-4 x 0.98^epoch, batch 32, 50 epochs. The output is divided by its maximum and thresholded at 0.4.

There is no noise anywhere, so all continuations of one start window are the same. With the relative threshold an
instrument that should rest still plays: its likeliest cells. If the text and the code differ, there is a field. The
rolls here are binary; the article's were grey (velocity/127). If there are no facts, the choice is ours: channels and
kernels (nearly those of the article's VAE), hidden layers of 256, batch normalisation before every ReLU of a
convolution, dropout after the hidden dense layers, and a start near silence.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from musiclab.data.songs import PIANO, TRACKS
from musiclab.data.windows import pack
from musiclab.systems.base import StageRun, System
from musiclab.systems.config import GENERATE, MEASURE, Config, field
from musiclab.systems.timing import seconds_a_step
from musiclab.training import tensors
from musiclab.training.batches import EVAL_BATCH, float_rolls, in_order, mean_window, shuffled, windows_on
from musiclab.training.fit import Learner, fit
from musiclab.training.modules import channels_last
from musiclab.training.running_means import RunningMeans

MELODY, HARMONY = "melody", "harmony"
WEIGHTS, MEAN_WINDOW = "weights.safetensors", "mean_window.safetensors"


@dataclass(frozen=True)
class MelodyHarmonyCNNConfig(Config):
    """Fields of `melody_harmony_cnn` by stage; "as written" is the article's text, "as coded" its authors' code.

    Melody and harmony are trained in separate stages, so that variants of the harmony's encoder share one training of
    the melody. Fields that both use belong to the first stage.
    """

    steps_factor = 16

    width: int = field(
        64, MELODY, "channels of the first convolution; the next have 2 and 4 times as many", low=1, high=512
    )
    hidden: int = field(256, MELODY, "units of each hidden dense layer", low=1, high=8192)
    dense_layers: int = field(3, MELODY, "dense layers: 3 as written, 2 as coded", low=2, high=3)
    dropout: float = field(0.4, MELODY, "after each hidden dense layer", low=0, high=0.9)
    epochs: int = field(50, MELODY, "passes over the pairs of consecutive windows, each network", low=1, high=10_000)
    batch: int = field(32, MELODY, "pairs a step", low=1, high=4096)
    lr: float = field(5e-4, MELODY, "Adam's learning rate at the first epoch", low=1e-7, high=1)
    lr_decay: float = field(0.98, MELODY, "its factor an epoch", low=0.1, high=1)

    encoder: str = field(
        "separate", HARMONY, "convolutions for the instrument and for the piano: separate, or shared as coded",
        choices=("separate", "shared"),
    )  # fmt: skip

    threshold_rule: str = field(
        "relative", GENERATE, "threshold: relative to each window's own maximum, or absolute",
        choices=("relative", "absolute"),
    )  # fmt: skip
    threshold: float = field(0.4, GENERATE, "a cell sounds above it", low=0, high=1)


class NextWindowCNN(nn.Module):
    """An instrument's next window `(n, 1, steps, 128)` from its last one.

    `with_piano` also takes the piano's current window: ConditionalHarmonyCNN is with it, MelodyCNN without.
    """

    def __init__(self, config: MelodyHarmonyCNNConfig, with_piano: bool) -> None:
        super().__init__()
        # The last convolution leaves two places in pitch, because batch normalisation fails if it gets a single value,
        # as it would from a batch of one window.
        flat, last = 8 * config.width, (config.steps // 16, 4)
        self.own = encoder(config.width, last)
        self.piano = encoder(config.width, last) if with_piano and config.encoder == "separate" else None
        self.with_piano = with_piano
        inputs = 2 * flat if with_piano else flat
        self.dense = dense(inputs, config.hidden, flat, config.dense_layers, config.dropout)
        self.decoder = decoder(config.width, last)

    def forward(self, last_N1TP: torch.Tensor, piano_N1TP: torch.Tensor | None = None) -> torch.Tensor:
        """Activations of the next window: about 0 if a cell is surely silent, about 1 if it surely sounds.

        Raises:
            ValueError: the network is with the piano, and no piano is given.
        """
        if not self.with_piano:
            code = self.own(last_N1TP)
        elif piano_N1TP is None:
            raise ValueError("a network that follows the piano needs the piano's window")
        elif self.piano is None:
            # In one batch, so that shared batch normalisation sees the same mixture in training as in generation.
            code = torch.cat(self.own(torch.cat([last_N1TP, piano_N1TP])).chunk(2), dim=1)
        else:
            code = torch.cat([self.own(last_N1TP), self.piano(piano_N1TP)], dim=1)
        activations: torch.Tensor = self.decoder(self.dense(code))
        return activations


def encoder(width: int, last: tuple[int, int]) -> nn.Module:
    """Three convolutions, each with batch normalisation: from windows to `(n, 8 x width)`."""
    return nn.Sequential(
        nn.Conv2d(1, width, 4, 4), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 4, 4), nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.Conv2d(2 * width, 4 * width, last, last), nn.BatchNorm2d(4 * width), nn.ReLU(),
        nn.Flatten(),
    )  # fmt: skip


def decoder(width: int, last: tuple[int, int]) -> nn.Module:
    """The convolutions of `encoder` in reverse, transposed: back to windows. There is no activation after the last."""
    outermost = nn.ConvTranspose2d(width, 1, 4, 4)
    with torch.no_grad():
        # Nearly all cells are silent. So a network that starts at full size is first pushed down to silence as a whole,
        # and it takes long to recover; at a high learning rate it never does.
        outermost.weight.mul_(0.1)
        outermost.bias.zero_()  # type: ignore[union-attr]  # a convolution has a bias unless told otherwise
    return nn.Sequential(
        nn.Unflatten(1, (4 * width, 1, 2)), nn.BatchNorm2d(4 * width), nn.ReLU(),
        nn.ConvTranspose2d(4 * width, 2 * width, last, last), nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 4, 4), nn.BatchNorm2d(width), nn.ReLU(),
        outermost,
    )  # fmt: skip


def dense(inputs: int, hidden: int, outputs: int, layers: int, dropout: float) -> nn.Module:
    """`layers` dense layers, with ReLU and dropout after each but the last."""
    sizes = [inputs, *[hidden] * (layers - 1)]
    modules: list[nn.Module] = []
    for size in sizes[:-1]:
        modules += [nn.Linear(size, hidden), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*modules, nn.Linear(sizes[-1], outputs))


class NextWindowLearner(Learner):
    """The networks of some tracks, each trained by itself on the pairs of consecutive windows, in the same order.

    A track that is silent in all windows to be predicted gets no network and stays silent.
    """

    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]

    def __init__(self, run: StageRun[MelodyHarmonyCNNConfig], tracks: Iterable[int]) -> None:
        self.run = run
        sounding = windows_on(run.data, run.data.pairs[:, 1], run.device).any(dim=(1, 2)).tolist()
        self.tracks = [track for track in tracks if sounding[track]]
        self.modules, self.optimizers = {}, {}
        for track in self.tracks:
            name = TRACKS[track]
            with run.block.global_torch("init", "next", name):
                module = NextWindowCNN(run.config, with_piano=track != PIANO)
            self.modules[name] = channels_last(module, run.device)
            self.optimizers[name] = torch.optim.Adam(module.parameters(), lr=run.config.lr, fused=True)

    def epoch(self, number: int) -> dict[str, float]:
        sums = RunningMeans()
        for track in self.tracks:
            # Each network has its own stream, so that no instrument shifts another's dropout.
            with self.run.block.global_torch("dropout", "next", TRACKS[track], number):
                self._train_track(track, number, sums)
        return sums.means()

    def _train_track(self, track: int, number: int, sums: RunningMeans) -> None:
        run, name = self.run, TRACKS[track]
        module, optimizer = self.modules[name].train(), self.optimizers[name]
        optimizer.param_groups[0]["lr"] = run.config.lr * run.config.lr_decay**number
        for batch in shuffled(len(run.data.pairs), run.config.batch, run.block.torch("data", "next", number)):
            packed = run.data.packed(run.data.pairs[batch.numpy()])[:, :, [track, PIANO]]
            last, current = float_rolls(packed, run.device).unbind(1)
            loss = F.mse_loss(module(last[:, :1], current[:, 1:]), current[:, :1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sums.add(len(batch), {f"train/next_mse.{name}": loss})


class Networks:
    """The trained networks, which together predict the next windows of all instruments, the piano's first."""

    def __init__(self, run: StageRun[MelodyHarmonyCNNConfig]) -> None:
        self.config = run.config
        self.modules: dict[int, NextWindowCNN] = {}
        for stage in (MELODY, HARMONY):
            state, meta = tensors.from_bytes(run.files.product(stage).read(WEIGHTS))
            for track in meta["tracks"]:
                module = NextWindowCNN(run.config, with_piano=track != PIANO)
                module.load_state_dict(tensors.under(TRACKS[track], state))
                self.modules[track] = channels_last(module, run.device).eval()

    @torch.no_grad()
    def next_cells(self, last_NRTP: torch.Tensor) -> torch.Tensor:
        """The next windows, bool `(n, track, steps, 128)`; tracks without a network are silent."""
        return torch.cat([self._next_cells(batch) for batch in last_NRTP.split(EVAL_BATCH)])

    def _next_cells(self, last_NRTP: torch.Tensor) -> torch.Tensor:
        cells = torch.zeros_like(last_NRTP, dtype=torch.bool)
        # The melody's stage comes first, so the piano is complete before the others need it.
        for track, module in self.modules.items():
            activations = module(last_NRTP[:, track : track + 1], cells[:, PIANO : PIANO + 1].float())
            cells[:, track] = sounding(activations, self.config.threshold_rule, self.config.threshold)[:, 0]
        return cells


def sounding(activations_N1TP: torch.Tensor, rule: str, threshold: float) -> torch.Tensor:
    """The cells that sound, bool. By the relative rule these are the cells above a share of their window's maximum.

    By that rule a window is silent if and only if its maximum is not above 0 (or the threshold is 1).
    """
    if rule == "absolute":
        return activations_N1TP > threshold
    # Not divided by the maximum: a negative maximum would turn the least likely cells into the loudest.
    return activations_N1TP > threshold * activations_N1TP.amax(dim=(1, 2, 3), keepdim=True)


class MelodyHarmonyCNN(System[MelodyHarmonyCNNConfig]):
    """The CNN pair; see the module's docstring."""

    name = "melody_harmony_cnn"
    config = MelodyHarmonyCNNConfig
    stages: ClassVar[dict[str, int]] = {MELODY: 1, HARMONY: 1, GENERATE: 1, MEASURE: 1}
    conditions = ("start", "piano")
    provides = ("pairs",)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # The same architecture, narrower and with fewer epochs, so that any data set takes minutes only.
        "demo": {"width": 16, "epochs": 14, "lr": 1e-2, "lr_decay": 0.95, "max_train": 1024, "max_eval": 384},
        "article": {"dense_layers": 3, "encoder": "separate", "threshold_rule": "relative", "threshold": 0.4},
    }  # fmt: skip

    def train(self, stage: str, run: StageRun[MelodyHarmonyCNNConfig]) -> None:
        tracks = [PIANO] if stage == MELODY else [track for track in range(len(TRACKS)) if track != PIANO]
        learner = NextWindowLearner(run, tracks)
        fit(learner, run.config.epochs, run.files, run.after_epoch)
        run.files.write(WEIGHTS, tensors.to_bytes(learner.weights(), {"tracks": learner.tracks}))
        if stage == MELODY:
            run.files.write(MEAN_WINDOW, tensors.to_bytes({"mean": mean_window(run.data, run.device).float()}))

    def continuations(self, run: StageRun[MelodyHarmonyCNNConfig], starts: np.ndarray) -> np.ndarray:
        """All starts at once, window by window: the piano, then the others given the piano."""
        # Nothing is drawn, so equal starts are continued once; this makes their continuations equal to the bit.
        distinct, place = np.unique(starts, axis=0, return_inverse=True)
        networks, window = Networks(run), float_rolls(distinct, run.device)
        continued = []
        for _ in range(run.config.continuation):
            cells = networks.next_cells(window)
            continued.append(pack(cells.cpu().numpy()))
            window = cells.float()
        return np.stack(continued, axis=1)[place]

    def own_measures(self, run: StageRun[MelodyHarmonyCNNConfig]) -> dict[str, float]:
        """How well the next window of test songs is predicted, given the predicted piano."""
        from musiclab.measures.suite import next_window_measures

        networks, pairs = Networks(run), run.data.reference_pairs
        predicted = [networks.next_cells(x_NRTP) for x_NRTP in in_order(run.data, pairs[:, 0], run.device)]
        last, actual = (np.unpackbits(run.data.packed(pairs[:, place]), axis=-1).view(bool) for place in (0, 1))
        state, _ = tensors.from_bytes(run.files.product(MELODY).read(MEAN_WINDOW))
        return next_window_measures(torch.cat(predicted).cpu().numpy(), last, state["mean"].numpy(), actual)

    def estimated_seconds(self, config: MelodyHarmonyCNNConfig, windows: int) -> float:
        """Training time of the five networks, from a few steps of each kind on noise."""
        x = (torch.rand(config.batch, 1, config.steps, 128) < 0.05).float()
        steps = config.epochs * math.ceil(windows / config.batch)
        return steps * (_seconds_a_step(config, x, False) + (len(TRACKS) - 1) * _seconds_a_step(config, x, True))


def _seconds_a_step(config: MelodyHarmonyCNNConfig, x: torch.Tensor, with_piano: bool) -> float:
    module = channels_last(NextWindowCNN(config, with_piano), torch.device("cpu"))
    optimizer = torch.optim.Adam(module.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        F.mse_loss(module(x, x), x).backward()
        optimizer.step()

    return seconds_a_step(step)
