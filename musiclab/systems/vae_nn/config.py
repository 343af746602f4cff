"""The config of `vae_nn`."""

from dataclasses import dataclass

from musiclab.systems.activations import contrast, peaks, threshold_rule
from musiclab.systems.config import Config, field
from musiclab.systems.targets import DRAWN, NONE, parse_target


@dataclass(frozen=True)
class VaeNNConfig(Config):
    """Fields of `vae_nn` by stage; "as written" is the article's text, "as coded" its authors' code."""

    steps_factor = 16

    latent_dim: int = field(16, "vae", "K, the size of each instrument's latent space", low=1, high=256)
    width: int = field(
        64, "vae", "channels of the first convolution; the next have 2 and 4 times as many", low=1, high=512
    )
    likelihood: str = field(
        "gaussian",
        "vae",
        "of the decoder: gaussian with one learned sigma, or bernoulli",
        choices=("gaussian", "bernoulli"),
    )
    beta: float = field(1.0, "vae", "weight of the KL term; 0 is a plain autoencoder", low=0, high=100)
    kl: str = field(
        "analytic", "vae", "KL term: analytic, or one Monte-Carlo sample as coded", choices=("analytic", "sample")
    )
    log_sigma: str = field(
        "per_dimension", "vae", "posterior log-sigma: one a dimension, or one shared as coded",
        choices=("per_dimension", "shared"),
    )  # fmt: skip
    sigma_start: str = field(
        "data", "vae", "the Gaussian's sigma at first: the track's own root mean square, or one as coded",
        choices=("data", "one"),
    )  # fmt: skip
    vae_init: str = field(
        "default", "vae", "weights at first: PyTorch's default, or by He's rule with a silent last layer",
        choices=("default", "he"),
    )  # fmt: skip
    vae_epochs: int = field(25, "vae", "passes over the training windows", low=1, high=10_000)
    vae_batch: int = field(32, "vae", "windows a step", low=1, high=4096)
    vae_lr: float = field(1e-3, "vae", "Adam's learning rate, or its highest", low=1e-7, high=1)
    vae_schedule: str = field(
        "constant", "vae", "learning rate: constant, or a rise and a cosine down to 0", choices=("constant", "cosine")
    )
    vae_weight_decay: float = field(1e-6, "vae", "Adam's weight decay", low=0, high=1)

    latent_epochs: int = field(50, "latent", "passes over the pairs of consecutive windows", low=1, high=10_000)
    latent_batch: int = field(32, "latent", "pairs a step", low=1, high=4096)
    latent_lr: float = field(1e-3, "latent", "Adam's learning rate at the first epoch", low=1e-7, high=1)
    latent_lr_decay: float = field(0.95, "latent", "its factor an epoch", low=0.1, high=1)
    dropout: float = field(0.2, "latent", "of MelodyNN", low=0, high=0.9)

    noise_sd: float = field(0.5, "generate", "sd of the noise on latents", low=0, high=100)
    noise_place: str = field(
        "after", "generate", "before MelodyNN as written, or after each network as coded", choices=("before", "after")
    )
    threshold_rule: str = threshold_rule("best_f1", "absolute", "density", calibrated="best_f1")
    threshold: float = field(0.3, "generate", "the absolute threshold", low=-10, high=10)
    peaks: int = peaks()
    contrast: float = contrast()
    feedback: str = field(
        "binary", "generate", "window encoded for the next step: binary, or at 0.8 (strings 0.6) as coded",
        choices=("binary", "velocity"),
    )  # fmt: skip
    target: str = field(
        NONE, "generate",
        f"style: {NONE}, {DRAWN} (validation songs), or songs such as artist:NAME*2 + song:TITLE",
    )  # fmt: skip
    alpha: float = field(0.5, "generate", "style: share of the target's latent in the mix", low=0, high=1)
    alpha_mix: str = field(
        "per_instrument", "generate",
        "style: what is mixed: each instrument's next latent; its last one (as coded without the bug); or, as coded, "
        "the last ones, all into the piano's", choices=("per_instrument", "last_window", "coded"),
    )  # fmt: skip

    def check(self) -> None:
        if self.target not in (NONE, DRAWN):
            parse_target(self.target, files=False)
