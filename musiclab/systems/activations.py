"""From activations to notes: above which threshold a cell sounds, and among which neighbours only the largest does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from musiclab.data.songs import DRUMS, TRACKS
from musiclab.data.windows import PITCHES, unpack
from musiclab.systems.config import GENERATE, field
from musiclab.training.batches import EVAL_BATCH
from musiclab.training.windows import BlockWindows

# The value of the field `peaks` that means each track's own radius.
OWN = -1
# At most this share of a track's cells has another one within the track's own radius. It is not 0, because some chords
# hold seconds, and notes reach over the next one's beginning.
_CLOSE_SHARE = 0.2

_RULES = {
    "absolute": "at the value of threshold",
    "relative": "at a share of each window's largest activation",
    "best_f1": "at each track's best frame F1 on validation songs",
    "density": "such that each track is as dense as real music",
}


def threshold_rule(*rules: str, calibrated: str = "") -> Any:
    """The field `threshold_rule` of a system that knows these rules; the first is its default.

    `calibrated` is the rule that version 0.1.0 called so, if the system had it.
    """
    doc = "a cell sounds above a threshold: " + "; ".join(f"{rule}, {_RULES[rule]}" for rule in rules)
    return field(rules[0], GENERATE, doc, choices=rules, earlier={"calibrated": calibrated} if calibrated else None)


def peaks() -> Any:
    """The field `peaks`, which is off by default."""
    return field(
        0, GENERATE,
        "semitones around a cell among which only the largest sounds, except for drums; 0 is off, -1 is how far apart "
        "the notes of each track lie in training songs", low=OWN, high=PITCHES - 1,
    )  # fmt: skip


def contrast() -> Any:
    """The field `contrast`, which is off by default."""
    return field(
        0.0, GENERATE, "share of a pitch's mean over its window by which its activations are lowered first; 0 is off",
        low=0, high=1,
    )  # fmt: skip


def contrasted(activations_NRTP: torch.Tensor, share: float) -> torch.Tensor:
    """The activations without this share of each pitch's mean over the window.

    Trained by squared error, a network predicts the mean of all that could follow. If it knows what sounds but not
    when, that is a plateau, which any threshold turns into a held note. Without the plateau, what is left is when.
    """
    return activations_NRTP - share * activations_NRTP.mean(dim=2, keepdim=True) if share else activations_NRTP


@dataclass(frozen=True)
class NoteRules:
    """The rules of all tracks, as they are applied to activations `(n, track, steps, pitches)`.

    Thresholds and neighbours are of activations that are contrasted already.

    Attributes:
        thresholds: `(track, 1, 1)`, or another shape that broadcasts to activations; a cell sounds only above it.
        radii: for each track, within how many semitones only the largest cell of a step sounds; 0 for any cell.
        contrast: see `contrasted`.
    """

    thresholds: torch.Tensor
    radii: tuple[int, ...]
    contrast: float = 0.0

    def cells(self, activations_NRTP: torch.Tensor) -> torch.Tensor:
        """The cells that sound, bool, of the shape of the activations."""
        heard = contrasted(activations_NRTP, self.contrast)
        return (heard > self.thresholds) & candidates(heard, self.radii)


def candidates(activations_NRTP: torch.Tensor, radii: Sequence[int]) -> torch.Tensor:
    """The cells that are the largest of their step within their track's radius, bool; of equal ones the lowest is.

    Where no unit of a network's last layer is active, all pitches are equal.
    """
    result = torch.ones_like(activations_NRTP, dtype=torch.bool)
    for track, radius in enumerate(radii):
        if radius:
            cells = activations_NRTP[:, track]
            result[:, track] = _largest(cells.flatten(0, 1), radius).view_as(cells)
    return result


def _largest(rows_NP: torch.Tensor, radius: int) -> torch.Tensor:
    """The cells that are the largest of their row within the radius, bool, as for `candidates`."""
    if radius >= rows_NP.shape[-1] - 1:  # within the whole row, where a moving maximum takes 12 times as long
        first = rows_NP.argmax(dim=-1, keepdim=True)  # the first of equal ones
        return torch.zeros_like(rows_NP, dtype=torch.bool).scatter_(-1, first, True) & (rows_NP > -torch.inf)
    padded = F.pad(rows_NP[:, None], (radius, radius), value=-torch.inf)
    below = F.max_pool1d(padded[..., : -radius - 1], radius, 1)[:, 0]
    from_here = F.max_pool1d(padded[..., radius:], radius + 1, 1)[:, 0]
    return (rows_NP > below) & (rows_NP == from_here)


def density_thresholds(activations_NRTP: torch.Tensor, shares: Sequence[float], radii: Sequence[int]) -> torch.Tensor:
    """For each track the threshold `(track, 1, 1)` above which this share of its cells sounds, among the candidates.

    If a track has fewer candidates than its share asks for, all of them sound. A track without a share is silent.
    """
    largest_only = candidates(activations_NRTP, radii)
    thresholds = torch.full((len(shares), 1, 1), torch.inf, device=activations_NRTP.device)
    for track, share in enumerate(shares):
        cells = activations_NRTP[:, track]
        wanted = round(share * cells.numel())
        values = cells[largest_only[:, track]] if radii[track] else cells.flatten()
        if wanted >= len(values):
            thresholds[track] = -torch.inf
        elif wanted:
            # The threshold is the largest cell that is silent.
            thresholds[track] = values.topk(wanted + 1).values[-1]
    return thresholds


def radii_of(peaks_field: int, own: Sequence[int]) -> tuple[int, ...]:
    """The radius of each track that a value of the field `peaks` means."""
    if peaks_field == OWN:
        return tuple(own)
    return tuple(0 if track == DRUMS else peaks_field for track in range(len(TRACKS)))


def own_radii(windows: BlockWindows) -> list[int]:
    """For each track within how many semitones of a note no other one sounds in training windows, but for a few.

    It is 127 for a track that plays one note at a time, and 0 for drums, whose pitches are instruments.
    """
    nearest = np.zeros((len(TRACKS), PITCHES), np.int64)  # cells by the distance to the nearest other one of their step
    for first in range(0, len(windows.train), EVAL_BATCH):
        rolls = unpack(windows.packed(windows.train[first : first + EVAL_BATCH]))
        for track in range(len(TRACKS)):
            step, pitch = np.nonzero(rolls[:, track].reshape(-1, PITCHES))
            # The next cell of another step is farther than any of the same step.
            gaps = np.minimum(np.diff(pitch + step * 2 * PITCHES), PITCHES - 1)
            distances = np.full(len(pitch) + 1, PITCHES - 1)
            distances[1:-1] = gaps
            nearest[track] += np.bincount(np.minimum(distances[:-1], distances[1:])[: len(pitch)], minlength=PITCHES)
    within = nearest.cumsum(axis=1) - nearest[:, -1:] * (np.arange(PITCHES) == PITCHES - 1)
    few = within <= _CLOSE_SHARE * nearest.sum(axis=1, keepdims=True)
    radii = [int(np.flatnonzero(row)[-1]) for row in few]
    return [0 if track == DRUMS else radius for track, radius in enumerate(radii)]
