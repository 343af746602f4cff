"""New music from what studies have trained: a trial's networks, start windows of one's own, and what comes of them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from musiclab.analysis.answer import best_so_far
from musiclab.data.midi import file_windows
from musiclab.data.store import WindowStore, open_store
from musiclab.design.trials import TrialSpec
from musiclab.errors import UserError
from musiclab.measures.registry import find_measure
from musiclab.rendering.sample import render_samples
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.storage.stages import StoredFiles
from musiclab.storage.windows import trial_windows
from musiclab.systems import find_system
from musiclab.systems.base import StageRun, System
from musiclab.systems.config import GENERATE, MEASURE
from musiclab.systems.targets import NONE, named_targets
from musiclab.training.streams import Block
from musiclab.training.windows import BlockWindows

# How much of a target is mixed in where nothing else is said: the article's own value.
_ALPHA = 0.5
_TEMPO = 120.0


@dataclass(frozen=True)
class Trained:
    """A finished trial to generate from, and how it was found, in words."""

    cell: TrialSpec
    found: str


@dataclass(frozen=True, kw_only=True)
class GenerateRequest:
    """What is to be generated, and from which trial.

    Attributes:
        storage: folder or URI of the studies' records.
        system: name of the system.
        study: whose best variant is taken; by default the newest study that has the system.
        trial: key of the trial that is taken instead.
        start: MIDI file whose last window is continued; by default the trial's own start windows.
        style: targets to follow.
        samples: how many continuations to make.
        windows: windows after each start; by default as many as in the trial.
        fields: fields of the stage `generate` to be changed, as text by name.
        seed: of other draws than the trial's own.
        out: folder for the files.
    """

    storage: str
    system: str
    study: str | None = None
    trial: str | None = None
    start: str | None = None
    style: str | None = None
    samples: int = 4
    windows: int | None = None
    fields: dict[str, str] = field(default_factory=dict)
    seed: int | None = None
    out: Path = Path("generated")


def generate(request: GenerateRequest) -> int:
    """Find a trained trial, continue start windows, write files and name them; the exit code."""
    storage = Storage(request.storage)
    system = find_system(request.system)
    trained = _trial(storage, request.trial, system) if request.trial else _best(storage, request.study, system)
    of_trial = _checked(storage, system, trained.cell)
    config = _config(system, of_trial, request)
    same_target = request.style or _target(config) == _target(of_trial)
    print(
        f"{system.name} from {trained.found}" + ("" if same_target else f", without its target {_target(of_trial)!r}")
    )
    windows = None if request.start else _windows(storage, trained.cell, system, config)
    run = _run(storage, trained.cell, config, windows, request)
    starts = _starts(system, config, windows, request)
    with _naming_out(request.out):
        request.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # as in a trial, whose continuations can be had again
    continued = system.continuations(run, starts)
    if not request.start:  # one of each start's variations
        starts, continued = (rows[:: config.variations][: request.samples] for rows in (starts, continued))
    rolls, start_steps = system.audible(config, starts, continued)
    if len(rolls) < request.samples:
        why = (
            f"{system.name} draws nothing, so that all continuations of one start are the same"
            if request.start
            else f"the validation songs of block {trained.cell.block.index} have no more start windows"
        )
        print(f"  {len(rolls)} instead of {request.samples}: {why}")
    names = [f"{system.name}-{number}" for number in range(1, len(rolls) + 1)]
    samples = render_samples(rolls, names, config.resolution, _TEMPO, start_steps)
    for name, sample in zip(names, samples, strict=True):
        with _naming_out(request.out):
            for kind, data in sample.items():
                (request.out / f"{name}.{kind}").write_bytes(data)
        print(f"  {request.out / name}.mid, .png, .mp3")
    return 0


@contextlib.contextmanager
def _naming_out(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"--out {out} cannot be written to: {error.strerror or error}; name a folder that can."
        ) from error


def _best(storage: Storage, study: str | None, system: System) -> Trained:
    """A trial of the best variant of the system in a study: of the one named, else of the newest that has one."""
    records = Records(storage)
    studies = [study] if study else storage.names("studies")
    plans = [plan for name in studies for plan in records.plans.of_study(name).values()]
    for plan in sorted(plans, key=lambda plan: plan.began, reverse=True):
        cells = [cell for cell in plan.trial_specs if cell.variant.system == system.name]
        found = {cell.key: record for cell in cells if (record := records.get(cell.key))}
        if found:
            leader = best_so_far(cells, found, find_measure(plan.objective))
            name = leader or next(cell.variant.name for cell in cells if cell.key in found)
            cell = next(cell for cell in cells if cell.variant.name == name and cell.key in found)
            where = f"the best variant of {plan.study}, {name}, block {cell.block.index} (trial {cell.key})"
            return Trained(cell, where)
    of = f"the study {study}" if study else "any study"
    raise UserError(
        f"{storage.root} has no finished trial of {system.name} in {of}; run a study of it with this --storage first."
    )


def _trial(storage: Storage, key: str, system: System) -> Trained:
    record = Records(storage).get(key)
    if record is None:
        raise UserError(f"--trial {key}: {storage.root} has no finished trial of that key.")
    if record.system != system.name:
        raise UserError(f"--trial {key} is of {record.system}, not of {system.name}.")
    return Trained(record.trial_spec, f"trial {key}")


def _checked(storage: Storage, system: System, cell: TrialSpec) -> Any:
    """The trial's config; UserError unless its networks are there and are what this code would train."""
    other_code = UserError(f"trial {cell.key} was trained by other code than this; run its study again.")
    try:
        config = system.config(**cell.variant.config)
    except (TypeError, UserError):  # a field or a value that there no longer is
        raise other_code from None
    # Of an earlier version of musiclab nothing tells what code it was; whether its networks fit is seen when they load.
    keys = system.stage_keys(config, cell.block, cell.variant.data, cell.runtime) if cell.runtime else cell.stages
    for stage in system.stages:
        if stage in (GENERATE, MEASURE):
            continue
        if cell.stages.get(stage) is None or cell.stages[stage] != keys[stage]:
            raise other_code
        if not Records(storage).stages.done(keys[stage]):
            folder = storage.path(f"stages/{keys[stage]}")
            raise UserError(f"The networks of trial {cell.key} are gone: {folder} is not there.")
    return config


def _config(system: System, config: Any, request: GenerateRequest) -> Any:
    """The trial's config with what was asked to be other; UserError for what only training could change.

    It keeps its own target where neither `--style` gives another one nor `--start` what it was not drawn for.
    """
    asked = request.fields
    if "target" in asked:
        raise UserError("--set target is for studies; here it is --style.")
    for name in asked:
        if system.config.spec(name).metadata["stage"] != GENERATE:
            of_generate = ", ".join(system.config().of_stages((GENERATE,)))
            raise UserError(f"--set {name} would take training anew; here it can set {of_generate}.")
    if request.style and "target" not in system.conditions:
        raise UserError(f"--style is not for {system.name}, which follows no target; vae_nn does.")
    if request.start and "start" not in system.conditions:
        raise UserError(f"--start is not for {system.name}, which continues nothing; leave it out.")
    config = config.with_values(asked)
    if request.windows:
        config = config.with_values({"continuation": request.windows})
    if not request.start:
        config = config.with_values({"starts": max(config.starts, request.samples)})
    if "target" in system.conditions and (request.style or request.start):
        config = config.with_values({"target": NONE})
    if request.style:
        return config if "alpha" in asked else config.with_values({"alpha": config.alpha or _ALPHA})
    for name in ("alpha", "alpha_mix"):
        if name in asked and _target(config) == NONE:
            raise UserError(f"--set {name} says how a target is followed, and there is none; give --style.")
    return config


def _target(config: Any) -> str:
    return getattr(config, "target", NONE)


def _windows(storage: Storage, cell: TrialSpec, system: System, config: Any) -> BlockWindows:
    """What the trial started from, and looks its own targets up in."""
    if _store(storage, cell) is None:
        hint = "give --start FILE.mid" if "start" in system.conditions else "run its study again"
        raise UserError(f"The windows that trial {cell.key} started from are not in {storage.root}; {hint}.")
    return trial_windows(storage, cell, config)


def _run(
    storage: Storage, cell: TrialSpec, config: Any, windows: BlockWindows | None, request: GenerateRequest
) -> StageRun:
    targets = None
    if request.style:
        targets = named_targets(request.style, _store(storage, cell), config.window_spec, option="--style")
    block = cell.block if request.seed is None else Block(request.seed, cell.block.index)
    return StageRun(config, block, windows, StoredFiles(storage, cell, GENERATE), torch.device("cpu"), targets)


def _starts(system: System, config: Any, windows: BlockWindows | None, request: GenerateRequest) -> np.ndarray:
    """Start windows, packed `(n, track, steps, 16)`: the last one of the given file, or all of the trial's own."""
    if windows is None:
        last = file_windows(request.start, config.window_spec, "--start")[-1:]
        return np.repeat(last, request.samples if "noise" in system.conditions else 1, axis=0)
    # All of them, so that the first ones' continuations are those that the trial left as samples.
    return np.repeat(windows.packed(windows.starts[:, 0]), config.variations, axis=0)


def _store(storage: Storage, cell: TrialSpec) -> WindowStore | None:
    """The windows that the trial was trained on, where the storage still has them."""
    name = f"data/{cell.variant.data}"
    return open_store(storage.local(name)) if storage.exists(f"{name}/songs.json") else None
