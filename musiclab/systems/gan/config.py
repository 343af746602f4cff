"""The config of the GAN."""

import math
from dataclasses import dataclass

from musiclab.errors import UserError
from musiclab.systems.activations import peaks, threshold_rule
from musiclab.systems.config import Config, field

# Strides of the discriminator's first five convolutions over time, and over pitch by the number of pitches. Those of
# the generator are the same in reverse.
_TIME_STRIDES = (4, 2, 2, 2, 1)
_PITCH_STRIDES = {128: (4, 2, 2, 2, 1), 72: (3, 2, 2, 2, 1)}


@dataclass(frozen=True)
class GANConfig(Config):
    """Fields of `gan` by stage; "as written" is the article's text, "as coded" its authors' code."""

    steps_factor = math.prod(_TIME_STRIDES)

    pitches: int = field(
        128, "train", "128 as written, or 72 (24 to 95) as coded; others stay silent", low=72, high=128
    )
    latent_dim: int = field(100, "train", "normal numbers that a window is generated from", low=1, high=10_000)
    width: int = field(
        64, "train", "channels of the discriminator's first layer; the next have 2, 4, 8, 16 times as many",
        low=1, high=512,
    )  # fmt: skip
    norm: str = field(
        "separate", "train", "BatchNorm and PReLU: each layer's own, or one for all layers as coded",
        choices=("separate", "reused"),
    )  # fmt: skip
    init: str = field(
        "normal", "train", "convolutions at first: N(0, 0.02) as coded, or PyTorch's default",
        choices=("normal", "default"),
    )  # fmt: skip
    output_start: str = field(
        "data", "train", "cells of generated windows at first: as dense as each track's, or even odds as coded",
        choices=("data", "even"),
    )  # fmt: skip
    output: str = field(
        "sigmoid", "train", "each cell on or off by itself; or one pitch or a rest at each step, in tracks that play "
        "one note at a time in training songs", choices=("sigmoid", "softmax"),
    )  # fmt: skip
    epochs: int = field(100, "train", "passes over the training windows", low=1, high=10_000)
    batch: int = field(64, "train", "windows a step", low=2, high=4096)
    g_lr: float = field(3e-4, "train", "Adam's learning rate of the generator", low=1e-7, high=1)
    ttur: float = field(
        2.0, "train", "the discriminator's learning rate over the generator's; 1 is off", low=0.001, high=1000
    )
    schedule: str = field(
        "constant", "train", "both rates over the training: constant, or a short rise and then half a cosine down to 0",
        choices=("constant", "cosine"),
    )  # fmt: skip
    beta1: float = field(0.0, "train", "Adam's decay of the mean gradient", low=0, high=0.9999)
    beta2: float = field(0.99, "train", "Adam's decay of the mean square", low=0, high=0.99999)
    label_smoothing: bool = field(
        True, "train", "the discriminator's labels drawn from [0.9, 1] for real and [0, 0.1] for generated windows"
    )
    feature_matching: bool = field(True, "train", "the generator's loss has the two L2 terms on expected features")
    match_inputs: float = field(
        0.1, "train", "weight of the squared difference of expected windows, real v. generated", low=0, high=1000
    )
    match_features: float = field(
        0.1, "train", "weight of the same of expected outputs of the discriminator's first layer", low=0, high=1000
    )

    spectral_norm: bool = field(
        False, "train", "the discriminator's weights at spectral norm 1, in place of its BatchNorm"
    )
    r1: float = field(
        0.0, "train",
        "weight of the discriminator's gradient penalty on real windows; each window's own with spectral_norm and "
        "without minibatch_sd only", low=0, high=10_000,
    )  # fmt: skip
    ema: float = field(
        0.0, "train", "decay of the average of generators that makes the windows; 0 is off", low=0, high=0.99999
    )
    instance_noise: float = field(0.0, "train", "sd of noise on all that the discriminator sees", low=0, high=10)
    minibatch_sd: bool = field(False, "train", "the discriminator also sees how much a batch's windows differ")

    threshold_rule: str = threshold_rule("density", "absolute", calibrated="density")
    threshold: float = field(
        0.5, "generate", "the absolute threshold, on the probability; by the softmax, that of a pitch against a rest",
        low=0, high=1,
    )  # fmt: skip
    peaks: int = peaks()

    def check(self) -> None:
        if self.pitches not in _PITCH_STRIDES:
            raise UserError(
                f"pitches must be 128 or 72, because the convolutions are made for these; got {self.pitches}."
            )

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the discriminator's five hidden layers."""
        return (4 * self.width,) * 5 if self.norm == "reused" else tuple(self.width << n for n in range(5))

    @property
    def strides(self) -> tuple[tuple[int, int], ...]:
        """Strides over time and pitch of the discriminator's first five convolutions."""
        return tuple(zip(_TIME_STRIDES, _PITCH_STRIDES[self.pitches], strict=True))

    @property
    def smallest_map(self) -> tuple[int, int]:
        """Steps and pitches of the map that the strides reduce a window to."""
        return self.steps // self.steps_factor, self.pitches // math.prod(_PITCH_STRIDES[self.pitches])
