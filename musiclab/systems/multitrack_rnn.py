"""multitrack_rnn: a GRU over time steps that predicts what all five instruments play at the next one.

Facts (Tham and Kim 2021; their code if the text is silent): input and target are the 5 x 128 cells of a time step as
one vector of 640. Training sequences have 32 steps as written, 100 or 200 as coded. The network is a GRU of 3 layers of
512, the loss the mean squared error. A softmax is taken over each instrument's 128 pitches, and a fixed number of notes
a step is sampled from it: 2 for the piano and 3 for the guitar as written. As coded the number is 3 for each, or one
that the network predicts: the vector then has 5 counts more, 645 in all, and notes are out of the 2n most likely
pitches. As coded the target is one step too late.

What the facts leave open is done as follows:
- The mean squared error is that of the network's linear output. When notes are sampled, the softmax is taken of the
  same output. Cells are 0 or 1, and so are good predictions. A cell that is sure to sound is then only e times as
  likely as one that is sure to be silent, and a note is drawn there with probability e / (127 + e). So the samples are
  nearly random whatever was learnt, and so the article says that they sound. A temperature well below 1 makes what was
  learnt audible.
- Notes of one step are drawn without replacement, so that their number is the number asked for.
- As written, drums get 2 notes a step, bass 1 and strings 3. These are the rounded mean numbers of notes in steps of
  LPD-5 in which they sound (2.3, 1.1 and 3.4; piano 3.3, guitar 2.7).
- Counts are predicted in notes, unscaled; n notes are drawn out of the 2n pitches with the highest outputs.

With a fixed number of notes no instrument ever rests, except those that are silent in all training songs: they stay
silent. Batch, epochs and learning rate are ours.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from musiclab.data.songs import TRACKS
from musiclab.data.windows import PITCHES, pack
from musiclab.systems.base import StageRun, System
from musiclab.systems.config import GENERATE, MEASURE, Config, field
from musiclab.systems.timing import seconds_a_step
from musiclab.training import tensors
from musiclab.training.adam import Adam
from musiclab.training.batches import EVAL_BATCH, float_rolls
from musiclab.training.fit import Learner, fit
from musiclab.training.running_means import RunningMeans
from musiclab.training.sequences import excerpts, padded, stretch

WEIGHTS = "weights.safetensors"
# Notes a step of Drums, Piano, Guitar, Bass, Strings.
FIXED_COUNTS = {"written": (2, 2, 3, 1, 3), "three": (3, 3, 3, 3, 3)}


@dataclasses.dataclass(frozen=True)
class MultitrackRNNConfig(Config):
    """Fields of `multitrack_rnn` by stage; "as written" is the article's text, "as coded" its authors' code."""

    sequence: int = field(
        32, "train", "steps a training sequence: 32 as written, 100 or 200 as coded", low=1, high=4096
    )
    late_target: bool = field(False, "train", "learn the step after the next one, one too late, as coded")
    counts: str = field(
        "written", "train", "notes a step: as written, three for each, or predicted with the cells",
        choices=("written", "three", "predicted"),
    )  # fmt: skip
    hidden: int = field(512, "train", "size of each GRU layer", low=1, high=4096)
    layers: int = field(3, "train", "GRU layers", low=1, high=8)
    epochs: int = field(25, "train", "passes over the training songs", low=1, high=10_000)
    batch: int = field(32, "train", "sequences a step", low=1, high=4096)
    lr: float = field(1e-3, "train", "Adam's learning rate", low=1e-7, high=1)

    temperature: float = field(
        1.0, "generate", "divides the outputs before the softmax; 1 as written; well below 1 what was learnt is heard",
        low=0.001, high=100,
    )  # fmt: skip

    @property
    def ahead(self) -> int:
        """How many steps after its input a target lies."""
        return 2 if self.late_target else 1

    @property
    def size(self) -> int:
        """Numbers in a step's vector."""
        return len(TRACKS) * (PITCHES + (self.counts == "predicted"))


class NextStep(nn.Module):
    """From steps `(n, time, size)` to predictions of a later step, of the same shape, and the state of the GRU."""

    def __init__(self, config: MultitrackRNNConfig) -> None:
        super().__init__()
        self.gru = nn.GRU(config.size, config.hidden, config.layers, batch_first=True)
        self.out = nn.Linear(config.hidden, config.size)

    def forward(self, x_NTV: torch.Tensor, before: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        states_NTH, last = self.gru(x_NTV, before)
        return self.out(states_NTH), last


def vectors(x_NTRP: torch.Tensor, config: MultitrackRNNConfig) -> torch.Tensor:
    """Steps `(n, time, track, 128)` as vectors `(n, time, size)`: the cells, and the counts if these are predicted."""
    cells = x_NTRP.flatten(-2)
    return torch.cat([cells, x_NTRP.sum(dim=-1)], dim=-1) if config.counts == "predicted" else cells


class StepLearner(Learner):
    """The network, trained on sequences that are cut from the training songs anew each epoch.

    Shorter sequences are padded and masked.
    """

    def __init__(self, run: StageRun[MultitrackRNNConfig]) -> None:
        self.run, config = run, run.config
        with run.block.global_torch("init"):
            network = NextStep(config)
        self.network = network.to(run.device)
        self.modules = {"network": self.network}
        self.optimizers = {"network": Adam(network.parameters(), lr=config.lr)}

    def epoch(self, number: int) -> dict[str, float]:
        optimizer, sums = self.optimizers["network"], RunningMeans()
        for loss, steps in self._losses("train", self.run.block.torch("data", number)):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sums.add(steps, {"train/mse": loss})
        return sums.means() | self._validation()

    @torch.no_grad()
    def _validation(self) -> dict[str, float]:
        sums = RunningMeans()
        for loss, steps in self._losses("validation"):
            sums.add(steps, {"val/mse": loss})
        return sums.means()

    def _losses(self, part: str, order: torch.Generator | None = None) -> Iterator[tuple[torch.Tensor, int]]:
        """For each batch: its mean squared error over the steps that have a target, and the number of these steps."""
        run, config, windows = self.run, self.run.config, self.run.data
        songs = windows.songs[part]
        counts = [windows.store.songs[number].count * config.steps for number in songs]
        for rows in excerpts(counts, config.sequence, config.ahead, order).split(config.batch):
            packed_NTRB, lengths_N = padded(
                [stretch(windows, songs[song], begin, end).swapaxes(0, 1).copy() for song, begin, end in rows.tolist()]
            )
            x_NTV = vectors(float_rolls(packed_NTRB, run.device), config)
            yield (
                masked_mse(self.network, x_NTV, lengths_N.to(run.device), config.ahead),
                int((lengths_N - config.ahead).sum()),
            )


def masked_mse(network: NextStep, x_NTV: torch.Tensor, lengths_N: torch.Tensor, ahead: int) -> torch.Tensor:
    """Mean squared error of each step predicted from the steps up to `ahead` before it; `lengths_N` are the lengths."""
    predicted, _ = network(x_NTV[:, :-ahead])
    squares_NT = (predicted - x_NTV[:, ahead:]).square().mean(dim=-1)
    real_NT = torch.arange(ahead, x_NTV.shape[1], device=x_NTV.device) < lengths_N[:, None]
    mse: torch.Tensor = (squares_NT * real_NT).sum() / real_NT.sum()
    return mse


class MultitrackRNN(System[MultitrackRNNConfig]):
    """Multi-instrument GRU; see the module's docstring."""

    name = "multitrack_rnn"
    config = MultitrackRNNConfig
    stages: ClassVar[dict[str, int]] = {"train": 1, GENERATE: 1, MEASURE: 1}
    conditions = ("start", "noise")
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        # The same network, narrower and with fewer epochs, so that any data set takes minutes only.
        "demo": {"hidden": 64, "epochs": 6, "lr": 3e-3, "max_train": 1024, "max_eval": 384},
        "article": {"hidden": 512},
    }
    forms: ClassVar[dict[str, dict[str, Any]]] = {
        "mended": {},
        "written": {"sequence": 32, "late_target": False, "counts": "written", "layers": 3},
        "coded": {"sequence": 100, "late_target": True, "counts": "predicted", "layers": 3},
    }

    def train(self, stage: str, run: StageRun[MultitrackRNNConfig]) -> None:
        learner = StepLearner(run)
        fit(learner, run.config.epochs, run.files, run.after_epoch)
        sounding = np.any([run.data.song(song).any(axis=(1, 2)) for song in run.data.songs["train"]], axis=0)
        meta = {"sounding": [name for name, sounds in zip(TRACKS, sounding, strict=True) if sounds]}
        run.files.write(WEIGHTS, tensors.to_bytes(learner.weights(), meta))

    @torch.no_grad()
    def continuations(self, run: StageRun[MultitrackRNNConfig], starts: np.ndarray) -> np.ndarray:
        """Prime with the start windows, then draw step by step, all starts at once."""
        config = run.config
        state, meta = tensors.from_bytes(run.files.product("train").read(WEIGHTS))
        network = NextStep(config)
        network.load_state_dict(tensors.under("network", state))
        network.to(run.device)
        sounding = torch.tensor([name in meta["sounding"] for name in TRACKS], device=run.device)
        noise = run.block.torch("sampling", "generate")
        continued = []
        for at in range(0, len(starts), EVAL_BATCH):
            x_NTRP = float_rolls(starts[at : at + EVAL_BATCH], run.device).transpose(1, 2)
            predicted, last = network(vectors(x_NTRP, config))
            steps = []
            for _ in range(config.continuation * config.steps):
                cells_NRP = drawn(predicted[:, -1], config.counts, sounding, noise, config.temperature)
                steps.append(pack(cells_NRP.cpu().numpy()))
                predicted, last = network(vectors(cells_NRP[:, None].float(), config), last)
            continued.append(np.stack(steps, axis=2))
        windows = np.concatenate(continued)
        return windows.reshape(*windows.shape[:2], config.continuation, config.steps, -1).swapaxes(1, 2)

    def own_measures(self, run: StageRun[MultitrackRNNConfig]) -> dict[str, float]:
        """None: its squared error is in the curves, and no other system predicts one step ahead."""
        return {}

    def estimated_seconds(self, config: MultitrackRNNConfig, windows: int) -> float:
        """From a few training steps on noise."""
        network, length = NextStep(config), config.sequence + config.ahead
        optimizer = Adam(network.parameters())
        x_NTV = (torch.rand(config.batch, length, config.size) < 0.02).float()
        lengths_N = torch.full((config.batch,), length)

        def step() -> None:
            optimizer.zero_grad()
            masked_mse(network, x_NTV, lengths_N, config.ahead).backward()
            optimizer.step()

        steps = windows * config.steps
        return seconds_a_step(step) * config.epochs * math.ceil(steps / (config.sequence * config.batch))


def drawn(
    output_NV: torch.Tensor, counts: str, sounding: torch.Tensor, noise: torch.Generator, temperature: float = 1.0
) -> torch.Tensor:
    """The next step's cells `(n, track, 128)` bool: notes drawn from the softmax of each instrument's outputs."""
    cells = len(TRACKS) * PITCHES
    output_NRP = output_NV[:, :cells].unflatten(1, (len(TRACKS), PITCHES))
    # The smallest quotients of exponential draws and probabilities are a draw without replacement. They are drawn on
    # the CPU, so that a trial on a GPU has the same draws.
    draw_NRP = torch.empty(output_NRP.shape).exponential_(generator=noise).to(output_NV.device)
    races_NRP = draw_NRP.log() - (output_NRP / temperature).log_softmax(dim=-1)
    if counts == "predicted":
        count_NR = output_NV[:, cells:].round()
        races_NRP[_rank(-output_NRP) >= 2 * count_NR[..., None]] = math.inf
    else:
        count_NR = torch.tensor(FIXED_COUNTS[counts], device=output_NV.device)
    return _rank(races_NRP) < (count_NR * sounding)[..., None]


def _rank(values: torch.Tensor) -> torch.Tensor:
    """The rank of each value along the last dimension, 0 for the smallest."""
    order = values.argsort(dim=-1)
    places = torch.arange(values.shape[-1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, places)
