"""New music from what studies have trained: a trial's networks, start windows of one's own, and what comes of them."""

import argparse
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from musiclab.data.midi import file_windows
from musiclab.data.store import WindowStore, open_store
from musiclab.errors import UserError
from musiclab.measures.registry import find_measure
from musiclab.rendering.sample import render_samples
from musiclab.study.answer import answer, best
from musiclab.study.plan import Cell
from musiclab.study.records import Records, StoredFiles
from musiclab.study.storage import Storage
from musiclab.study.trial import trial_windows
from musiclab.systems import find_system
from musiclab.systems.base import StageRun, System
from musiclab.systems.config import GENERATE, MEASURE
from musiclab.systems.style import named_targets
from musiclab.training.streams import Block

# How much of a target is mixed in where nothing else is said: the article's own value.
_ALPHA = 0.5
_TEMPO = 120.0


@dataclass(frozen=True)
class Trained:
    """A finished trial to generate from, and how it was found, in words."""

    cell: Cell
    found: str


def generate(options: argparse.Namespace) -> int:
    """Do what `musiclab generate` is asked: find a trained trial, continue start windows, write files, name them."""
    storage = Storage(options.storage)
    system = find_system(options.system)
    trained = _trial(storage, options.trial, system) if options.trial else _best(storage, options.study, system)
    config = _config(system, trained.cell, options)
    _check_products(storage, trained.cell)
    print(f"{system.name} from {trained.found}")
    run = _run(storage, trained.cell, config, options)
    starts = _starts(storage, trained.cell, system, config, options)
    torch.set_num_threads(1)  # as in a trial, whose continuations can be had again
    continued = system.continuations(run, starts)
    if not options.start:  # one of each start's variations
        starts, continued = (rows[:: config.variations][: options.samples] for rows in (starts, continued))
    rolls, start_steps = system.heard(config, starts, continued)
    names = [f"{system.name}-{number}" for number in range(1, len(rolls) + 1)]
    options.out.mkdir(parents=True, exist_ok=True)
    samples = render_samples(rolls, names, config.resolution, _TEMPO, start_steps)
    for name, sample in zip(names, samples, strict=True):
        for kind, data in sample.items():
            (options.out / f"{name}.{kind}").write_bytes(data)
        print(f"  {options.out / name}.mid, .png, .mp3")
    return 0


def _best(storage: Storage, study: str | None, system: System) -> Trained:
    """A trial of the best variant of the system in a study: of the one named, else of the newest that has one."""
    records = Records(storage)
    plans = [
        json.loads(storage.read(f"studies/{name}/{edition}/plan.json"))
        for name in ([study] if study else storage.names("studies"))
        for edition in storage.names(f"studies/{name}")
    ]
    for plan in sorted(plans, key=lambda plan: plan["began"], reverse=True):
        cells = [cell for value in plan["cells"] if (cell := Cell.from_json(value)).variant.system == system.name]
        found = {cell.key: record for cell in cells if (record := records.get(cell.key))}
        if found:
            names = {cell.variant.name for cell in cells}
            answered = answer(cells, found, {name: name for name in names}, find_measure(plan["objective"]))
            name = best(answered) or next(cell.variant.name for cell in cells if cell.key in found)
            cell = next(cell for cell in cells if cell.variant.name == name and cell.key in found)
            where = f"the best variant of {plan['study']}, {name}, block {cell.block.index} (trial {cell.key})"
            return Trained(cell, where)
    of = f"the study {study}" if study else "any study"
    raise UserError(
        f"{storage.root} has no finished trial of {system.name} in {of}; run a study of it with this --storage first."
    )


def _trial(storage: Storage, key: str, system: System) -> Trained:
    record = Records(storage).get(key)
    if record is None:
        raise UserError(f"--trial {key}: {storage.root} has no finished trial of that key.")
    if record["system"] != system.name:
        raise UserError(f"--trial {key} is of {record['system']}, not of {system.name}.")
    return Trained(Cell.of_record(record), f"trial {key}")


def _check_products(storage: Storage, cell: Cell) -> None:
    records = Records(storage)
    for stage, key in cell.stages.items():
        if stage not in (GENERATE, MEASURE) and not records.stage_done(key):
            raise UserError(f"The networks of trial {cell.key} are gone: {storage.path(f'stages/{key}')} is not there.")


def _config(system: System, cell: Cell, options: argparse.Namespace) -> Any:
    """The trial's config with what was asked to be other; UserError for what only training could change."""
    asked = dict(options.set)
    if "target" in asked:
        raise UserError("--set target is for studies; here it is --style.")
    for name in asked:
        if system.config.spec(name).metadata["stage"] != GENERATE:
            of_generate = ", ".join(system.config().of_stages((GENERATE,)))
            raise UserError(f"--set {name} would take training anew; here it can set {of_generate}.")
    if options.windows:
        asked["continuation"] = options.windows
    config = system.config(**cell.variant.config)
    if options.style:
        if "target" not in system.conditions:
            raise UserError(f"--style is not for {system.name}, which follows no target; vae_nn does.")
        asked.setdefault("alpha", config.alpha or _ALPHA)
    return config.with_values({"target": "none"} | asked if "target" in system.conditions else asked)


def _run(storage: Storage, cell: Cell, config: Any, options: argparse.Namespace) -> StageRun:
    targets = None
    if options.style:
        targets = named_targets(options.style, _store(storage, cell), config.window_spec, option="--style")
    block = cell.block if options.seed is None else Block(options.seed, cell.block.index)
    return StageRun(config, block, None, StoredFiles(storage, cell, GENERATE), torch.device("cpu"), targets)


def _starts(storage: Storage, cell: Cell, system: System, config: Any, options: argparse.Namespace) -> np.ndarray:
    """Start windows, packed `(n, track, steps, 16)`: the last one of the given file, or all of the trial's own."""
    if options.start:
        last = file_windows(options.start, config.window_spec, "--start")[-1:]
        # Without noise all continuations of one start are the same.
        return np.repeat(last, options.samples if "noise" in system.conditions else 1, axis=0)
    if _store(storage, cell) is None:
        raise UserError(
            f"The windows that trial {cell.key} started from are not in {storage.root}; give --start FILE.mid."
        )
    # All of them, so that the first ones' continuations are those that the trial left as samples.
    windows = trial_windows(storage, cell, config)
    return np.repeat(windows.packed(windows.starts[:, 0]), config.variations, axis=0)


def _store(storage: Storage, cell: Cell) -> WindowStore | None:
    """The windows that the trial was trained on, where the storage still has them."""
    name = f"data/{cell.variant.data}"
    return open_store(storage.local(name)) if storage.exists(f"{name}/songs.json") else None
