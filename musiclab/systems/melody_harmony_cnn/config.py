"""The config of `melody_harmony_cnn`."""

from dataclasses import dataclass

from musiclab.systems.activations import contrast, peaks, threshold_rule
from musiclab.systems.config import GENERATE, Config, field

MELODY, HARMONY = "melody", "harmony"


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
    lr: float = field(5e-4, MELODY, "Adam's learning rate, at its highest", low=1e-7, high=1)
    schedule: str = field(
        "decay", MELODY, "how the rate changes: decay, by lr_decay an epoch; cosine, each step, a rise and a fall to 0",
        choices=("decay", "cosine"),
    )  # fmt: skip
    lr_decay: float = field(0.98, MELODY, "the rate's factor an epoch, if it decays", low=0.1, high=1)

    encoder: str = field(
        "separate", HARMONY, "convolutions for the instrument and for the piano: separate, or shared as coded",
        choices=("separate", "shared"),
    )  # fmt: skip

    threshold_rule: str = threshold_rule("relative", "absolute", "density")
    threshold: float = field(0.4, GENERATE, "where it lies by the rules relative and absolute", low=0, high=1)
    peaks: int = peaks()
    contrast: float = contrast()
