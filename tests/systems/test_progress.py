"""The progress of every system at its rungs: what it depends on, and that a training may be left there."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from musiclab.data.store import WindowStore
from musiclab.systems import SYSTEMS, find_system
from musiclab.systems.base import GENERATE, MEASURE, System
from musiclab.training import tensors
from musiclab.training.files import CHECKPOINT, PROGRESS, read_progress
from musiclab.training.streams import Block
from tests.support.made_trials import Interrupted, MemoryFiles, curves, products, run_stages, stage_run, windows_of
from tests.support.tiny_systems import COMMON, TINY

BLOCK = Block(0, 0)
# With all that is drawn or changed from step to step.
MORE: dict[str, dict[str, Any]] = {
    "vae_nn": {"vae_schedule": "cosine"},
    "note_rnn": {"schedule": "cosine"},
    "multitrack_rnn": {"schedule": "cosine", "loss": "cross_entropy", "counts": "drawn"},
    "melody_harmony_cnn": {"schedule": "cosine", "dropout": 0.2},
    "gan": {"schedule": "cosine", "instance_noise": 0.1, "ema": 0.5},
    "transformer_xl": {"dropout": 0.1},
}
RUNGS = (0.03, 1 / 9, 1 / 3, 0.5, 0.97)
# Other values of fields of the stage `generate`.
GENERATED = {
    "starts": 3, "continuation": 1, "variations": 2, "temperature": 0.3, "threshold_rule": "density", "threshold": 0.7,
    "peaks": 2, "contrast": 0.1, "noise_sd": 2.0, "top_k": 3, "feedback": "velocity",
}  # fmt: skip


class Pruned(Exception):
    """What ends a training at a rung."""


def _prune(rung: int, value: float) -> None:
    raise Pruned


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> System:
    return find_system(request.param)


@pytest.fixture(scope="module")
def config(system: System) -> Any:
    return system.config().with_values(COMMON | TINY[system.name] | MORE[system.name])


@pytest.fixture(scope="module")
def straight(system: System, config: Any, store: WindowStore) -> MemoryFiles:
    """All stages that train, without rungs."""
    return run_stages(system, stage_run(store, BLOCK, config, MemoryFiles()), tuple(system.stages)[:-2])


@pytest.fixture(scope="module")
def watched(system: System, config: Any, store: WindowStore) -> tuple[MemoryFiles, list[tuple[int, float]]]:
    """The same with rungs, and what was told at them."""
    told = list[tuple[int, float]]()
    run = stage_run(store, BLOCK, config, MemoryFiles())
    run = dataclasses.replace(run, rungs=RUNGS, at_rung=lambda rung, value: told.append((rung, value)))
    return run_stages(system, run, tuple(system.stages)[:-2]), told


def _before(system: System, files: MemoryFiles) -> MemoryFiles:
    """The files of the stage of the progress, of which nothing is done."""
    stages = list(system.stages)
    earlier = stages[: stages.index(system.progress.stage)]
    kept = {key: data for key, data in files.trial.items() if key[0] in earlier}
    return MemoryFiles(kept, system.progress.stage)


def _pruned(system: System, run: Any, share: float) -> MemoryFiles:
    """The files of a training that was left at a rung."""
    with pytest.raises(Pruned):
        system.run_stage(system.progress.stage, dataclasses.replace(run, rungs=(share,), at_rung=_prune))
    files: MemoryFiles = run.files
    return files


def test_the_stage_of_the_progress_is_one_that_trains(system: System) -> None:
    assert system.progress.stage in list(system.stages)[:-2]
    assert system.progress.better in ("lower", "higher")
    assert not {GENERATE, MEASURE} & {system.progress.stage}


def test_rungs_change_no_bit(
    system: System, straight: MemoryFiles, watched: tuple[MemoryFiles, list[tuple[int, float]]]
) -> None:
    assert products(watched[0]) == products(straight)
    assert curves(watched[0]) == curves(straight)


def test_the_progress_is_a_number_that_gets_better_and_is_kept_with_its_stage_alone(
    system: System, watched: tuple[MemoryFiles, list[tuple[int, float]]]
) -> None:
    files, told = watched
    assert [rung for rung, _ in told] == [0, 1, 2, 3, 4]
    values = [value for _, value in told]
    assert all(type(value) is float and math.isfinite(value) for value in values)
    assert values[-1] < values[0] if system.progress.better == "lower" else values[-1] > values[0]
    assert read_progress(files.product(system.progress.stage)) == dict(zip(RUNGS, values, strict=True))
    assert [stage for stage, name in files.trial if name == PROGRESS] == [system.progress.stage]


@pytest.mark.parametrize("share", RUNGS)
def test_a_training_left_at_a_rung_is_resumed_to_the_bit(
    system: System, config: Any, store: WindowStore, straight: MemoryFiles, share: float
) -> None:
    run = stage_run(store, BLOCK, config, _before(system, straight))
    files = _pruned(system, run, share)
    assert {name for stage, name in files.trial if stage == system.progress.stage} >= {CHECKPOINT, PROGRESS}
    epoch = tensors.from_bytes(files.read(CHECKPOINT))[1]["epoch"]
    assert 0 < epoch["done"] < epoch["count"] or share != RUNGS[0], "a rung within an epoch"
    files = MemoryFiles(files.trial, files.stage)
    system.run_stage(system.progress.stage, dataclasses.replace(run, files=files))
    stage = system.progress.stage
    assert {key: data for key, data in products(straight).items() if key[0] == stage}.items() <= products(files).items()
    assert curves(files)[stage] == curves(straight)[stage]


def test_a_kill_between_checkpoint_and_progress_changes_no_value(
    system: System, config: Any, store: WindowStore, watched: tuple[MemoryFiles, list[tuple[int, float]]]
) -> None:
    class Killed(MemoryFiles):
        def write(self, name: str, data: bytes) -> None:
            if name == PROGRESS:
                raise Interrupted
            super().write(name, data)

    files, told = Killed(_before(system, watched[0]).trial, system.progress.stage), []
    run = dataclasses.replace(
        stage_run(store, BLOCK, config, files), rungs=RUNGS[2:3], at_rung=lambda rung, value: told.append(value)
    )
    with pytest.raises(Interrupted):
        system.run_stage(system.progress.stage, run)
    assert not told and (system.progress.stage, PROGRESS) not in files.trial
    files = MemoryFiles(files.trial, files.stage)
    system.run_stage(system.progress.stage, dataclasses.replace(run, files=files))
    assert told == [watched[1][2][1]]


def test_the_progress_knows_no_test_song_and_no_field_of_a_later_stage(
    system: System, config: Any, store: WindowStore, watched: tuple[MemoryFiles, list[tuple[int, float]]]
) -> None:
    windows = windows_of(store, BLOCK, config)
    nonsense = np.full(windows.reference.shape, 10**9)
    windows = dataclasses.replace(
        windows,
        reference=nonsense,
        reference_pairs=np.stack([nonsense, nonsense], axis=1),
        starts=windows.starts[:2],
        songs=windows.songs | {"reference": np.full(windows.songs["reference"].shape, 10**9)},
    )
    own = {field.name for field in dataclasses.fields(config) if field.metadata["stage"] == GENERATE}
    other = config.with_values({name: value for name, value in GENERATED.items() if name in own})
    run = stage_run(store, BLOCK, other, _before(system, watched[0]), windows)
    files = _pruned(system, run, RUNGS[2])
    assert read_progress(files) == {RUNGS[2]: watched[1][2][1]}
