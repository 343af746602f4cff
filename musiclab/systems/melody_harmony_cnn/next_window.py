"""The training of the networks of `melody_harmony_cnn`, and the trained ones as a predictor of windows."""

import dataclasses
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch

from musiclab.data.songs import PIANO, TRACKS
from musiclab.data.windows import pack, unpack
from musiclab.systems.activations import OWN, NoteRules, contrasted, density_thresholds, own_radii, radii_of
from musiclab.systems.base import StageRun
from musiclab.systems.melody_harmony_cnn.config import HARMONY, MELODY, MelodyHarmonyCNNConfig
from musiclab.systems.melody_harmony_cnn.networks import PLACES, NextWindowCNN, NextWindowStack
from musiclab.systems.progress import CONTINUATION, distance_measures, progress_starts
from musiclab.training import tensors
from musiclab.training.adam import Adam
from musiclab.training.batches import EVAL_BATCH, float_rolls, shares_on, shuffled, windows_on
from musiclab.training.epoch import Epoch
from musiclab.training.fit import Learner
from musiclab.training.modules import channels_last
from musiclab.training.patch_order import PatchWindows
from musiclab.training.patches import squared_distance
from musiclab.training.schedule import warm_cosine

WEIGHTS, PROBES = "weights.safetensors", "probes.safetensors"
State = dict[str, torch.Tensor]  # of a network
_PROBES = 128  # windows on which thresholds are found: enough for the density of a track


class _Members(NamedTuple):
    """Networks of one shape, with the windows that they learn from in patch order."""

    tracks: list[int]
    stack: NextWindowStack
    last: PatchWindows  # of their tracks
    current: PatchWindows  # of their tracks and, as one more, of the piano


class NextWindowLearner(Learner):
    """The networks of some tracks, each trained by itself on the pairs of consecutive windows, in the same order.

    A track that is silent in all windows to be predicted gets no network and stays silent.
    """

    modules: dict[str, NextWindowCNN]
    optimizers: dict[str, torch.optim.Optimizer]

    def __init__(self, run: StageRun[MelodyHarmonyCNNConfig], tracks: Iterable[int]) -> None:
        self.run = run
        sounding = windows_on(run.data, run.data.pairs[:, 1], run.device).any(dim=(1, 2)).tolist()
        self.tracks = [track for track in tracks if sounding[track]]
        self.modules, self.optimizers = {}, {}
        for track in self.tracks:
            with run.block.global_torch("init", "next", TRACKS[track]):
                network = NextWindowCNN(run.config, with_piano=track != PIANO)
            self.modules[TRACKS[track]] = network.to(run.device)
        # Those with the piano and those without have other shapes.
        self.stacks: dict[str, _Members] = {}
        for name, members in (
            (MELODY, [track for track in self.tracks if track == PIANO]),
            (HARMONY, [track for track in self.tracks if track != PIANO]),
        ):
            if members:
                stack = NextWindowStack([self.modules[TRACKS[track]] for track in members])
                last, current = (
                    PatchWindows(run.data, run.data.pairs[:, place], tracks, run.device, PLACES)
                    for place, tracks in ((0, members), (1, [*members, PIANO]))
                )
                self.stacks[name] = _Members(members, stack, last, current)
                # Adam works number by number, so that one for all is one for each.
                self.optimizers[name] = Adam(stack.parameters(), lr=run.config.lr)

    def epoch(self, epoch: Epoch) -> dict[str, float]:
        run, config = self.run, self.run.config
        # Each network has its own stream, so that no instrument shifts another's dropout.
        streams = {track: run.block.torch("dropout", "next", TRACKS[track], epoch.number) for track in self.tracks}
        epoch.drawn_from(*streams.values())
        steps = math.ceil(len(run.data.pairs) / config.batch)
        batches = shuffled(len(run.data.pairs), config.batch, run.block.torch("data", "next", epoch.number))
        for step, batch in epoch.steps(batches, steps):
            rate = config.lr * config.lr_decay**epoch.number
            if config.schedule == "cosine":
                rate = warm_cosine(config.lr, step, steps * config.epochs)
            for name, members in self.stacks.items():
                self.optimizers[name].param_groups[0]["lr"] = rate
                losses = self._step(members, self.optimizers[name], batch, [streams[track] for track in members.tracks])
                named = zip(members.tracks, losses, strict=True)
                epoch.sums.add(len(batch), {f"train/next_mse.{TRACKS[track]}": loss for track, loss in named})
        return epoch.sums.means()

    def _step(
        self, members: _Members, optimizer: torch.optim.Optimizer, batch: torch.Tensor, streams: list[torch.Generator]
    ) -> torch.Tensor:
        """A step of some networks; their losses `(member,)`."""
        windows_MNC = members.current.batch(batch)
        current_MNC, piano_NC = windows_MNC[:-1], windows_MNC[-1]
        dropped = _dropped(self.run.config, len(batch), streams, self.run.device)
        predicted = members.stack(members.last.batch(batch), piano_NC, dropped)
        losses = squared_distance(predicted, current_MNC) / current_MNC[0].numel()
        optimizer.zero_grad()
        losses.sum().backward()
        optimizer.step()
        return losses

    def progress(self) -> float:
        """Frechet distance to validation windows of continuations by the trained piano's network and these.

        They are played as the mended form plays, however the trial itself will.
        """
        run, own = self.run, {track: self.modules[TRACKS[track]].state_dict() for track in self.tracks}
        config = dataclasses.replace(
            run.config, continuation=CONTINUATION, threshold_rule="density", peaks=OWN, contrast=0.5
        )
        networks = Networks(dataclasses.replace(run, config=config), kept_states(run, MELODY) | own)
        return distance_measures(run, unpack(np.concatenate(networks.continued(progress_starts(run)))))


def _dropped(
    config: MelodyHarmonyCNNConfig, n: int, streams: list[torch.Generator], device: torch.device
) -> list[torch.Tensor]:
    """The factors of dropout, `(member, n, hidden)` for each hidden dense layer, each member's from its own stream."""
    kept = 1 - config.dropout
    return [
        torch.stack([torch.empty(n, config.hidden).bernoulli_(kept, generator=stream) for stream in streams])
        .div_(kept)
        .to(device)
        for _ in range(config.dense_layers - 1)
    ]


def keep_probes(run: StageRun[MelodyHarmonyCNNConfig]) -> None:
    """Keep what the rules for notes need later, when there is no data any more.

    These are some validation windows, on which thresholds are found once the networks are trained; the share of each
    track's cells that sound in validation songs; and how far apart its notes lie.
    """
    data = run.data
    shares = torch.tensor([*shares_on(data, data.validation, run.device).values()], dtype=torch.float64)
    probes = {"windows": torch.from_numpy(data.packed(data.validation[:_PROBES])), "shares": shares}
    run.files.write(PROBES, tensors.to_bytes(probes, {"radii": own_radii(data)}))


def kept_states(run: StageRun[MelodyHarmonyCNNConfig], stage: str) -> dict[int, State]:
    """The weights that a stage kept of each track's network."""
    state, meta = tensors.from_bytes(run.files.product(stage).read(WEIGHTS))
    return {track: tensors.under(TRACKS[track], state) for track in meta["tracks"]}


class Networks:
    """The networks as they are when they play: together they predict the next windows of all, the piano's first.

    Args:
        run: of any stage after the melody's, whose product is read.
        states: the weights of each track's network; by default those of the trained ones.
    """

    def __init__(self, run: StageRun[MelodyHarmonyCNNConfig], states: dict[int, State] | None = None) -> None:
        self.config, self.device = run.config, run.device
        self.modules: dict[int, NextWindowCNN] = {}
        for track, state in (states or kept_states(run, MELODY) | kept_states(run, HARMONY)).items():
            module = NextWindowCNN(run.config, with_piano=track != PIANO)
            module.load_state_dict(state)
            self.modules[track] = channels_last(module, run.device).eval()
        self.radii, self.thresholds = radii_of(run.config.peaks, ()), dict[int, torch.Tensor]()
        if run.config.peaks == OWN or run.config.threshold_rule == "density":
            probes, meta = tensors.from_bytes(run.files.product(MELODY).read(PROBES))
            self.radii = radii_of(run.config.peaks, meta["radii"])
            if run.config.threshold_rule == "density":
                self._predicted(float_rolls(probes["windows"], run.device), probes["shares"].tolist())

    def continued(self, starts: np.ndarray) -> np.ndarray:
        """The windows after each packed start, as `System.continuations` returns them."""
        # Nothing is drawn, so equal starts are continued once; this makes their continuations equal to the bit.
        distinct, place = np.unique(starts, axis=0, return_inverse=True)
        window, windows = float_rolls(distinct, self.device), []
        for _ in range(self.config.continuation):
            cells, _ = self.following(window)
            windows.append(pack(cells.cpu().numpy()))
            window = cells.float()
        return np.stack(windows, axis=1)[place]

    def following(self, last_NRTP: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The next windows, bool `(n, track, steps, 128)`, and activations; a track without a network is silent."""
        cells, activations = zip(*(self._predicted(batch) for batch in last_NRTP.split(EVAL_BATCH)), strict=True)
        return torch.cat(cells), torch.cat(activations)

    @torch.no_grad()
    def _predicted(
        self, last_NRTP: torch.Tensor, shares: list[float] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The next windows; if shares are given, the thresholds are first set such that this share of cells sounds."""
        cells, activations = torch.zeros_like(last_NRTP, dtype=torch.bool), torch.full_like(last_NRTP, -torch.inf)
        # The melody's stage comes first, so the piano is complete before the others need it.
        for track, module in self.modules.items():
            own = slice(track, track + 1)
            activations[:, own] = module(last_NRTP[:, own], cells[:, PIANO : PIANO + 1].float())
            heard, radius = contrasted(activations[:, own], self.config.contrast), self.radii[own]
            if shares:
                self.thresholds[track] = density_thresholds(heard, shares[own], radius)
            threshold = (
                self.thresholds[track]
                if self.config.threshold_rule == "density"
                else configured_threshold(heard, self.config.threshold_rule, self.config.threshold)
            )
            cells[:, own] = NoteRules(threshold, radius).cells(heard)
        return cells, activations


def configured_threshold(activations_N1TP: torch.Tensor, rule: str, threshold: float) -> torch.Tensor:
    """The threshold by the rules that need no data; by the relative one each window has its own.

    By that rule a window is silent if and only if its maximum is not above 0 (or the threshold is 1).
    """
    if rule == "absolute":
        return torch.tensor(threshold, device=activations_N1TP.device)
    # Not divided by the maximum: a negative maximum would turn the least likely cells into the loudest.
    return threshold * activations_N1TP.amax(dim=(1, 2, 3), keepdim=True)
