"""vae_nn: a ConvVAE per instrument, a MelodyNN and four ConditionalNNs over their latents; the article's contribution.

Facts (Tham and Kim 2021; their code if the text is silent): each instrument's 32-step window is encoded to K means.
MelodyNN predicts the piano's next latent from its last. A ConditionalNN per other instrument predicts its next latent
from its own last and the *current* piano latent. The decoded window is thresholded and encoded again for the next step.
Noise of sd `noise_sd` gives variation. A VAE has 1,322,131 parameters at K = 16 and width 64.

Style: every window of the target songs is encoded. At each step one of an instrument's distinct latents, s, is drawn
for z' = alpha s + (1 - alpha) z. As written, z is read here as the predicted next latent, and the mix is decoded: at
alpha 1 without noise the target's own windows are played. Noise is added afterwards, unscaled. As coded, z is the
*last* window's latent, before the networks, and all five mixes are written into the piano's latent; only the last one,
that of the drums, survives. So MelodyNN sees the drums' last latent mixed with the drums' draw, from another VAE's
space. Even at alpha 0 it sees neither the piano's own past nor another instrument's draw. The other four keep their
last latents and follow the piano that MelodyNN predicts from this. The article's absolute threshold with style is 0.2.

The mended form begins by He's rule, because with PyTorch's weights posteriors collapse at first, and half of a short
training goes by until they have recovered. Its rate rises, then falls along a cosine. It plays by the rules of
`musiclab.systems.activations`: thresholds by density, of neighbouring pitches only the largest, and half of what a
pitch has all through a window taken away.

If the text and the code differ, there is a field. The rolls here are binary; the article's were grey (velocity/127).
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from musiclab.data.songs import PIANO, STRINGS, TRACKS
from musiclab.data.windows import pack, unpack
from musiclab.systems.activations import OWN
from musiclab.systems.base import Progress, StageRun, System, read_generated
from musiclab.systems.config import GENERATE, MEASURE
from musiclab.systems.targets import NONE, Pull, TargetLatents, Targets, block_targets, other_songs
from musiclab.systems.timing import seconds_a_step
from musiclab.systems.vae_nn.config import VaeNNConfig
from musiclab.systems.vae_nn.latent import LatentLearner, conditional_nn, melody_nn, predict
from musiclab.systems.vae_nn.networks import ConvVAE, VaeStack
from musiclab.systems.vae_nn.vae import WEIGHTS, Vaes, note_rules, train_vaes
from musiclab.training import tensors
from musiclab.training.adam import Adam
from musiclab.training.batches import EVAL_BATCH, float_rolls, mean_window
from musiclab.training.fit import fit

CODED: dict[str, Any] = {
    "kl": "sample", "log_sigma": "shared", "sigma_start": "one", "noise_place": "after",
    "threshold_rule": "absolute", "threshold": 0.3, "feedback": "velocity", "alpha_mix": "coded",
}  # fmt: skip


class VaeNN(System[VaeNNConfig]):
    """VAE + NN; see the module's docstring."""

    name = "vae_nn"
    config = VaeNNConfig
    packed = True
    stages: ClassVar[dict[str, int]] = {"vae": 3, "latent": 2, GENERATE: 2, MEASURE: 2}
    conditions = ("start", "piano", "noise", "target", "alpha")
    provides = ("latents", "pairs")
    progress = Progress("vae", "frame F1 of decoded validation windows", "higher")
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        # The same architecture, narrower and with fewer epochs, so that any data set takes minutes only.
        "demo": {
            "width": 16, "vae_epochs": 50, "vae_lr": 4e-3, "max_train": 1024, "max_eval": 384,
            "latent_epochs": 15, "latent_batch": 64,
        },
        "article": {},
    }  # fmt: skip
    forms: ClassVar[dict[str, dict[str, Any]]] = {
        "mended": {
            "vae_init": "he", "vae_schedule": "cosine", "threshold_rule": "density", "peaks": OWN, "contrast": 0.5,
        },
        # As written for the place of the noise, else as coded, because the text gives no such detail.
        "written": CODED | {"noise_place": "before", "alpha_mix": "per_instrument"},
        "coded": CODED,
    }  # fmt: skip

    def train(self, stage: str, run: StageRun[VaeNNConfig]) -> None:
        {"vae": train_vaes, "latent": _train_latent}[stage](run)

    @torch.no_grad()
    def continuations(self, run: StageRun[VaeNNConfig], starts: np.ndarray) -> np.ndarray:
        """All starts at once, window by window: encode, predict the next latents, decode, threshold."""
        config, vaes, networks = run.config, Vaes(run, run.files.product("vae")), _latent_networks(run)
        rules, pull = note_rules(run, vaes), _pull(run, vaes, len(starts))
        window = float_rolls(starts, run.device)
        noise = run.block.torch("sampling", "generate")
        continued = []
        for _ in range(config.continuation):
            draw = torch.randn(len(window), len(TRACKS), config.latent_dim, generator=noise).to(run.device)
            latents = _next_latents(
                networks, _encoded(vaes, window), config.noise_sd * draw, config.noise_place, pull()
            )
            cells = torch.cat([rules.cells(vaes.decode(batch)) for batch in latents.split(EVAL_BATCH)])
            continued.append(pack(cells.cpu().numpy()))
            window = cells.float()
            if config.feedback == "velocity":
                window *= 0.8
                window[:, STRINGS] *= 0.75
        return np.stack(continued, axis=1)

    def own_measures(self, run: StageRun[VaeNNConfig]) -> dict[str, float]:
        """On test songs: reconstruction, use of the latents, prediction of the next window. With a target: style."""
        from musiclab.systems.vae_nn.measures import latent_measures

        vaes = Vaes(run, run.files.product("vae"))
        measures = latent_measures(run, vaes) | _next_measures(run, vaes)
        return measures | (_style_measures(run) if run.config.target != NONE else {})

    def estimated_seconds(self, config: VaeNNConfig, windows: int) -> float:
        """Training time of the five VAEs, which is nearly all of a trial's training, from a few steps on noise."""
        x = (torch.rand(len(TRACKS), config.vae_batch, config.steps * 128) < 0.05).float()
        noise = torch.zeros(len(TRACKS), config.vae_batch, config.latent_dim)
        stack = VaeStack([ConvVAE(config) for _ in TRACKS])
        optimizer = Adam(stack.parameters())

        def step() -> None:
            optimizer.zero_grad()
            nll, kl = stack.terms(x, noise, sampled_kl=False)
            (nll + kl).sum().backward()
            optimizer.step()

        return seconds_a_step(step) * config.vae_epochs * math.ceil(windows / config.vae_batch)


def _train_latent(run: StageRun[VaeNNConfig]) -> None:
    learner = LatentLearner(run, Vaes(run, run.files.product("vae")))
    fit(learner, run.config.latent_epochs, run.files, run.after_epoch)
    run.files.write(WEIGHTS, tensors.to_bytes(learner.weights()))


def _pull(run: StageRun[VaeNNConfig], vaes: Vaes, starts: int) -> Callable[[], Pull | None]:
    """A function that draws each step's Pull. It returns None if neither the config nor the run has a target."""
    targets = _targets(run)
    if targets is None:
        return lambda: None
    # Style has its own stream, so that it does not shift the noise.
    rng = run.block.numpy("sampling", "style", "latents")
    latents = TargetLatents(targets, vaes.packed_means, starts, rng)
    return lambda: Pull(latents.draw(), run.config.alpha, run.config.alpha_mix)


def _targets(run: StageRun[VaeNNConfig]) -> Targets | None:
    """The run's target songs: those given, or those that its config means; None if it means none."""
    if run.targets is not None or run.config.target == NONE:
        return run.targets
    return block_targets(run.config.target, run.data, run.block)


def _next_latents(
    networks: list[nn.Module],
    last_NRK: torch.Tensor,
    noise_NRK: torch.Tensor,
    place: str,
    pull: Pull | None = None,
) -> torch.Tensor:
    """All instruments' next latents `(n, track, K)`: first the piano's, then the others' given the piano's."""
    before, after = (noise_NRK, 0 * noise_NRK) if place == "before" else (0 * noise_NRK, noise_NRK)
    last_NRK = pull.last(last_NRK) if pull else last_NRK
    noisy = last_NRK.clone()
    noisy[:, PIANO] += before[:, PIANO]  # as written: only to the latent that goes into MelodyNN

    def following(track: int, last: torch.Tensor, piano_NK: torch.Tensor) -> torch.Tensor:
        z_NK = predict(networks[track], track, last, piano_NK)
        return (pull.next(track, z_NK) if pull else z_NK) + after[:, track]

    piano = following(PIANO, noisy, noisy[:, PIANO])
    return torch.stack(
        [piano if track == PIANO else following(track, last_NRK, piano) for track in range(len(networks))], dim=1
    )


@torch.no_grad()
def _next_measures(run: StageRun[VaeNNConfig], vaes: Vaes) -> dict[str, float]:
    """How well the next window of test songs is predicted from the last one, without noise and without style."""
    from musiclab.systems.prediction import prediction_measures

    networks = _latent_networks(run)

    def activations(last: np.ndarray) -> np.ndarray:
        latents = vaes.means(last)
        following = _next_latents(networks, latents, 0 * latents, "after")
        return np.concatenate([vaes.decode(batch).cpu().numpy() for batch in following.split(EVAL_BATCH)])

    return prediction_measures(run.data, activations, mean_window(run.data, run.device).cpu().numpy())


def _style_measures(run: StageRun[VaeNNConfig]) -> dict[str, float]:
    """How much the generated music is like its targets, among these and other validation songs."""
    from musiclab.measures.suite import style_measures

    targets = _targets(run)
    if targets is None:
        raise ValueError("style is measured only if there is a target")
    continuations = unpack(read_generated(run.files.product(GENERATE)))
    others = other_songs(targets, run.data, run.block)
    songs = [unpack(song) for song in (*targets.songs, *others)]
    weights = np.pad(targets.weights_of(len(continuations)), ((0, 0), (0, len(others))))
    return style_measures(continuations, weights, songs, run.config.resolution)


def _latent_networks(run: StageRun[VaeNNConfig]) -> list[nn.Module]:
    state, _ = tensors.from_bytes(run.files.product("latent").read(WEIGHTS))
    networks = []
    for track, name in enumerate(TRACKS):
        network = melody_nn(run.config) if track == PIANO else conditional_nn(run.config)
        network.load_state_dict(tensors.under(name, state))
        networks.append(network.to(run.device).eval())
    return networks


def _encoded(vaes: Vaes, window_NRTP: torch.Tensor) -> torch.Tensor:
    return torch.cat([vaes.posterior(batch)[0] for batch in window_NRTP.split(EVAL_BATCH)])
