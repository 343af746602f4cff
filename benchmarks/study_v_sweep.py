#!/usr/bin/env python
"""The demo study compared with what a user would write without this project: a plain Ray Tune sweep of the same trials.

    python benchmarks/study_v_sweep.py [--blocks 7] [--set FIELD=VALUE ...]

The plain sweep trains the same models on the same windows, epochs, steps and rates, generates, measures and renders the
same samples. It does what tutorials do: convolutions, an optimiser an instrument, a function trainable, windows as
float32 tensors passed by `with_parameters`, `tune.report` every epoch, and Ray's own MLflowLoggerCallback on SQLite.
Nothing in it resumes, pairs or answers. The second table has the seconds of the study alone, by what took them.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import numpy as np
import torch
from torch.nn import functional as F

from musiclab.systems.vae_nn.networks import LOG_SIGMA_FLOOR, ConvVAE

LATENT_DIMS = (8, 16, 32, 64)
STUDY = Path(__file__).parents[1] / "studies" / "latent_dim.py"


class Took(NamedTuple):
    """How long a command took: when it began and ended in seconds since 1970, and the seconds between."""

    began: float
    ended: float
    seconds: float


def run_study(storage: Path, options: list[str]) -> Took:
    """Run the study on windows that are already cut."""
    return _timed([sys.executable, str(STUDY), "--storage", str(storage), *options])


def run_sweep(storage: Path, options: list[str]) -> Took:
    """Run the plain sweep, likewise in a process of its own."""
    return _timed([sys.executable, __file__, "--sweep", str(storage), *options])


def _timed(command: list[str]) -> Took:
    at, began = time.time(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    return Took(at, at + seconds, seconds)


def where_it_goes(storage: Path, took: Took) -> list[tuple[str, float]]:
    """What took the seconds of the study's workers, all together, by row; they add up to workers x seconds.

    The first rows are those of its trials. A worker idles before the first trial (start-up), between trials, and after
    its last one (others still run, then comes the report).
    """
    costs = [json.loads(path.read_text()) for path in (storage / "trials").glob("*/run.json")]
    stages: Counter[str] = Counter()
    trials_by_worker: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for cost in costs:
        stages.update(cost["seconds"])
        trials_by_worker.setdefault((cost["host"], cost["pid"]), []).append(cost)
    within = sum(cost["ended"] - cost["began"] for cost in costs)
    workers = len(trials_by_worker)
    start = sum(min(cost["began"] for cost in trials) - took.began for trials in trials_by_worker.values())
    ends = [max(cost["ended"] for cost in trials) for trials in trials_by_worker.values()]
    last = max(ends)
    between = sum(
        max(cost["ended"] for cost in trials) - min(cost["began"] for cost in trials)
        for trials in trials_by_worker.values()
    ) - within  # fmt: skip
    return [
        *((f"stage {stage}" if stage not in ("samples", "baselines") else stage, stages[stage]) for stage in stages),
        ("reading windows, writing records", within - stages.total()),
        ("between the trials of a worker", between),
        ("start: command, Ray, imports of workers", start),
        ("waiting for the last trial of another worker", sum(last - end for end in ends)),
        ("end: answer, report, MLflow", workers * (took.ended - last)),
    ]


def sweep(storage: Path, options: argparse.Namespace) -> None:
    """Run the plain Ray Tune sweep."""
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    from musiclab.data.store import open_store

    store = next(open_store(path) for path in (storage / "data").iterdir() if path.is_dir())
    pairs = store.pairs(song.id for song in store.songs)
    windows = store.batch(np.arange(len(store.windows))).astype(np.float32)
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    tune.Tuner(
        tune.with_parameters(_plain_trial, windows=windows, pairs=pairs, values=options.values),
        param_space={
            "latent_dim": tune.grid_search(list(LATENT_DIMS)),
            "seed": tune.grid_search(list(range(options.blocks))),
        },
        run_config=tune.RunConfig(
            storage_path=str(storage / "ray"),
            verbose=0,
            callbacks=[
                MLflowLoggerCallback(f"sqlite:///{storage}/sweep.db", experiment_name="plain", save_artifact=True)
            ],
        ),
    ).fit()


def _plain_trial(config: dict, windows: np.ndarray, pairs: np.ndarray, values: dict[str, str]) -> None:
    from ray import tune

    from musiclab.data.songs import TRACKS
    from musiclab.data.windows import pack
    from musiclab.execution.trial import SOUNDS
    from musiclab.measures.baselines import COPIED_FROM, baseline_measures
    from musiclab.measures.latent_suite import posterior_measures, reconstruction_measures
    from musiclab.measures.originality import TrainingWindows
    from musiclab.measures.suite import music_measures, set_measures, training_measures
    from musiclab.measures.window_set import WindowSet
    from musiclab.rendering.sample import render_samples
    from musiclab.systems.activations import NoteRules, contrasted, density_thresholds, own_radii, radii_of
    from musiclab.systems.vae_nn.config import VaeNNConfig
    from musiclab.systems.vae_nn.latent import conditional_nn, melody_nn, predict
    from musiclab.systems.vae_nn.system import VaeNN
    from musiclab.training.schedule import warm_cosine

    preset = VaeNN.scales["demo"] | VaeNN.forms["mended"]
    c = VaeNNConfig().with_values(preset | values | {"latent_dim": config["latent_dim"]})
    torch.manual_seed(config["seed"])
    rng = np.random.default_rng(config["seed"])
    order = rng.permutation(len(windows))
    held_out = len(windows) // 10
    test, validation = windows[order[:held_out]], windows[order[held_out : 2 * held_out]]
    train = torch.tensor(windows[order[2 * held_out :]][: c.max_train])
    sounding = [track for track in range(len(TRACKS)) if train[:, track].any()]
    vaes = {track: ConvVAE(c, math.sqrt(train[:, track].mean())) for track in sounding}
    optimizers = {
        track: torch.optim.Adam(vae.parameters(), c.vae_lr, weight_decay=c.vae_weight_decay)
        for track, vae in vaes.items()
    }
    loader = torch.utils.data.DataLoader(train, c.vae_batch, shuffle=True)
    for epoch in range(c.vae_epochs):
        metrics = {}
        for step, batch in enumerate(loader, epoch * len(loader)):
            for track, vae in vaes.items():
                if c.vae_schedule == "cosine":
                    rate = warm_cosine(c.vae_lr, step, len(loader) * c.vae_epochs)
                    optimizers[track].param_groups[0]["lr"] = rate
                nll, kl = plain_terms(vae, batch[:, track : track + 1], torch.randn(len(batch), c.latent_dim))
                optimizers[track].zero_grad()
                (nll + kl).backward()
                optimizers[track].step()
                metrics |= {f"train/loss.{TRACKS[track]}": (nll + kl).item(), f"train/kl.{TRACKS[track]}": kl.item()}
        with torch.no_grad():
            for track, vae in vaes.items():
                x = torch.tensor(validation[:, track : track + 1])
                nll, kl = plain_terms(vae, x, torch.zeros(len(x), c.latent_dim))
                metrics |= {f"val/loss.{TRACKS[track]}": (nll + kl).item(), f"val/kl.{TRACKS[track]}": kl.item()}
        tune.report(metrics | {"epoch": epoch})

    def encode(x: torch.Tensor) -> torch.Tensor:
        out = torch.zeros(len(x), len(TRACKS), c.latent_dim)
        for track, vae in vaes.items():
            out[:, track] = vae.encode(x[:, track : track + 1])[0]
        return out

    def decode(z: torch.Tensor) -> torch.Tensor:
        out = torch.full((len(z), len(TRACKS), c.steps, 128), -math.inf)
        for track, vae in vaes.items():
            out[:, track] = vae.decode(z[:, track])[:, 0]
        return out

    with torch.no_grad():
        rows = pairs[rng.permutation(len(pairs))[: c.max_train]]
        last, current = (encode(torch.tensor(windows[rows[:, place]])) for place in (0, 1))
    networks = [melody_nn(c) if name == "Piano" else conditional_nn(c) for name in TRACKS]
    trainers = [torch.optim.Adam(network.parameters(), c.latent_lr) for network in networks]
    for epoch in range(c.latent_epochs):
        metrics = {}
        for batch in torch.randperm(len(last)).split(c.latent_batch):
            for track, network in enumerate(networks):
                loss = F.mse_loss(predict(network, track, last[batch], current[batch, 1]), current[batch, track])
                trainers[track].zero_grad()
                loss.backward()
                trainers[track].step()
                metrics[f"train/next_mse.{TRACKS[track]}"] = loss.item()
        tune.report(metrics | {"epoch": epoch})
    with torch.no_grad():
        packed = SimpleNamespace(train=np.arange(len(train)), packed=lambda rows: pack(train[rows].numpy() > 0))
        radii, shares = radii_of(c.peaks, own_radii(packed)), (validation > 0).mean(axis=(0, 2, 3))
        heard = contrasted(decode(encode(torch.tensor(validation))), c.contrast)
        rules = NoteRules(density_thresholds(heard, shares, radii), radii, c.contrast)
        starts = window = torch.tensor(windows[pairs[rng.permutation(len(pairs))[: c.starts], 0]])
        generated = []
        for network in networks:
            network.eval()
        for _ in range(c.continuation):
            last = encode(window)
            piano = predict(networks[1], 1, last, last[:, 1]) + c.noise_sd * torch.randn(len(last), c.latent_dim)
            latents = [
                piano if track == 1 else predict(network, track, last, piano) + c.noise_sd * torch.randn_like(piano)
                for track, network in enumerate(networks)
            ]
            window = rules.cells(decode(torch.stack(latents, 1))).float()
            generated.append(window.bool().numpy())
        means = encode(torch.tensor(test))
        rebuilt = rules.cells(decode(means)).numpy()
    continuations = np.stack(generated, axis=1)[:, None]
    fake = continuations.reshape(-1, *continuations.shape[3:])
    count, real = min(len(fake), len(validation)), WindowSet(test > 0, np.arange(len(test)) // 3, c.resolution)
    other = WindowSet(validation[:count] > 0, np.arange(count) // 3, c.resolution)
    training = TrainingWindows([train.numpy() > 0])
    values = reconstruction_measures(rebuilt, real.rolls) | music_measures(fake, c.resolution)
    values |= set_measures(continuations, real, count) | baseline_measures(other, real, training, rng)
    values |= training_measures(training.likeness(fake[:count]), values[COPIED_FROM])
    values |= posterior_measures({TRACKS[t]: (means[:, t].numpy(), np.zeros((len(test), c.latent_dim))) for t in vaes})
    rolls = [
        np.concatenate([starts[number].bool().numpy(), *(step[number] for step in generated)], axis=1)
        for number in range(4)
    ]
    titles = [f"start {number}" for number in range(4)]
    for number, sample in enumerate(render_samples(rolls, titles, c.resolution, 120.0, c.steps, SOUNDS)):
        for kind, data in sample.items():
            Path(f"start-{number}.{kind}").write_bytes(data)
    tune.report({name: value for name, value in values.items() if not math.isnan(value)})


def plain_terms(vae: ConvVAE, x: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The Gaussian's negative log-likelihood and the KL, in nats a window, as one writes them with convolutions."""
    mean, log_sigma = vae.encode(x)
    log_scale = LOG_SIGMA_FLOOR + F.softplus(vae.log_scale - LOG_SIGMA_FLOOR)
    squares = ((x - vae.decode(mean + log_sigma.exp() * noise)) ** 2).sum()
    nll = 0.5 * squares * torch.exp(-2 * log_scale) + x.numel() * (log_scale + 0.5 * math.log(2 * math.pi))
    kl = 0.5 * (mean**2 + (2 * log_sigma).exp() - 1 - 2 * log_sigma).sum()
    return nll / len(x), kl / len(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="on both sides")
    parser.add_argument("--sweep", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.values = {field: float(value) if "." in value else int(value) for field, value in _pairs(options.set)}
    if options.sweep:
        sweep(options.sweep, options)
        return
    again = ["--blocks", str(options.blocks), *(word for text in options.set for word in ("--set", text))]
    with tempfile.TemporaryDirectory() as folder:
        storage = Path(folder)
        command = [str(Path(sys.executable).with_name("musiclab")), "data", "build", "chorales", "--storage", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        study, plain = run_study(storage, again), run_sweep(storage, again)
        rows = where_it_goes(storage, study)
    trials = len(LATENT_DIMS) * options.blocks
    print(
        f"{trials} trials of latent_dim, demo scale, chorales; {os.cpu_count()} CPUs, Python {sys.version.split()[0]}"
    )
    print(f"{'':<34}{'seconds':>9}{'s/trial':>9}{'ratio':>7}")
    for name, took in (("this study, answer included", study), ("plain Ray Tune + MLflow callback", plain)):
        print(f"{name:<34}{took.seconds:>9.1f}{took.seconds / trials:>9.2f}{took.seconds / study.seconds:>7.2f}")
    whole = sum(seconds for _, seconds in rows)
    print(f"\n{'where the seconds of the study go':<46}{'seconds':>9}{'s/trial':>9}{'share':>7}")
    for name, seconds in [*rows, ("all, summed over workers", whole)]:
        print(f"{name:<46}{seconds:>9.1f}{seconds / trials:>9.2f}{seconds / whole:>7.1%}")


def _pairs(texts: list[str]) -> Iterator[tuple[str, str]]:
    for text in texts:
        field, _, value = text.partition("=")
        yield field, value


if __name__ == "__main__":
    main()
