#!/usr/bin/env python
"""Training steps a second of the networks with convolutions: as convolutions, and as the products that they are.

    python benchmarks/step_rates.py [--rounds 3]

Both forms take the same packed windows and do a whole step: rolls from bits, the loss of all instruments, gradients,
Adam. Each is timed on one thread in a process of its own, in turns, and its fastest round counts. "freed memory kept"
is what trials do besides, see `musiclab.training.memory`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from study_v_sweep import plain_terms
from torch.nn import functional as F

from musiclab.data.songs import PIANO, TRACKS
from musiclab.systems.melody_harmony_cnn.config import MelodyHarmonyCNNConfig
from musiclab.systems.melody_harmony_cnn.networks import PLACES, NextWindowCNN, NextWindowStack
from musiclab.systems.vae_nn.config import VaeNNConfig
from musiclab.systems.vae_nn.networks import ConvVAE, VaeStack
from musiclab.training.batches import float_rolls
from musiclab.training.memory import keep_freed_memory
from musiclab.training.modules import channels_last
from musiclab.training.patch_order import packed_patches, unpacked
from musiclab.training.patches import squared_distance

CPU = torch.device("cpu")
FORMS = ("convolutions", "products", "products, freed memory kept")
CASES = [
    ("vae_nn, demo", "vae", 16, 32),
    ("vae_nn, demo", "vae", 16, 64),
    ("vae_nn, article", "vae", 64, 32),
    ("melody_harmony_cnn, demo", "cnn", 16, 32),
    ("melody_harmony_cnn, article", "cnn", 64, 32),
]
SECONDS = 4.0  # of a round

Step = Callable[[], None]


def vae_step(products: bool, width: int, batch: int) -> Step:
    """A step of the VAEs of five instruments at K = 16."""
    config = VaeNNConfig(width=width)
    packed = _packed(batch)
    noise = torch.randn(batch, len(TRACKS), config.latent_dim)
    vaes = [ConvVAE(config, 0.1) for _ in TRACKS]
    if products:
        stack = VaeStack(vaes)
        stacked_noise, adam = noise.transpose(0, 1).contiguous(), _adam(stack)
        patches = packed_patches(torch.from_numpy(packed))  # once, as for a block

        def step() -> None:
            nll, kl = stack.terms(unpacked(patches), stacked_noise, sampled_kl=False)
            _descend(adam, (nll + kl).sum())

        return step
    adams = [_adam(channels_last(vae, CPU)) for vae in vaes]

    def plain_step() -> None:
        x = float_rolls(packed, CPU)
        for track, vae in enumerate(vaes):
            nll, kl = plain_terms(vae, x[:, track : track + 1], noise[:, track])
            _descend(adams[track], nll + kl)

    return plain_step


def cnn_step(products: bool, width: int, batch: int) -> Step:
    """A step of the melody's network and of the four that follow the piano."""
    config = MelodyHarmonyCNNConfig(width=width)
    last, current = _packed(batch), _packed(batch)
    others = [track for track in range(len(TRACKS)) if track != PIANO]
    melody, harmonies = NextWindowCNN(config, False), [NextWindowCNN(config, True) for _ in others]
    if products:
        stacks = [NextWindowStack([melody]), NextWindowStack(harmonies)]
        adams = [_adam(stack) for stack in stacks]
        patches = [
            [
                packed_patches(torch.from_numpy(windows[:, tracks]), PLACES)
                for windows, tracks in ((last, members), (current, [*members, PIANO]))
            ]
            for members in ([PIANO], others)
        ]  # once, as for a block

        def step() -> None:
            for stack, adam, own in zip(stacks, adams, patches, strict=True):
                x, targets = (unpacked(each) for each in own)
                y, piano = targets[:-1], targets[-1]
                shape = len(y), batch, config.hidden
                dropped = [torch.empty(shape).bernoulli_(0.6).div_(0.6) for _ in range(config.dense_layers - 1)]
                _descend(adam, (squared_distance(stack(x, piano, dropped), y) / y[0].numel()).sum())

        return step
    networks = [channels_last(network, CPU) for network in (melody, *harmonies)]
    adams = [_adam(network) for network in networks]

    def plain_step() -> None:
        for track, network, adam in zip((PIANO, *others), networks, adams, strict=True):
            x, y = (float_rolls(packed[:, [track, PIANO]], CPU) for packed in (last, current))
            _descend(adam, F.mse_loss(network(x[:, :1], y[:, 1:]), y[:, :1]))

    return plain_step


def _packed(batch: int) -> np.ndarray:
    rolls = np.random.default_rng(batch).random((batch, len(TRACKS), 32, 128)) < 0.03
    return np.packbits(rolls, axis=-1)


def _adam(module: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameters(), lr=1e-3, fused=True)


def _descend(adam: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    adam.zero_grad()
    loss.backward()
    adam.step()


def rate(step: Step) -> float:
    """Steps a second of processor time, after two steps that do not count."""
    step(), step()
    began, steps = time.process_time(), 0
    while time.process_time() - began < SECONDS:
        step()
        steps += 1
    return steps / (time.process_time() - began)


def measure(form: str) -> None:
    """Print the rates of all cases in one form."""
    torch.set_num_threads(1)
    if form == FORMS[2]:
        keep_freed_memory()
    kinds = {"vae": vae_step, "cnn": cnn_step}
    print(json.dumps([rate(kinds[kind](form != FORMS[0], width, batch)) for _, kind, width, batch in CASES]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.form:
        measure(options.form)
        return
    rounds = [
        [json.loads(subprocess.check_output([sys.executable, __file__, "--form", form])) for form in FORMS]
        for _ in range(options.rounds)
    ]
    best = np.max(rounds, axis=0)
    print(f"steps a second on one thread, fastest of {options.rounds} rounds; load {os.getloadavg()[0]:.1f}")
    print(f"{'':<30}{'width':>6}{'batch':>6}{FORMS[0]:>14}{'products':>10}{'ratio':>7}{'memory kept':>13}{'ratio':>7}")
    for (name, _, width, batch), plain, products, kept in zip(CASES, *best, strict=True):
        print(
            f"{name:<30}{width:>6}{batch:>6}{plain:>14.1f}{products:>10.1f}{products / plain:>7.2f}"
            f"{kept:>13.1f}{kept / plain:>7.2f}"
        )


if __name__ == "__main__":
    main()
