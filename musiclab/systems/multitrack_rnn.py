"""multitrack_rnn: a GRU over time steps that predicts what all five instruments play at the next one.

Facts (Tham and Kim 2021, and their code where the text is silent): input and target are the 5 x 128 cells of a time
step as one vector of 640; training sequences of 32 steps as written, 100 or 200 as coded; a GRU of 3 layers of 512;
mean squared error; a softmax over each instrument's 128 pitches, from which a fixed number of notes a step is sampled:
2 for the piano and 3 for the guitar as written; as coded 3 for each, or a number that the network predicts: 5 counts
more in a vector of 645, and notes out of the 2n most likely pitches. As coded the target is one step too late.

Where the facts leave things open:
- The mean squared error is that of the network's linear output, and the softmax is taken of the same output when notes
  are sampled. Cells are 0 or 1, and so are good predictions: a cell that is sure to sound is then e times as likely as
  one that is sure to be silent, and a note drawn at e in 127 + e. What is sampled is next to random whatever has been
  learnt, which is how the article says that it sounds. A temperature well below 1 lets it be heard.
- Notes of one step are drawn without replacement, so that their number is what it says.
- As written, drums get 2 notes a step, bass 1 and strings 3: the whole number next to what sounds in a step of LPD-5
  in which they sound (2.3, 1.1 and 3.4; piano 3.3, guitar 2.7).
- Counts are predicted as they are, in notes; n notes are drawn out of the 2n pitches with the highest outputs.

With a fixed number of notes no instrument ever rests, but for those silent in all training songs, which stay silent.
Batch, epochs and learning rate are ours.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from musiclab.data.songs import TRACKS
from musiclab.data.windows import PITCHES, pack
from musiclab.systems.base import GENERATE, MEASURE, StageRun, System
from musiclab.systems.config import Config, field
from musiclab.systems.timing import seconds_a_step
from musiclab.training import tensors
from musiclab.training.batches import EVAL_BATCH, unpack
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
        1.0, "generate", "divides the outputs before the softmax; 1 as written, well below 1 what was learnt is heard",
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
    """Steps as vectors `(n, time, size)` to predictions of a later step, of the same shape, and the GRU's state."""

    def __init__(self, config: MultitrackRNNConfig) -> None:
        super().__init__()
        self.gru = nn.GRU(config.size, config.hidden, config.layers, batch_first=True)
        self.out = nn.Linear(config.hidden, config.size)

    def forward(self, x_NTV: torch.Tensor, before: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        states_NTH, last = self.gru(x_NTV, before)
        return self.out(states_NTH), last


def vectors(x_NTRP: torch.Tensor, config: MultitrackRNNConfig) -> torch.Tensor:
    """Steps `(n, time, track, 128)` as vectors `(n, time, size)`: the cells, and with predicted counts those too."""
    cells = x_NTRP.flatten(-2)
    return torch.cat([cells, x_NTRP.sum(dim=-1)], dim=-1) if config.counts == "predicted" else cells


class StepLearner(Learner):
    """The network, on sequences cut anew from the training songs each epoch; those cut short are padded and masked."""

    def __init__(self, run: StageRun) -> None:
        self.run, config = run, run.config
        with run.block.global_torch("init"):
            network = NextStep(config)
        self.modules = {"network": network.to(run.device)}
        self.optimizers = {"network": torch.optim.Adam(network.parameters(), lr=config.lr, fused=True)}

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
        """Each batch's mean squared error over the cells of its steps that have a target, and how many those are."""
        run, config, windows = self.run, self.run.config, self.run.windows
        songs = windows.songs[part]
        counts = [windows.store.songs[number].count * config.steps for number in songs]
        for rows in excerpts(counts, config.sequence, config.ahead, order).split(config.batch):
            packed_NTRB, lengths_N = padded(
                [stretch(windows, songs[song], begin, end).swapaxes(0, 1).copy() for song, begin, end in rows.tolist()]
            )
            x_NTV = vectors(unpack(packed_NTRB, run.device), config)
            yield (
                masked_mse(self.modules["network"], x_NTV, lengths_N.to(run.device), config.ahead),
                int((lengths_N - config.ahead).sum()),
            )


def masked_mse(network: NextStep, x_NTV: torch.Tensor, lengths_N: torch.Tensor, ahead: int) -> torch.Tensor:
    """Mean squared error of predicting each step from those up to `ahead` before it, of sequences of those lengths."""
    predicted, _ = network(x_NTV[:, :-ahead])
    squares_NT = (predicted - x_NTV[:, ahead:]).square().mean(dim=-1)
    real_NT = torch.arange(ahead, x_NTV.shape[1], device=x_NTV.device) < lengths_N[:, None]
    return (squares_NT * real_NT).sum() / real_NT.sum()


class MultitrackRNN(System):
    """Multi-instrument GRU; see the module's docstring."""

    name = "multitrack_rnn"
    config = MultitrackRNNConfig
    stages: ClassVar = {"train": 1, GENERATE: 1, MEASURE: 1}
    conditions = ("start", "noise")
    presets: ClassVar = {
        # The same network, narrower and shorter: any data set within the minutes of a demo.
        "demo": {"hidden": 64, "epochs": 6, "lr": 3e-3, "max_train": 1024, "max_eval": 384},
        # As written.
        "article": {"sequence": 32, "late_target": False, "counts": "written", "hidden": 512, "layers": 3},
    }

    def train(self, stage: str, run: StageRun) -> None:
        learner = StepLearner(run)
        fit(learner, run.config.epochs, run.files, run.after_epoch)
        sounding = np.any([run.windows.song(song).any(axis=(1, 2)) for song in run.windows.songs["train"]], axis=0)
        meta = {"sounding": [name for name, sounds in zip(TRACKS, sounding, strict=True) if sounds]}
        run.files.write(WEIGHTS, tensors.to_bytes(learner.weights(), meta))

    @torch.no_grad()
    def continuations(self, run: StageRun, starts: np.ndarray) -> np.ndarray:
        """Prime with the start windows, then draw step by step, all starts at once."""
        config = run.config
        state, meta = tensors.from_bytes(run.files.product("train").read(WEIGHTS))
        network = NextStep(config)
        network.load_state_dict(tensors.under("network", state))
        network.to(run.device)
        sounding = torch.tensor([name in meta["sounding"] for name in TRACKS], device=run.device)
        noise = run.block.torch("sampling", "generate")
        made = []
        for at in range(0, len(starts), EVAL_BATCH):
            x_NTRP = unpack(starts[at : at + EVAL_BATCH], run.device).transpose(1, 2)
            predicted, last = network(vectors(x_NTRP, config))
            steps = []
            for _ in range(config.continuation * config.steps):
                cells_NRP = drawn(predicted[:, -1], config.counts, sounding, noise, config.temperature)
                steps.append(pack(cells_NRP.cpu().numpy()))
                predicted, last = network(vectors(cells_NRP[:, None].float(), config), last)
            made.append(np.stack(steps, axis=2))
        windows = np.concatenate(made)
        return windows.reshape(*windows.shape[:2], config.continuation, config.steps, -1).swapaxes(1, 2)

    def own_measures(self, run: StageRun) -> dict[str, float]:
        """None: its squared error is of one step ahead, which no other system predicts, and is in the curves."""
        return {}

    def estimated_seconds(self, config: MultitrackRNNConfig, windows: int) -> float:
        """From a few training steps on noise."""
        network, length = NextStep(config), config.sequence + config.ahead
        optimizer = torch.optim.Adam(network.parameters(), fused=True)
        x_NTV = (torch.rand(config.batch, length, config.size) < 0.02).float()
        lengths_N = torch.full((config.batch,), length)

        def step() -> None:
            optimizer.zero_grad()
            masked_mse(network, x_NTV, lengths_N, config.ahead).backward()
            optimizer.step()

        seen = windows * config.steps
        return seconds_a_step(step) * config.epochs * math.ceil(seen / (config.sequence * config.batch))


def drawn(
    output_NV: torch.Tensor, counts: str, sounding: torch.Tensor, noise: torch.Generator, temperature: float = 1.0
) -> torch.Tensor:
    """The next step's cells `(n, track, 128)` bool: notes drawn by the softmax of each instrument's outputs."""
    cells = len(TRACKS) * PITCHES
    output_NRP = output_NV[:, :cells].unflatten(1, (len(TRACKS), PITCHES))
    # The smallest quotients of exponential draws and probabilities are a draw without replacement; drawn on the CPU, so
    # that a GPU sees the same draws.
    draw_NRP = torch.empty(output_NRP.shape).exponential_(generator=noise).to(output_NV.device)
    races_NRP = draw_NRP.log() - (output_NRP / temperature).log_softmax(dim=-1)
    if counts == "predicted":
        count_NR = output_NV[:, cells:].round()
        races_NRP[_rank(-output_NRP) >= 2 * count_NR[..., None]] = math.inf
    else:
        count_NR = torch.tensor(FIXED_COUNTS[counts], device=output_NV.device)
    return _rank(races_NRP) < (count_NR * sounding)[..., None]


def _rank(values: torch.Tensor) -> torch.Tensor:
    """The place of each value among those of its last dimension, 0 for the smallest."""
    order = values.argsort(dim=-1)
    places = torch.arange(values.shape[-1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, places)
