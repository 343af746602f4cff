#!/usr/bin/env python
"""How well the progress of a system, early in its training, ranks configurations as they rank in the end.

    python benchmarks/progress_ranks.py SYSTEM [--data SOURCE] [--configs 24] [--blocks 1]

Configurations are drawn around the mended form at demo scale, each field by itself, and trained to the end. Printed is
Spearman's rank correlation of the progress at each rung with the Frechet distance in the end, a mean over blocks, with
the sign such that 1 means "ranked in the same way", and its 95 % interval by the bootstrap over configurations. A
configuration that diverges is as bad in the end as the worst of the others.

With two blocks or more, searches with and without `asha` are replayed on these results, on each block in turn: the
configurations come one after the other in a random order, and the best five are confirmed on the other blocks. Printed
is what `asha` saves of the training at equal quality of the winner, a mean over ORDERS orders.

The blocks, which no study uses, and their songs are those of `choose_presets.py`, so no test song is looked at. Results
are kept in the folder --kept, so that a second call trains only what is missing.
"""

import argparse
import json
import math
import os
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import numpy as np
import torch
from choose_presets import FIRST_BLOCK, Kept, halved
from scipy.stats import ConstantInputWarning, spearmanr

from musiclab.data.sources import open_source
from musiclab.data.store import build
from musiclab.design.search import RUNGS, Search
from musiclab.execution.early_stopping import goes_on
from musiclab.hashing import content_hash
from musiclab.study.options import assignment
from musiclab.systems import SYSTEMS, find_system
from musiclab.systems.base import StageRun, System
from musiclab.systems.config import MEASURE
from musiclab.systems.evaluation import measured, real_baselines
from musiclab.training.files import read_progress
from musiclab.training.fit import Diverged
from musiclab.training.memory import keep_freed_memory
from musiclab.training.streams import Block
from musiclab.training.windows import BlockWindows, block_windows

OBJECTIVES = {"note_rnn": "set/frechet.Piano"}
BOOTSTRAPS = ORDERS = 2000
# What is drawn: one of a list, or a number between two that is even on a logarithmic scale.
FIELDS: dict[str, dict[str, list[Any] | tuple[float, float]]] = {
    "vae_nn": {
        "latent_dim": [4, 8, 16, 32, 64], "width": [8, 16, 24], "likelihood": ["gaussian", "bernoulli"],
        "beta": (0.05, 5.0), "vae_lr": (5e-4, 2e-2), "vae_batch": [16, 32, 64], "vae_schedule": ["constant", "cosine"],
    },
    "gan": {
        "spectral_norm": [False, True], "r1": [0.0, 0.1, 0.3, 1.0], "output": ["sigmoid", "softmax"],
        "feature_matching": [False, True], "label_smoothing": [False, True], "ema": [0.0, 0.9], "width": [4, 8, 12],
        "g_lr": (5e-4, 2e-2), "ttur": (0.5, 8.0), "schedule": ["constant", "cosine"],
    },
    "note_rnn": {
        "hidden": [32, 64, 96, 128], "layers": [1, 2], "vocabulary": [48, 96, 192, 512], "batch": [8, 16, 32, 64],
        "sequence": [32, 64, 128], "lr": (5e-4, 3e-2), "schedule": ["decay", "cosine"],
    },
    "multitrack_rnn": {
        "hidden": [48, 96, 128, 192], "layers": [1, 2], "sequence": [16, 32, 64], "counts": ["three", "drawn"],
        "batch": [8, 16, 32], "lr": (5e-4, 2e-2), "schedule": ["constant", "cosine"], "clip": [0.0, 1.0],
    },
    "melody_harmony_cnn": {
        "width": [8, 16, 24], "hidden": [64, 128, 256], "dense_layers": [2, 3], "dropout": [0.0, 0.2, 0.4],
        "encoder": ["separate", "shared"], "batch": [16, 32, 64], "lr": (5e-4, 3e-2), "schedule": ["decay", "cosine"],
    },
    "transformer_xl": {
        "d_model": [32, 64, 96], "layers": [1, 2, 3], "memory": [0, 32, 64, 128], "segment": [16, 32, 64],
        "batch": [4, 8, 16], "dropout": [0.0, 0.1, 0.2], "lr": (1e-3, 2e-2),
    },
}  # fmt: skip


def drawn(system: str, number: int) -> dict[str, Any]:
    """The values of the fields of configuration `number`, whatever others are drawn."""
    rng = np.random.default_rng(number)
    values: dict[str, Any] = {}
    for field, choices in FIELDS[system].items():
        if isinstance(choices, list):
            values[field] = choices[rng.integers(len(choices))]
        else:
            low, high = choices
            values[field] = float(f"{low * (high / low) ** rng.random():.3g}")
    return values


def trial(system: System[Any], config: Any, windows: BlockWindows, block: Block) -> dict[str, Any]:
    """Train with rungs to the end and measure: the progress at the rungs, the objective, and the CPU seconds."""
    files = Kept({})
    began, objective = time.process_time(), math.inf
    try:
        for stage in system.stages:
            run = StageRun(config, block, windows, files.product(stage), torch.device("cpu"), rungs=RUNGS)
            if stage == MEASURE:
                break
            system.run_stage(stage, run)
        measures, _ = measured(system, run, real_baselines(run))
        objective = measures[OBJECTIVES.get(system.name, "set/frechet")]
    except Diverged:
        pass
    progress = read_progress(files.product(system.progress.stage))
    seconds = time.process_time() - began
    return {"progress": [progress.get(share, math.nan) for share in RUNGS], "objective": objective, "seconds": seconds}


def correlation(progress: np.ndarray, objective: np.ndarray) -> float:
    """The rank correlation of two tables of configurations x blocks: the mean over blocks that have one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)  # which is NaN
        each = [spearmanr(progress[:, block], objective[:, block]).statistic for block in range(progress.shape[1])]
    return float(np.nanmean(each)) if np.isfinite(each).any() else math.nan


def interval(progress: np.ndarray, objective: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the rank correlation, by the percentiles of bootstrap samples of configurations."""
    rng, count = np.random.default_rng(0), len(progress)
    samples = (rng.integers(count, size=count) for _ in range(BOOTSTRAPS))
    low, high = np.nanpercentile([correlation(progress[rows], objective[rows]) for rows in samples], [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Saving:
    """What `asha` saves, means over orders and blocks.

    Attributes:
        training: that `asha` did for all configurations, in full trials.
        winner: the objective of the best of those that it confirmed, on the other blocks.
        winner_of_all: the same if every configuration is trained to the end.
        needed: full trials that a search without scheduler needs for as good a winner.
    """

    training: float
    winner: float
    winner_of_all: float
    needed: int


def saving(progress: np.ndarray, objective: np.ndarray) -> Saving:
    """Replay searches in random orders.

    Args:
        progress: configurations x blocks x rungs, lower is better.
        objective: configurations x blocks, lower is better.
    """
    count, blocks = objective.shape
    rng = np.random.default_rng(0)
    orders = [rng.permutation(count) for _ in range(ORDERS)]
    training, winners, without = [], [], []
    for block in range(blocks):
        searched, confirmed = objective[:, block], np.delete(objective, block, axis=1).mean(axis=1)
        for order in orders:
            shares = _shares_trained(progress[order, block])
            training.append(shares.sum())
            winners.append(_winner(order[shares == 1], searched, confirmed))
            without.append([_winner(order[:trials], searched, confirmed) for trials in range(1, count + 1)])
    winner, by_trials = float(np.mean(winners)), np.mean(without, axis=0)
    enough = np.flatnonzero(by_trials <= winner)
    needed = int(enough[0]) + 1 if len(enough) else count
    return Saving(float(np.mean(training)), winner, float(by_trials[-1]), needed)


def _winner(trials: np.ndarray, searched: np.ndarray, confirmed: np.ndarray) -> float:
    """The best confirmed value among the best of the search."""
    best = trials[searched[trials].argsort()[: Search.confirm]]
    return float(confirmed[best].min())


def _shares_trained(progress: np.ndarray) -> np.ndarray:
    """The share of its training that each trial gets if they come in this order, one after the other."""
    shares = np.ones(len(progress))
    seen: list[list[float | None]] = [[] for _ in RUNGS]
    for trial, values in enumerate(progress):
        for rung, share in enumerate(RUNGS):
            goes = goes_on(values[rung], seen[rung])
            seen[rung].append(values[rung])
            if not goes:
                shares[trial] = share
                break
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--data", default="chorales")
    parser.add_argument("--configs", type=int, default=24)
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], type=assignment, help="FIELD=VALUE, for all of them")
    parser.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()) / "progress_ranks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    system = find_system(options.system)
    base = system.config().with_values(system.scales["demo"] | system.forms["mended"])
    store = build(open_source(options.data), base.window_spec, options.kept / "data", workers=2)
    code = [each.identity for stage in system.stages for each in system.code(stage)]
    results: list[list[dict[str, Any]]] = [[] for _ in range(options.configs)]
    for block in (Block(0, FIRST_BLOCK + number) for number in range(options.blocks)):
        windows = block_windows(store, block, base.max_train, base.max_eval, base.starts, halved(store, block))
        for number, found in enumerate(results):
            values = drawn(system.name, number) | dict(options.set)
            config = base.with_values(values)
            key = content_hash([system.name, config.to_json(), block.index, store.fingerprint, code, RUNGS])
            kept = options.kept / f"{key}.json"
            if not kept.exists():
                kept.write_text(json.dumps(trial(system, config, windows, block)))
            found.append(result := json.loads(kept.read_text()))
            progress = "".join(f"{value:>10.4g}" for value in result["progress"])
            print(f"{progress}{result['objective']:>10.4g}{result['seconds']:>7.1f} s  {values}", flush=True)
    _print(system, results)


def _print(system: System[Any], results: list[list[dict[str, Any]]]) -> None:
    sign = 1 if system.progress.better == "lower" else -1
    progress = sign * np.array([[each["progress"] for each in found] for found in results])
    progress = np.where(np.isfinite(progress), progress, np.inf)
    objective = np.array([[each["objective"] for each in found] for found in results])
    worst = np.where(np.isfinite(objective), objective, -np.inf).max(axis=0)
    objective = np.where(np.isfinite(objective), objective, worst)
    print(f"{system.name}: {system.progress.name}, {len(results)} configurations, {objective.shape[1]} blocks")
    for rung, share in enumerate(RUNGS):
        low, high = interval(progress[..., rung], objective)
        print(f"  at {share:.3f}: {correlation(progress[..., rung], objective):.2f} [{low:.2f}, {high:.2f}]")
    if objective.shape[1] > 1:
        saved = saving(progress, objective)
        print(
            f"  asha's winner has {saved.winner:.4g}, for the training of {saved.training:.1f} full trials; without it "
            f"that takes {saved.needed} trials, and the winner of all {len(results)} has {saved.winner_of_all:.4g}"
        )


if __name__ == "__main__":
    main()
