"""The rules from activations to notes, against their definitions on small rolls."""

import numpy as np
import pytest
import torch

from musiclab.data.songs import BASS, DRUMS, GUITAR, PIANO, STRINGS
from musiclab.data.windows import pack
from musiclab.systems.activations import NoteRules, candidates, contrasted, density_thresholds, own_radii, radii_of
from musiclab.training.streams import Block
from musiclab.training.windows import block_windows
from tests.support.made_trials import made_store


def _activations(seed: int = 0) -> torch.Tensor:
    return torch.rand(3, 5, 8, 128, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("radius", [1, 4, 127])
def test_candidates_are_the_largest_within_their_radius(radius: int) -> None:
    activations = _activations()
    found = candidates(activations, (0, radius, 0, radius, 0))
    assert found[:, [0, 2, 4]].all()
    for row, on in zip(activations[:, [1, 3]].reshape(-1, 128), found[:, [1, 3]].reshape(-1, 128), strict=True):
        for pitch in range(128):
            near = row[max(0, pitch - radius) : pitch + radius + 1]
            assert on[pitch] == (row[pitch] == near.max())
    assert activations.equal(_activations())


def test_of_equal_cells_the_lowest_is_the_largest() -> None:
    activations = torch.zeros(1, 5, 2, 128)
    activations[:, PIANO, 0, [50, 51, 90]] = 1
    found = candidates(activations, (0, 127, 2, 2, 2))
    assert found[0, PIANO].nonzero().tolist() == [[0, 50], [1, 0]]
    activations[:, GUITAR, 0, [50, 51, 90]] = 1
    near = candidates(activations, (0, 127, 2, 2, 2))[0, GUITAR, 0]
    assert near[[50, 90]].all() and not near[[51, 52, 91]].any()


@pytest.mark.parametrize("radii", [(0,) * 5, (0, 2, 3, 127, 5)])
def test_density_is_the_share_of_cells_that_sound(radii: tuple[int, ...]) -> None:
    activations, shares = _activations(), [0.3, 0.01, 0.004, 0.005, 0.0]
    cells = NoteRules(density_thresholds(activations, shares, radii), radii).cells(activations)
    assert cells.sum(dim=(0, 2, 3)).tolist() == [round(share * 3 * 8 * 128) for share in shares]
    for track in (1, 2, 3):
        allowed = candidates(activations, radii)[:, track]
        on, off = activations[:, track][cells[:, track]], activations[:, track][allowed & ~cells[:, track]]
        assert on.min() > off.max()


def test_too_few_candidates_all_sound_and_no_other_cell() -> None:
    activations = _activations()
    radii, shares = (0, 127, 127, 127, 127), [0.01] * 5  # a candidate in 128 cells is less than a hundredth
    cells = NoteRules(density_thresholds(activations, shares, radii), radii).cells(activations)
    assert (cells[:, 1:].sum(dim=-1) == 1).all()


def test_a_track_without_activations_is_silent() -> None:
    activations = _activations()
    activations[:, 4] = -torch.inf
    rules = NoteRules(density_thresholds(activations, [0.01] * 5, (0,) * 5), (0,) * 5)
    assert not rules.cells(activations)[:, 4].any()
    assert rules.cells(activations)[:, 3].any()


def test_own_radii_are_how_far_apart_the_notes_of_a_track_lie() -> None:
    windows = np.zeros((60, 5, 32, 128), bool)
    windows[:, DRUMS, :, 36:39] = True  # drums next to each other are no chord
    windows[:, PIANO, :, [60, 64, 67]] = True  # thirds
    windows[:, GUITAR, :, 50] = True
    windows[::2, GUITAR, 0, 51] = True  # one step in 64: a note over another's end
    windows[:, BASS, :, [40, 42]] = True
    pieces = made_store(pack(windows), [3] * 20)
    found = own_radii(block_windows(pieces, Block(0, 0), 0, 0, 4))
    assert found == [0, 2, 127, 1, 127]
    assert found[STRINGS] == 127  # silent


def test_peaks_are_a_radius_or_each_track_s_own_and_never_of_drums() -> None:
    assert radii_of(-1, [0, 2, 127, 1, 3]) == (0, 2, 127, 1, 3)
    assert radii_of(4, [0, 2, 127, 1, 3]) == (0, 4, 4, 4, 4)
    assert radii_of(0, [0, 2, 127, 1, 3]) == (0,) * 5


def test_contrast_takes_a_share_of_each_pitch_s_mean_over_its_window() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 16, 128)
    assert contrasted(x, 0.0) is x
    torch.testing.assert_close(contrasted(x, 1.0).mean(dim=2), torch.zeros(2, 3, 128), atol=1e-6, rtol=0)
    half = contrasted(x, 0.5)
    torch.testing.assert_close(half[1, 2, :, 60], x[1, 2, :, 60] - x[1, 2, :, 60].mean() / 2)


def test_of_a_held_plateau_and_a_short_peak_contrast_leaves_the_peak() -> None:
    x = torch.zeros(1, 1, 16, 128)
    x[..., 60] = 0.5
    x[:, :, 4, 64] = 0.4
    assert (x[:, :, 4].argmax(dim=-1) == 60).all()
    assert (contrasted(x, 0.5)[:, :, 4].argmax(dim=-1) == 64).all()
