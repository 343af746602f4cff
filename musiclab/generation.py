"""Generation: new music from the networks of a finished trial, from its own start windows or from a MIDI file."""

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
from musiclab.rendering.sample import render_samples
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.storage.stages import StoredFiles
from musiclab.storage.windows import trial_windows
from musiclab.systems.base import StageRun, System
from musiclab.systems.config import GENERATE, MEASURE
from musiclab.systems.own import given_system
from musiclab.systems.targets import NONE, named_targets
from musiclab.training.streams import Block
from musiclab.training.windows import BlockWindows
from musiclab.user_code import described, is_ours
from musiclab.user_errors import how_failed

_ALPHA = 0.5  # how much of a target is mixed in by default: the article's value
_TEMPO = 120.0  # beats a minute


@dataclass(frozen=True)
class Trained:
    """A finished trial to generate from, and which one it is, in words."""

    trial: TrialSpec
    origin: str


@dataclass(frozen=True, kw_only=True)
class GenerateRequest:
    """What to generate, and from which trial.

    Attributes:
        storage: folder or URI of the studies' records.
        system: name of the system; a user's own may also be `path/file.py:Name`.
        study: the study whose best variant is taken; by default the newest one that has the system.
        trial: key of a trial to take instead.
        start: MIDI file whose last window is continued; by default the trial's own start windows.
        style: targets to follow.
        samples: how many continuations to make.
        windows: windows after each start; by default as many as in the trial.
        fields: changed fields of the stage `generate`, as text by name.
        seed: the seed of the random draws; by default the trial's own, so that its samples come out again.
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


@dataclass(frozen=True)
class Generated:
    """What was generated.

    Attributes:
        origin: which trained trial it comes from, in words.
        lost_target: the trial's own target, if it was not followed; else empty.
        shortfall: why there are fewer samples than asked for; empty if there are as many.
        files: by sample, in order, the files that were written, by kind: `mid`, `png` and `mp3`.
    """

    origin: str
    lost_target: str
    shortfall: str
    files: list[dict[str, Path]]


def generate(request: GenerateRequest) -> Generated:
    """Find a trained trial, continue start windows, and write files.

    Raises:
        UserError: if there is no such trial, if what is asked of it cannot be done, or if files cannot be written.
    """
    storage = Storage(request.storage, probe="look")
    system = given_system(request.system)
    if set(system.stages) <= {GENERATE, MEASURE}:
        raise UserError(f"{system.name} trains nothing that is kept, so there is nothing to generate from.")
    trained = _trial(storage, request.trial, system) if request.trial else _best(storage, request.study, system)
    of_trial = _checked(storage, system, trained.trial)
    config = _config(system, of_trial, request)
    same_target = request.style or _target(config) == _target(of_trial)
    windows = None if request.start else _windows(storage, trained.trial, system, config)
    run = _run(storage, trained.trial, config, windows, request)
    starts, transposed = _starts(system, config, windows, request)
    with _naming_out(request.out):
        request.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # as in a trial, so that its continuations come out again
    continued = _continued(system, run, starts, trained.trial)
    if not request.start:  # one of each start's variations
        starts, transposed, continued = (
            rows[:: config.variations][: request.samples] for rows in (starts, transposed, continued)
        )
    rolls, start_steps = system.audible(config, starts, continued, transposed)
    names = [f"{system.name}-{number}" for number in range(1, len(rolls) + 1)]
    files = []
    for name, sample in zip(names, render_samples(rolls, names, config.resolution, _TEMPO, start_steps), strict=True):
        files.append({kind: request.out / f"{name}.{kind}" for kind in sample})
        with _naming_out(request.out):
            for kind, data in sample.items():
                files[-1][kind].write_bytes(data)
    return Generated(
        origin=f"{system.name} from {trained.origin}",
        lost_target="" if same_target else _target(of_trial),
        shortfall=_why_fewer(system, trained.trial, request) if len(rolls) < request.samples else "",
        files=files,
    )


def _why_fewer(system: System[Any], trial: TrialSpec, request: GenerateRequest) -> str:
    """Why there are fewer samples than asked for."""
    if request.start:
        return f"{system.name} draws nothing, so all continuations of one start are the same"
    return f"the validation songs of block {trial.block.index} have no more start windows"


@contextlib.contextmanager
def _naming_out(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"--out {out} cannot be written to: {error.strerror or error}; name a folder that can."
        ) from error


def _best(storage: Storage, study: str | None, system: System[Any]) -> Trained:
    """A trial of the system's best variant in the study that is named, or in the newest study that has one."""
    records = Records(storage)
    studies = [study] if study else storage.names("studies")
    plans = [plan for name in studies for plan in records.plans.of_study(name).values()]
    for plan in sorted(plans, key=lambda plan: plan.began, reverse=True):
        trials = [trial for trial in plan.trial_specs if trial.variant.system == system.name]
        finished = {trial.key: record for trial in trials if (record := records.get(trial.key))}
        if finished:
            leader = best_so_far(trials, finished, plan.criteria.objective)
            name = leader or next(trial.variant.name for trial in trials if trial.key in finished)
            best = next(trial for trial in trials if trial.variant.name == name and trial.key in finished)
            origin = f"the best variant of {plan.study}, {name}, block {best.block.index} (trial {best.key})"
            return Trained(best, origin)
    searched = f"the study {study}" if study else "any study"
    raise UserError(
        f"{storage.root} has no finished trial of {system.name} in {searched}; run a study of it with this --storage "
        "first."
    )


def _trial(storage: Storage, key: str, system: System[Any]) -> Trained:
    record = Records(storage).get(key)
    if record is None:
        raise UserError(f"--trial {key}: {storage.root} has no finished trial of that key.")
    if record.system != system.name:
        raise UserError(f"--trial {key} is of {record.system}, not of {system.name}.")
    return Trained(record.trial_spec, f"trial {key}")


def _checked(storage: Storage, system: System[Any], trial: TrialSpec) -> Any:
    """The trial's config; UserError if its networks are missing, or are not what this code would train."""
    try:
        config = system.config(**trial.variant.config)
    except (TypeError, UserError):  # a field or a value that no longer exists
        raise _other_code(trial) from None
    # Version 0.1.0 did not write down which code it was; loading shows whether its networks fit, see `_continued`.
    keys = system.stage_keys(config, trial.block, trial.variant.data, trial.runtime) if trial.runtime else trial.stages
    for stage in system.stages:
        if stage in (GENERATE, MEASURE):
            continue
        if trial.stages.get(stage) is None or trial.stages[stage] != keys[stage]:
            raise _other_code(trial)
        if not Records(storage).stages.done(keys[stage]):
            folder = storage.path(f"stages/{keys[stage]}")
            raise UserError(f"The networks of trial {trial.key} are gone: {folder} is missing.")
    return config


def _continued(system: System[Any], run: StageRun[Any], starts: np.ndarray, trial: TrialSpec) -> np.ndarray:
    """The continuations of the starts; UserError if an earlier version kept other files or networks than are needed."""
    try:
        return system.continued(run, starts)
    except (UserError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise UserError(f"{described(type(system))} {how_failed(error)}.", exit_code=1) from error
    except BaseException as error:
        if not trial.runtime and isinstance(error, FileNotFoundError | KeyError | RuntimeError | TypeError):
            raise _other_code(trial) from None
        if is_ours(type(system)):
            raise
        raise UserError(f"{described(type(system))}: continuations {how_failed(error)}.", exit_code=1) from error


def _other_code(trial: TrialSpec) -> UserError:
    return UserError(f"trial {trial.key} was trained by other code than this; run its study again.")


def _config(system: System[Any], config: Any, request: GenerateRequest) -> Any:
    """The trial's config with the fields changed that are asked for.

    The trial's own target stays unless `--style` gives another one, or `--start` a start that it was not drawn for.

    Raises:
        UserError: if a change would need new training, or if the system cannot do what is asked for.
    """
    changes = request.fields
    if "target" in changes:
        raise UserError("--set target is for studies; use --style instead.")
    for name in changes:
        if system.config.spec(name).metadata["stage"] != GENERATE:
            changeable = ", ".join(system.config().of_stages((GENERATE,)))
            raise UserError(f"--set {name} would need new training; --set can change {changeable}.")
    if request.style and "target" not in system.conditions:
        raise UserError(f"--style is not for {system.name}, which follows no target; vae_nn does.")
    if request.start and "start" not in system.conditions:
        raise UserError(f"--start is not for {system.name}, which continues nothing; leave it out.")
    config = config.with_values(changes)
    if request.windows:
        config = config.with_values({"continuation": request.windows})
    if not request.start:
        config = config.with_values({"starts": max(config.starts, request.samples)})
    if "target" in system.conditions and (request.style or request.start):
        config = config.with_values({"target": NONE})
    if request.style:
        return config if "alpha" in changes else config.with_values({"alpha": config.alpha or _ALPHA})
    for name in ("alpha", "alpha_mix"):
        if name in changes and _target(config) == NONE:
            raise UserError(f"--set {name} says how a target is followed, but there is none; give --style.")
    return config


def _target(config: Any) -> str:
    return getattr(config, "target", NONE)


def _windows(storage: Storage, trial: TrialSpec, system: System[Any], config: Any) -> BlockWindows:
    """The windows that the trial started from, and in which it looks up its own targets."""
    if _store(storage, trial) is None:
        hint = "give --start FILE.mid" if "start" in system.conditions else "run its study again"
        raise UserError(f"The windows that trial {trial.key} started from are not in {storage.root}; {hint}.")
    return trial_windows(storage, trial, config)


def _run(
    storage: Storage, trial: TrialSpec, config: Any, windows: BlockWindows | None, request: GenerateRequest
) -> StageRun[Any]:
    targets = None
    if request.style:
        targets = named_targets(request.style, _store(storage, trial), config.window_spec, option="--style")
    block = trial.block if request.seed is None else Block(request.seed, trial.block.index)
    return StageRun(config, block, windows, StoredFiles(storage, trial, GENERATE), torch.device("cpu"), targets)


def _starts(
    system: System[Any], config: Any, windows: BlockWindows | None, request: GenerateRequest
) -> tuple[np.ndarray, np.ndarray]:
    """Start windows: the last one of the given file, or all of the trial's.

    Returns:
        The windows, packed `(n, track, steps, 16)` uint8, and by how many semitones the song of each was moved, `(n,)`.
    """
    if request.start:
        song = file_windows(request.start, config.window_spec, "--start")
        count = request.samples if "noise" in system.conditions else 1
        return np.repeat(song.windows[-1:], count, axis=0), np.repeat(song.transposed, count)
    assert windows is not None  # they were opened, because no file is given
    # All of them, so that the continuations of the first ones are the trial's own samples.
    starts = np.repeat(windows.starts[:, 0], config.variations)
    return windows.packed(starts), windows.store.transposed(starts)


def _store(storage: Storage, trial: TrialSpec) -> WindowStore | None:
    """The windows that the trial was trained on, or None if the storage no longer has them."""
    name = f"data/{trial.variant.data}"
    return open_store(storage.local(name)) if storage.exists(f"{name}/songs.json") else None
