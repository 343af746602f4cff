#!/usr/bin/env python
"""`examples/own_system.py` by hand: what its study takes with Ray Tune and MLflow, but without musiclab around them.

    python benchmarks/own_system_by_hand.py FOLDER [--blocks 2] [--data chorales]

The same LSTM in the same two sizes on two paired blocks, with splits by song, checkpoints, curves, runs in MLflow, the
Fréchet distance of music from real music beside that of other real songs and of random notes, samples as MIDI, and a
table with a test. Run again, it goes on with what is missing. What is hard and not the point comes from musiclab as
from a library: windows that are cut from songs, the Fréchet distance, and a writer of MIDI files.
`benchmarks/lines_of_code.py` counts its lines beside those of the examples.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import numpy as np
import ray
import torch
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from scipy.stats import ttest_rel
from torch import nn

from musiclab.data.sources import open_source
from musiclab.data.store import build
from musiclab.data.windows import WindowSpec
from musiclab.measures.embedding import embed, frechet_distance
from musiclab.rendering.midi import to_midi

EPOCHS, TRAINING_WINDOWS, COMPARED, STARTS, WINDOWS, STEPS, RESOLUTION, SAMPLES = 10, 1024, 256, 64, 4, 32, 2, 4
NAME, CONTROL, OTHER = "step_lstm", 128, 32


def network(hidden: int) -> nn.ModuleDict:
    return nn.ModuleDict({"lstm": nn.LSTM(645, hidden, batch_first=True), "out": nn.Linear(hidden, 645)})


def lowest(rolls: np.ndarray) -> torch.Tensor:
    return torch.where((cells := torch.from_numpy(rolls).transpose(1, 2)).any(-1), cells.int().argmax(-1), 128)


def epoch(net: nn.ModuleDict, adam: torch.optim.Adam, pitches: torch.Tensor, draws: torch.Generator) -> float:
    for rows in torch.randperm(len(pitches), generator=draws).split(32):
        states, _ = net["lstm"](nn.functional.one_hot(pitches[rows, :-1], 129).flatten(2).float())
        loss = nn.functional.cross_entropy(net["out"](states).view(-1, 129), pitches[rows, 1:].flatten())
        adam.zero_grad()
        loss.backward()
        adam.step()
    return loss.item()


@torch.no_grad()
def continuations(net: nn.ModuleDict, starts: np.ndarray, draws: torch.Generator) -> np.ndarray:
    pitches, state, made = lowest(starts), None, []
    for _ in range(WINDOWS * STEPS):
        states, state = net["lstm"](nn.functional.one_hot(pitches, 129).flatten(2).float(), state)
        odds = net["out"](states[:, -1]).view(-1, 129)
        made.append(pitches := torch.multinomial(odds.softmax(-1), 1, generator=draws).view(-1, 1, 5))
    made = torch.cat(made, 1).view(len(starts), WINDOWS, STEPS, 5).transpose(2, 3)
    return nn.functional.one_hot(made, 129)[..., :128].bool().numpy()


def parts(songs: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of windows to train on, of others to start from, and of others to compare with; all of different songs."""
    draws = np.random.default_rng(block)
    order = draws.permutation(np.unique(songs))
    tenth = len(order) // 10
    groups = order[2 * tenth :], order[:tenth], order[tenth : 2 * tenth]
    train, validation, test = (draws.permutation(np.flatnonzero(np.isin(songs, group))) for group in groups)
    return train[:TRAINING_WINDOWS], validation[:COMPARED], test[:COMPARED]


def distances(made: np.ndarray, validation: np.ndarray, test: np.ndarray, block: int) -> dict[str, float]:
    """How far music is from real music, and how far other real songs and random notes of the same density are."""
    generated = made.reshape(-1, *made.shape[2:])
    size = min(len(generated), len(validation), len(test))
    real = embed(test, RESOLUTION)
    noise = np.random.default_rng(block).random((size, *test.shape[1:])) < test.mean((0, 2), keepdims=True)
    compared = {
        "frechet": generated[np.arange(size) * len(generated) // size],
        "real": validation[:size],
        "random": noise,
    }
    return {name: frechet_distance(embed(rolls, RESOLUTION), real, real) for name, rolls in compared.items()}


def trial(config: dict[str, Any], windows: np.ndarray, songs: np.ndarray) -> None:
    """Train, from the checkpoint if there is one, generate, measure, and leave samples."""
    torch.set_num_threads(1)
    block = config["block"]
    train, validation, test = (np.unpackbits(windows[rows], axis=-1).astype(bool) for rows in parts(songs, block))
    torch.manual_seed(block)
    net, pitches, first = network(config["hidden"]), lowest(train), 0
    adam = torch.optim.Adam(net.parameters(), 8e-3)
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder) / "state.pt", weights_only=True)
        net.load_state_dict(state["net"])
        adam.load_state_dict(state["adam"])
        first = state["epoch"] + 1
    for number in range(first, EPOCHS):
        loss = epoch(net, adam, pitches, torch.Generator().manual_seed(1000 * block + number))
        with tempfile.TemporaryDirectory() as folder:
            state = {"net": net.state_dict(), "adam": adam.state_dict(), "epoch": number}
            torch.save(state, Path(folder) / "state.pt")
            tune.report({"loss": loss}, checkpoint=tune.Checkpoint.from_directory(folder))
    made = continuations(net, validation[:STARTS], torch.Generator().manual_seed(block))
    for number in range(SAMPLES):
        roll = np.concatenate([validation[number], *made[number]], axis=1)
        Path(tune.get_context().get_trial_dir(), f"start-{number + 1}.mid").write_bytes(to_midi(roll, RESOLUTION))
    tune.report({"loss": loss} | distances(made, validation, test, block))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--data", default="chorales")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    store = build(open_source(options.data), WindowSpec(RESOLUTION, STEPS, STEPS), folder, workers=2)
    songs = store.song_numbers(np.arange(len(store.windows)))
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    trainable = tune.with_parameters(trial, windows=np.array(store.windows), songs=songs)
    if tune.Tuner.can_restore(folder / NAME):
        tuner = tune.Tuner.restore(str(folder / NAME), trainable, resume_errored=True)
    else:
        space = {"hidden": tune.grid_search([OTHER, CONTROL]), "block": tune.grid_search([*range(options.blocks)])}
        logger = MLflowLoggerCallback(f"sqlite:///{folder}/mlflow.db", experiment_name=NAME, save_artifact=True)
        run_config = tune.RunConfig(
            name=NAME,
            storage_path=str(folder),
            callbacks=[logger],
            failure_config=tune.FailureConfig(max_failures=3),
            verbose=0,
        )
        tuner = tune.Tuner(trainable, param_space=space, run_config=run_config)
    results = tuner.fit()
    for error in results.errors:
        print(f"failed: {error}")
    table = results.get_dataframe().pivot(
        index="config/block", columns="config/hidden", values=["frechet", "real", "random"]
    )
    print(table.to_string(float_format="%.1f"))
    one, other = table["frechet"][OTHER], table["frechet"][CONTROL]
    p = ttest_rel(one, other).pvalue
    print(f"hidden={OTHER} against hidden={CONTROL}: difference {(one - other).mean():.1f}, p = {p:.3f}")


if __name__ == "__main__":
    main()
