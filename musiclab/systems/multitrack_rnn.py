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

The mended form learns the very distribution that notes are drawn from, by cross-entropy in nats a step: -log of the
softmax at each cell that sounds, and the cross-entropy of each instrument's number of notes. That number is drawn too,
so an instrument may rest. Notes come from all pitches, because the softmax itself keeps them to the likely ones. One
layer takes half the time of three. The rate rises and then falls by a cosine, long gradients are cut, and a temperature
a little below 1 makes up for short training.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from musiclab.data.songs import TRACKS
from musiclab.data.windows import PITCHES, pack, unpack
from musiclab.errors import UserError
from musiclab.systems.base import Progress, StageRun, System
from musiclab.systems.config import GENERATE, MEASURE, Config, field
from musiclab.systems.progress import CONTINUATION, distance_measures, progress_starts
from musiclab.systems.timing import seconds_a_step
from musiclab.training import tensors
from musiclab.training.adam import Adam
from musiclab.training.batches import EVAL_BATCH, float_rolls
from musiclab.training.epoch import Epoch
from musiclab.training.fit import Learner, fit
from musiclab.training.running_means import RunningMeans
from musiclab.training.schedule import warm_cosine
from musiclab.training.sequences import excerpts, padded, stretch

WEIGHTS = "weights.safetensors"
# What the curves of a loss are called.
CURVES = {"mse": "mse", "cross_entropy": "nats_a_step"}
# Notes a step of Drums, Piano, Guitar, Bass, Strings.
FIXED_COUNTS = {"written": (2, 2, 3, 1, 3), "three": (3, 3, 3, 3, 3)}
# The most notes of an instrument in a step if their number is drawn. It stands for larger numbers too.
MOST_DRAWN = 6
CELLS = len(TRACKS) * PITCHES
# The temperature at which progress is heard. Outputs learnt by squared error are between 0 and 1 and need a low one.
_HEARD_AT = {"mse": 0.05, "cross_entropy": 1.0}


@dataclasses.dataclass(frozen=True)
class MultitrackRNNConfig(Config):
    """Fields of `multitrack_rnn` by stage; "as written" is the article's text, "as coded" its authors' code."""

    sequence: int = field(
        32, "train", "steps a training sequence: 32 as written, 100 or 200 as coded", low=1, high=4096
    )
    late_target: bool = field(False, "train", "learn the step after the next one, one too late, as coded")
    loss: str = field(
        "mse", "train", "squared error of the outputs as written, or cross-entropy of what is drawn from",
        choices=("mse", "cross_entropy"),
    )  # fmt: skip
    counts: str = field(
        "written", "train",
        "notes a step: as written, three for each, predicted with the cells, or drawn (with cross_entropy)",
        choices=("written", "three", "predicted", "drawn"),
    )  # fmt: skip
    hidden: int = field(512, "train", "size of each GRU layer", low=1, high=4096)
    layers: int = field(3, "train", "GRU layers", low=1, high=8)
    epochs: int = field(25, "train", "passes over the training songs", low=1, high=10_000)
    batch: int = field(32, "train", "sequences a step", low=1, high=4096)
    lr: float = field(1e-3, "train", "Adam's learning rate, or its highest", low=1e-7, high=1)
    schedule: str = field(
        "constant", "train", "learning rate: constant, or a rise and a cosine down to 0", choices=("constant", "cosine")
    )
    clip: float = field(0.0, "train", "largest norm of the gradient; 0 is no limit", low=0, high=1e6)

    temperature: float = field(
        1.0, "generate", "divides the outputs before the softmax; 1 as written; well below 1 what was learnt is heard",
        low=0.001, high=100,
    )  # fmt: skip

    def check(self) -> None:
        # Predicted counts are learnt by their squared error, drawn ones by cross-entropy.
        if self.loss == "mse" and self.counts == "drawn":
            raise UserError(f"counts must be written, three or predicted if loss is mse; got {self.counts}.")
        if self.loss == "cross_entropy" and self.counts == "predicted":
            raise UserError(f"counts must be written, three or drawn if loss is cross_entropy; got {self.counts}.")

    @property
    def ahead(self) -> int:
        """How many steps after its input a target lies."""
        return 2 if self.late_target else 1

    @property
    def inputs(self) -> int:
        """Numbers in a step's vector."""
        return CELLS + (len(TRACKS) if self.counts == "predicted" else 0)

    @property
    def outputs(self) -> int:
        """Numbers that are predicted of a step: its vector, or its cells and the log-odds of each number of notes."""
        return CELLS + len(TRACKS) * (MOST_DRAWN + 1) if self.counts == "drawn" else self.inputs


class NextStep(nn.Module):
    """From steps `(n, time, inputs)` to predictions of a later step `(n, time, outputs)`, and the state of the GRU."""

    def __init__(self, config: MultitrackRNNConfig) -> None:
        super().__init__()
        self.gru = nn.GRU(config.inputs, config.hidden, config.layers, batch_first=True)
        self.out = nn.Linear(config.hidden, config.outputs)

    def forward(self, x_NTV: torch.Tensor, before: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        states_NTH, last = self.gru(x_NTV, before)
        return self.out(states_NTH), last


def vectors(x_NTRP: torch.Tensor, config: MultitrackRNNConfig) -> torch.Tensor:
    """Steps `(n, time, track, 128)` as `(n, time, inputs)`: the cells, and the counts if these are predicted."""
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

    def epoch(self, epoch: Epoch) -> dict[str, float]:
        config, optimizer = self.run.config, self.optimizers["network"]
        batches = self._batches("train", self.run.block.torch("data", epoch.number))
        for step, rows in epoch.steps(batches, len(batches)):
            if config.schedule == "cosine":
                # How many batches an epoch has depends on its cuts; each epoch is an equal part of the whole.
                optimizer.param_groups[0]["lr"] = warm_cosine(config.lr, step, config.epochs * len(batches))
            loss, steps = self._loss("train", rows)
            optimizer.zero_grad()
            loss.backward()
            if config.clip:
                nn.utils.clip_grad_norm_(self.network.parameters(), config.clip)
            optimizer.step()
            epoch.sums.add(steps, {f"train/{CURVES[config.loss]}": loss})
        return epoch.sums.means() | self._validation()

    def progress(self) -> float:
        """Frechet distance to validation windows of continuations, at a temperature at which what is learnt is heard.

        Losses of sequences of another length, or with other counts of notes, are of other things.
        """
        run = self.run
        config = dataclasses.replace(run.config, continuation=CONTINUATION, temperature=_HEARD_AT[run.config.loss])
        noise = run.block.torch("sampling", "progress")
        windows = continued(self.network, config, sounding(run), progress_starts(run), noise)
        return distance_measures(run, unpack(np.concatenate(windows)))

    @torch.no_grad()
    def _validation(self) -> dict[str, float]:
        sums = RunningMeans()
        for rows in self._batches("validation"):
            loss, steps = self._loss("validation", rows)
            sums.add(steps, {f"val/{CURVES[self.run.config.loss]}": loss})
        return sums.means()

    def _batches(self, part: str, order: torch.Generator | None = None) -> Sequence[torch.Tensor]:
        """Batches of excerpts of a part's songs: rows (song, begin, end); `song` counts within the part."""
        config, windows = self.run.config, self.run.data
        counts = [windows.store.songs[number].count * config.steps for number in windows.songs[part]]
        return torch.split(excerpts(counts, config.sequence, config.ahead, order), config.batch)

    def _loss(self, part: str, rows: torch.Tensor) -> tuple[torch.Tensor, int]:
        """The loss of a batch over the steps that have a target, and the number of these steps."""
        run, config, songs = self.run, self.run.config, self.run.data.songs[part]
        packed_NTRB, lengths_N = padded(
            [stretch(run.data, songs[song], begin, end).swapaxes(0, 1).copy() for song, begin, end in rows.tolist()]
        )
        x_NTV = vectors(float_rolls(packed_NTRB, run.device), config)
        loss = masked_loss(self.network, x_NTV, lengths_N.to(run.device), config)
        return loss, int((lengths_N - config.ahead).sum())


def masked_loss(
    network: NextStep, x_NTV: torch.Tensor, lengths_N: torch.Tensor, config: MultitrackRNNConfig
) -> torch.Tensor:
    """Mean loss of each step predicted from the steps up to `ahead` before it; `lengths_N` are the lengths."""
    predicted_NTV, _ = network(x_NTV[:, : -config.ahead])
    target_NTV = x_NTV[:, config.ahead :]
    if config.loss == "mse":
        losses_NT = (predicted_NTV - target_NTV).square().mean(dim=-1)
    else:
        losses_NT = nats(predicted_NTV, target_NTV)
    real_NT = torch.arange(config.ahead, x_NTV.shape[1], device=x_NTV.device) < lengths_N[:, None]
    loss: torch.Tensor = (losses_NT * real_NT).sum() / real_NT.sum()
    return loss


def nats(output: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Cross-entropy `(...)` of steps with the cells `(..., 640)`, 0 or 1, given outputs `(..., outputs)`.

    It is the sum over instruments of -log softmax at each cell that sounds and, if the outputs have log-odds of the
    number of notes, of -log softmax at that number (at `MOST_DRAWN` if it is larger).
    """
    scores, odds = output.split([CELLS, output.shape[-1] - CELLS], dim=-1)
    scores, on = (values.unflatten(-1, (len(TRACKS), PITCHES)) for values in (scores, cells))
    total: torch.Tensor = -(scores.log_softmax(dim=-1) * on).sum(dim=(-2, -1))
    if odds.shape[-1]:
        log_shares = odds.unflatten(-1, (len(TRACKS), MOST_DRAWN + 1)).log_softmax(dim=-1)
        numbers = on.sum(dim=-1).clamp(max=MOST_DRAWN).long()
        total = total - log_shares.gather(-1, numbers[..., None]).sum(dim=(-2, -1))
    return total


class MultitrackRNN(System[MultitrackRNNConfig]):
    """Multi-instrument GRU; see the module's docstring."""

    name = "multitrack_rnn"
    config = MultitrackRNNConfig
    packed = True
    stages: ClassVar[dict[str, int]] = {"train": 1, GENERATE: 1, MEASURE: 1}
    conditions = ("start", "noise")
    progress = Progress("train", "Frechet distance to validation windows", "lower")
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        # The same network, narrower and with fewer epochs, so that any data set takes minutes only.
        "demo": {"hidden": 128, "batch": 16, "epochs": 10, "lr": 6e-3, "max_train": 1024, "max_eval": 384},
        "article": {"hidden": 512},
    }
    forms: ClassVar[dict[str, dict[str, Any]]] = {
        "mended": {
            "loss": "cross_entropy", "counts": "drawn", "layers": 1, "schedule": "cosine", "clip": 1.0,
            "temperature": 0.85,
        },
        "written": {"sequence": 32, "late_target": False, "loss": "mse", "counts": "written", "layers": 3},
        "coded": {"sequence": 100, "late_target": True, "loss": "mse", "counts": "predicted", "layers": 3},
    }  # fmt: skip

    def train(self, stage: str, run: StageRun[MultitrackRNNConfig]) -> None:
        learner = StepLearner(run)
        fit(learner, run.config.epochs, run.files, run.after_epoch, run.rungs, run.at_rung)
        run.files.write(WEIGHTS, tensors.to_bytes(learner.weights(), {"sounding": sounding(run)}))

    def continuations(self, run: StageRun[MultitrackRNNConfig], starts: np.ndarray) -> np.ndarray:
        """Prime with the start windows, then draw step by step, all starts at once."""
        config = run.config
        state, meta = tensors.from_bytes(run.files.product("train").read(WEIGHTS))
        network = NextStep(config)
        network.load_state_dict(tensors.under("network", state))
        noise = run.block.torch("sampling", "generate")
        return continued(network.to(run.device), config, meta["sounding"], starts, noise)

    def own_measures(self, run: StageRun[MultitrackRNNConfig]) -> dict[str, float]:
        """None: its loss is in the curves, and no other system predicts one step ahead."""
        return {}

    def estimated_seconds(self, config: MultitrackRNNConfig, windows: int) -> float:
        """From a few training steps on noise."""
        network, length = NextStep(config), config.sequence + config.ahead
        optimizer = Adam(network.parameters())
        x_NTV = (torch.rand(config.batch, length, config.inputs) < 0.02).float()
        lengths_N = torch.full((config.batch,), length)

        def step() -> None:
            optimizer.zero_grad()
            masked_loss(network, x_NTV, lengths_N, config).backward()
            optimizer.step()

        steps = windows * config.steps
        return seconds_a_step(step) * config.epochs * math.ceil(steps / (config.sequence * config.batch))


def sounding(run: StageRun[MultitrackRNNConfig]) -> list[str]:
    """The instruments that sound in training songs."""
    sounds = np.any([run.data.song(song).any(axis=(1, 2)) for song in run.data.songs["train"]], axis=0)
    return [name for name, any_note in zip(TRACKS, sounds, strict=True) if any_note]


@torch.no_grad()
def continued(
    network: NextStep, config: MultitrackRNNConfig, playing: list[str], starts: np.ndarray, noise: torch.Generator
) -> np.ndarray:
    """The windows after each packed start, as `System.continuations` returns them; only instruments `playing` sound."""
    device = network.out.weight.device
    sounds = torch.tensor([name in playing for name in TRACKS], device=device)
    pieces = []
    for at in range(0, len(starts), EVAL_BATCH):
        x_NTRP = float_rolls(starts[at : at + EVAL_BATCH], device).transpose(1, 2)
        predicted, last = network(vectors(x_NTRP, config))
        steps = []
        for _ in range(config.continuation * config.steps):
            cells_NRP = drawn(predicted[:, -1], config.counts, sounds, noise, config.temperature)
            steps.append(pack(cells_NRP.cpu().numpy()))
            predicted, last = network(vectors(cells_NRP[:, None].float(), config), last)
        pieces.append(np.stack(steps, axis=2))
    joined = np.concatenate(pieces)
    return joined.reshape(*joined.shape[:2], config.continuation, config.steps, -1).swapaxes(1, 2)


def drawn(
    output_NV: torch.Tensor, counts: str, sounding: torch.Tensor, noise: torch.Generator, temperature: float = 1.0
) -> torch.Tensor:
    """The next step's cells `(n, track, 128)` bool: notes drawn from the softmax of each instrument's outputs."""
    output_NRP = output_NV[:, :CELLS].unflatten(1, (len(TRACKS), PITCHES))
    races_NRP = _races(output_NRP, noise, temperature)
    if counts == "predicted":
        count_NR = output_NV[:, CELLS:].round()
        races_NRP[_rank(-output_NRP) >= 2 * count_NR[..., None]] = math.inf
    elif counts == "drawn":
        odds_NRC = output_NV[:, CELLS:].unflatten(1, (len(TRACKS), MOST_DRAWN + 1))
        count_NR = _races(odds_NRC, noise, temperature).argmin(dim=-1)
    else:
        count_NR = torch.tensor(FIXED_COUNTS[counts], device=output_NV.device)
    return _rank(races_NRP) < (count_NR * sounding)[..., None]


def _races(scores: torch.Tensor, noise: torch.Generator, temperature: float) -> torch.Tensor:
    """Numbers of which the n smallest along the last dimension are n draws without replacement from the softmax.

    They are logarithms of the quotients of exponential draws and probabilities. They are drawn on the CPU, so that a
    trial on a GPU has the same draws.
    """
    draws = torch.empty(scores.shape).exponential_(generator=noise).to(scores.device)
    return draws.log() - (scores / temperature).log_softmax(dim=-1)


def _rank(values: torch.Tensor) -> torch.Tensor:
    """The rank of each value along the last dimension, 0 for the smallest."""
    order = values.argsort(dim=-1)
    places = torch.arange(values.shape[-1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, places)
