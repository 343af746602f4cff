#!/usr/bin/env python
"""How the demo presets of the mended forms were chosen: candidates of a system, tried on songs that no study tests.

    python benchmarks/choose_presets.py SYSTEM [--data SOURCE] [--blocks 2] [--only TEXT] [--set FIELD=VALUE ...]

Each candidate changes fields of the system's mended form at demo scale; the first changes none. --set tries one of your
own, --form starts from another form. They are tried on blocks 1000, 1001, ..., which no study uses, and each block's
test songs are left aside: half of its validation songs are started from and calibrated on, the other half is what the
music is compared with. Values are medians over blocks; the last rows are real, shuffled and random music's. Results are
kept in the folder --kept, so that a second call runs only what is missing. With --rolls, pictures of the first samples
are written into a folder.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import numpy as np
import torch

from musiclab.data.sources import open_source
from musiclab.data.splits import Split, split_songs
from musiclab.data.store import WindowStore, build
from musiclab.hashing import content_hash
from musiclab.rendering.picture import to_png
from musiclab.study.options import assignment
from musiclab.systems import SYSTEMS, find_system
from musiclab.systems.base import StageRun, System, read_generated
from musiclab.systems.config import FORMS, GENERATE, MEASURE
from musiclab.systems.evaluation import measured, real_baselines
from musiclab.training.memory import keep_freed_memory
from musiclab.training.streams import Block
from musiclab.training.windows import BlockWindows, block_windows

FIRST_BLOCK = 1000
PICTURES = 4
CANDIDATES: dict[str, list[dict[str, Any]]] = {
    "note_rnn": [{}, {"temperature": 0.9}, {"vocabulary": 512}, {"epochs": 24}, {"tokens": "onsets"}],
    "multitrack_rnn": [
        {}, {"temperature": 0.7}, {"temperature": 1.0}, {"layers": 3}, {"schedule": "constant"}, {"counts": "written"},
        {"loss": "mse", "counts": "predicted", "temperature": 0.05},
    ],
    "melody_harmony_cnn": [
        {},
        {"contrast": 0.0},
        {"contrast": 0.3},
        {"peaks": 0},
        {"schedule": "decay"},
        {"dropout": 0.1, "epochs": 31},
    ],
    "vae_nn": [
        {},
        {"vae_init": "default"},
        {"vae_schedule": "constant"},
        {"threshold_rule": "best_f1"},
        {"peaks": 0},
        {"contrast": 0.0},
        {"noise_sd": 1.0},
        {"latent_dim": 8},
        {"latent_dim": 32},
        {"latent_dim": 64},
    ],
    "gan": [
        {},
        {"output": "sigmoid"},
        {"init": "default"},
        {"spectral_norm": False, "r1": 0.0},
        {"r1": 0.1},
        {"schedule": "constant"},
        {"g_lr": 1e-2},
        {"ttur": 2.0},
        {"peaks": 0},
    ],
    "transformer_xl": [{}, {"top_p": 0.8}, {"epochs": 2}],
}  # fmt: skip
COLUMNS = {
    "set/frechet": "Frechet", "music/polyphony": "pitches", "music/note_length": "beats",
    "music/note_density": "density", "music/empty_bars": "empty", "music/harmony_gain": "harmony",
    "set/diversity_ratio": "diversity", "set/duplicate_rate": "duplicates", "set/precision": "precision",
    "set/recall": "recall",
}  # fmt: skip


class Kept:
    """The files of a trial's stages, in memory."""

    def __init__(self, trial: dict[tuple[str, str], bytes], stage: str = "") -> None:
        self.trial, self.stage = trial, stage

    def read(self, name: str) -> bytes:
        try:
            return self.trial[self.stage, name]
        except KeyError as error:
            raise FileNotFoundError(name) from error

    def write(self, name: str, data: bytes) -> None:
        self.trial[self.stage, name] = data

    def product(self, stage: str) -> "Kept":
        return Kept(self.trial, stage)


def halved(store: WindowStore, block: Block) -> Split:
    """The block's split without its test songs: half of the validation songs stand for them."""
    split = split_songs(store.works, block.numpy("split"))
    works = sorted({store.works[song] for song in split.validation})
    half = set(works[::2])

    def part(first: bool) -> tuple[str, ...]:
        return tuple(song for song in split.validation if (store.works[song] in half) == first)

    return Split(split.train, validation=part(True), test=part(False))


def trial(system: System[Any], config: Any, store: WindowStore, block: Block, rolls: Path | None) -> dict[str, Any]:
    """Train, generate and measure; the measures, the baselines and the seconds of training."""
    windows = block_windows(store, block, config.max_train, config.max_eval, config.starts, halved(store, block))
    files = Kept({})
    began = time.process_time()
    for stage in system.stages:
        run = StageRun(config, block, windows, files.product(stage), torch.device("cpu"))
        if stage == MEASURE:
            break
        system.run_stage(stage, run)
    seconds = time.process_time() - began
    if rolls:
        _write_pictures(rolls, system, run, windows)
    baselines = real_baselines(run)
    measures, _ = measured(system, run, baselines)
    return {"measures": measures, "baselines": baselines["values"], "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--data", default="chorales")
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--form", default="mended", choices=FORMS)
    parser.add_argument("--only", metavar="TEXT", default="", help="only candidates whose name contains it")
    parser.add_argument("--set", action="append", default=[], type=assignment, help="try only this candidate")
    parser.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()) / "choose_presets")
    parser.add_argument("--rolls", type=Path, help="folder for pictures of the samples of the first block")
    parser.add_argument("--measures", nargs="*", default=[], help="full names of more measures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    system, source = find_system(options.system), open_source(options.data)
    listed = [dict(options.set)] if options.set else CANDIDATES[options.system]
    named = {", ".join(f"{field}={value}" for field, value in each.items()) or "as it is": each for each in listed}
    candidates = {name: each for name, each in named.items() if options.only in name}
    if not candidates:
        parser.error(f"--only must be part of one of {'; '.join(named)}; got {options.only}")
    columns = COLUMNS | {name: name.partition("/")[2] for name in options.measures}
    print(f"{'':<60}" + "".join(f"{name[:9]:>10}" for name in (*columns.values(), "CPU s")))
    for number, (name, changes) in enumerate(candidates.items()):
        config = system.config().with_values(system.scales["demo"] | system.forms[options.form] | changes)
        store = build(source, config.window_spec, options.kept / "data", workers=2)
        code = [each.identity for stage in system.stages for each in system.code(stage)]
        found = []
        for block in (Block(0, FIRST_BLOCK + index) for index in range(options.blocks)):
            key = content_hash([system.name, config.to_json(), block.index, store.fingerprint, code])
            kept = options.kept / f"{key}.json"
            rolls = options.rolls / str(number) if options.rolls and block.index == FIRST_BLOCK else None
            if rolls or not kept.exists():
                kept.write_text(json.dumps(trial(system, config, store, block, rolls)))
            found.append(json.loads(kept.read_text()))
        rows = [[each["measures"].get(column, np.nan) for column in columns] + [each["seconds"]] for each in found]
        _print_row(name, rows)
    for suffix in ("", ".floor", ".shuffled", ".random"):
        rows = [[each["baselines"].get(column + suffix, np.nan) for column in columns] for each in found]
        _print_row(f"real music{suffix}", rows)


def _print_row(name: str, rows: list[list[float]]) -> None:
    values = np.median(np.array(rows, float), axis=0)
    print(f"{name:<60}" + "".join(f"{value:>10.3g}" for value in values), flush=True)


def _write_pictures(folder: Path, system: System[Any], run: StageRun[Any], windows: BlockWindows) -> None:
    """Pictures of the continuations of the first start windows."""
    starts = windows.starts[:PICTURES, 0]
    continued = read_generated(run.files.product(GENERATE))[:: run.config.variations][:PICTURES]
    rolls, start_steps = system.audible(run.config, windows.packed(starts), continued, windows.store.transposed(starts))
    folder.mkdir(parents=True, exist_ok=True)
    for number, roll in enumerate(rolls, 1):
        title = f"{system.name}, start {number}"
        (folder / f"{number}.png").write_bytes(to_png(roll, run.config.resolution, title, start_steps))


if __name__ == "__main__":
    main()
