"""The rules from activations to notes."""

import torch

from musiclab.systems.activations import contrasted


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
