"""What every system of the registry promises; a new system joins by a line in TINY."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from musiclab.data.songs import TRACKS
from musiclab.data.store import WindowStore
from musiclab.data.windows import unpack
from musiclab.errors import UserError
from musiclab.measures.registry import MEASURES
from musiclab.study.options import FORMS, SCALES
from musiclab.systems import SYSTEMS, find_system
from musiclab.systems.base import CONDITIONS, GENERATE, MEASURE, System, read_generated
from musiclab.training.files import CHECKPOINT, CURVES
from musiclab.training.runtime import Runtime
from musiclab.training.streams import Block
from tests.support.made_trials import Interrupted, MemoryFiles, made_store, products, run_stages, stage_run, windows_of
from tests.support.tiny_systems import COMMON, TINY

PIANO, STRINGS = TRACKS.index("Piano"), TRACKS.index("Strings")
BLOCK, RUNTIME = Block(0, 0), Runtime("2.13", "cpu")


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> System:
    assert request.param in TINY, f"give {request.param} a config of seconds in TINY"
    return find_system(request.param)


@pytest.fixture(scope="module")
def config(system: System) -> Any:
    return system.config().with_values(COMMON | TINY[system.name])


@pytest.fixture(scope="module")
def trained(system: System, config: Any, store: WindowStore) -> MemoryFiles:
    """All products of a trial, from which tests take what they do not change."""
    return run_stages(system, stage_run(store, BLOCK, config, MemoryFiles()))


def _training(system: System) -> tuple[str, ...]:
    return tuple(system.stages)[:-2]


def _generated(system: System, store: WindowStore, config: Any, trained: MemoryFiles, **change: Any) -> np.ndarray:
    """The continuations `(starts, continuation, track, steps, 128)` bool of already trained networks."""
    windows = dataclasses.replace(windows_of(store, BLOCK, config), **change)
    files = run_stages(system, stage_run(store, BLOCK, config, MemoryFiles(dict(trained.trial)), windows), (GENERATE,))
    return unpack(read_generated(files.product(GENERATE)))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("form", FORMS)
def test_any_scale_goes_with_any_form(system: System, scale: str, form: str) -> None:
    sizes, what = system.scales[scale], system.forms[form]
    made = system.config().with_values(sizes | what)
    assert made == system.config(**made.to_json())
    assert form == "mended" or not sizes.keys() & what.keys()
    assert system.scales.keys() == set(SCALES) and system.forms.keys() == set(FORMS)


def test_fields_belong_to_stages_and_the_last_stage_measures(system: System, config: Any) -> None:
    assert tuple(system.stages)[-2:] == (GENERATE, MEASURE)
    assert len(set(system.stages)) == len(system.stages) >= 3
    of_stages = [config.of_stages((stage,)) for stage in ("windows", *system.stages)]
    assert sum(map(len, of_stages)) == len(config.to_json())


def test_continuations_are_packed_windows(system: System, config: Any, trained: MemoryFiles) -> None:
    generated = read_generated(trained.product(GENERATE))
    assert generated.shape == (6, 3, 5, 32, 16)
    assert generated.dtype == np.uint8
    assert generated.any()


def test_an_instrument_that_never_plays_stays_silent(system: System, trained: MemoryFiles, store: WindowStore) -> None:
    assert not store.windows[:, STRINGS].any()
    assert not read_generated(trained.product(GENERATE))[:, :, STRINGS].any()


def test_the_same_block_gives_the_same_numbers_and_another_one_others(
    system: System, config: Any, trained: MemoryFiles, store: WindowStore
) -> None:
    again = run_stages(system, stage_run(store, BLOCK, config, MemoryFiles()))
    assert products(again) == products(trained)
    other = run_stages(system, stage_run(store, Block(0, 1), config, MemoryFiles()))
    for key, data in trained.trial.items():
        assert other.trial[key] != data, key


def test_a_resume_equals_going_straight_through(
    system: System, config: Any, trained: MemoryFiles, store: WindowStore
) -> None:
    run = functools.partial(stage_run, store, BLOCK, config, windows=windows_of(store, BLOCK, config))
    kept: dict = {}
    for stage in _training(system):
        earlier = dict(kept)
        for done in range(100):
            files = MemoryFiles(dict(earlier), stage, checkpoints=done)
            try:
                system.run_stage(stage, run(files))
                break
            except Interrupted:
                assert ((stage, CHECKPOINT) in files.trial) == (done > 0)
            files = MemoryFiles(files.trial, stage)
            system.run_stage(stage, run(files))
            assert any(key[0] == stage for key in products(files))
            assert products(files).items() <= products(trained).items(), (stage, done)
        assert done > 1, "a stage that trains leaves a checkpoint after each epoch"
        kept |= files.trial


def test_silence_can_be_continued(system: System, config: Any, trained: MemoryFiles, store: WindowStore) -> None:
    windows = np.array(store.windows)
    silent = made_store(windows, [song.count for song in store.songs])
    starts = windows_of(store, BLOCK, config).starts
    windows[starts] = 0
    generated = _generated(system, silent, config, trained, starts=starts)
    assert generated.shape == (6, 3, 5, 32, 128)


def test_the_output_depends_on_the_start_window(
    system: System, config: Any, trained: MemoryFiles, store: WindowStore
) -> None:
    starts = windows_of(store, BLOCK, config).starts
    one, other = (_generated(system, store, config, trained, starts=s) for s in (starts, np.roll(starts, 1, axis=0)))
    # The same places, and so the same noise, after other windows.
    changed = (one != other).any(axis=(1, 2, 3, 4)).sum()
    assert changed >= len(starts) // 2 if "start" in system.conditions else not changed


def test_the_other_instruments_depend_on_the_piano(
    system: System, config: Any, trained: MemoryFiles, store: WindowStore
) -> None:
    if "piano" not in system.conditions:
        pytest.skip(f"{system.name} says that no instrument of it follows the piano")
    windows = np.array(store.windows)
    starts = windows_of(store, BLOCK, config).starts
    windows[starts[:, 0], PIANO] = np.roll(windows[starts[:, 0], PIANO], 5, axis=0)
    other_piano = made_store(windows, [song.count for song in store.songs])
    one, other = (_generated(system, of, config, trained, starts=starts) for of in (store, other_piano))
    others = [track for track in range(len(TRACKS)) if track != PIANO]
    assert (one[:, :, others] != other[:, :, others]).any()


def test_the_output_depends_on_the_noise(system: System, config: Any, trained: MemoryFiles, store: WindowStore) -> None:
    generated = _generated(system, store, config.with_values({"variations": 2}), trained)
    one, other = generated[::2], generated[1::2]
    assert (one != other).any() == ("noise" in system.conditions)


def test_the_output_depends_on_the_target(
    system: System, config: Any, trained: MemoryFiles, store: WindowStore
) -> None:
    if "target" not in system.conditions:
        pytest.skip(f"{system.name} says that it follows no target song")
    targets = ("none", *(f'song:"{song.id}"' for song in store.songs[:2]))
    none, one, other = (_generated(system, store, config.with_values({"target": t}), trained) for t in targets)
    for first, second in ((none, one), (none, other), (one, other)):
        assert (first != second).any(axis=(1, 2, 3, 4)).sum() >= len(first) // 2


def test_the_output_depends_on_alpha_and_without_it_on_no_target(
    system: System, config: Any, trained: MemoryFiles, store: WindowStore
) -> None:
    if "alpha" not in system.conditions:
        pytest.skip(f"{system.name} says that it follows no target song")
    changes = [
        {"target": "none"},
        *({"target": f'song:"{store.songs[0].id}"', "alpha": alpha} for alpha in (0, 0.3, 1)),
    ]
    none, zero, little, full = (_generated(system, store, config.with_values(change), trained) for change in changes)
    np.testing.assert_array_equal(zero, none)
    for first, second in ((zero, little), (little, full)):
        assert (first != second).any(axis=(1, 2, 3, 4)).sum() >= len(first) // 2


def test_conditions_are_known_words(system: System) -> None:
    assert set(system.conditions) <= set(CONDITIONS)


def test_measures_are_numbers_or_nan_under_known_names(
    system: System, config: Any, trained: MemoryFiles, store: WindowStore
) -> None:
    measures = system.own_measures(stage_run(store, BLOCK, config, trained.product(MEASURE)))
    known = {measure.full_name for measure in MEASURES}
    for name, value in measures.items():
        assert type(value) is float
        assert not math.isinf(value), name
        assert name.split(".")[0] in known
    again = system.own_measures(stage_run(store, BLOCK, config, trained.product(MEASURE)))
    np.testing.assert_equal(again, measures)


def test_no_network_has_more_than_a_batch_of_starts_at_once(
    system: System, config: Any, trained: MemoryFiles, store: WindowStore
) -> None:
    few = np.concatenate([store.windows, np.roll(store.windows, 4, axis=2), np.roll(store.windows, 8, axis=2)])[:256]
    # The same notes in other octaves: all starts differ, and as many tokens tell each half.
    many = np.concatenate([few, np.roll(few, 3, axis=3)])
    assert len(np.unique(many, axis=0)) == 512
    run = stage_run(store, BLOCK, config.with_values({"continuation": 1}), trained.product(GENERATE))
    # Seen by what goes into networks: of a tiny one no memory shows whether it held all starts at once.
    largest = []
    with _largest_inputs(largest):
        system.continuations(run, few)
    with _largest_inputs(largest):
        made = system.continuations(run, many)
    assert made.shape == (512, 1, 5, 32, 16)
    assert made[256:].any()
    assert 0 < largest[1] < 1.5 * largest[0]


def test_training_stops_after_an_epoch_if_asked_and_leaves_its_checkpoint(
    system: System, config: Any, trained: MemoryFiles, store: WindowStore
) -> None:
    def stop() -> None:
        raise Interrupted

    for number, stage in enumerate(_training(system)):
        before = {key: data for key, data in trained.trial.items() if key[0] in list(system.stages)[:number]}
        files = MemoryFiles(before).product(stage)
        with pytest.raises(Interrupted):
            run = dataclasses.replace(stage_run(store, BLOCK, config, files), after_epoch=stop)
            system.run_stage(stage, run)
        assert {name for place, name in files.trial if place == stage} == {CHECKPOINT, CURVES}


def test_a_wrong_value_is_named_with_what_would_be_right(system: System) -> None:
    for spec in dataclasses.fields(system.config):
        for wrong in ("nonsense ", float("nan"), None, [1]):
            with pytest.raises(UserError, match=rf"{spec.name} must be .*; got "):
                system.config().with_values({spec.name: wrong})
    with pytest.raises(UserError, match="There is no field 'no_such_field'"):
        system.config().with_values({"no_such_field": 1})


def test_windows_that_overlap_or_leave_gaps_are_refused(system: System) -> None:
    for hop in (16, 64):
        with pytest.raises(
            UserError, match=rf"hop must equal steps \(32\), so that windows lie end to end; got {hop}."
        ):
            system.config(hop=hop)


def test_time_is_estimated_before_anything_is_trained(system: System, config: Any) -> None:
    assert 0 < system.estimated_seconds(config, 64) < 60


def test_each_field_changes_the_keys_of_its_stage_and_of_no_earlier_one(system: System, config: Any) -> None:
    base = system.stage_keys(config, BLOCK, "d", RUNTIME)
    assert list(base) == list(system.stages)
    for spec in dataclasses.fields(config):
        stage = spec.metadata["stage"]
        first = 0 if stage == "windows" else list(system.stages).index(stage)
        keys = system.stage_keys(_changed(config, spec), BLOCK, "d", RUNTIME)
        assert [keys[name] != base[name] for name in system.stages] == [
            number >= first for number in range(len(system.stages))
        ], spec.name
    others = [
        system.stage_keys(config, Block(0, 1), "d", RUNTIME),
        system.stage_keys(config, BLOCK, "e", RUNTIME),
        system.stage_keys(config, BLOCK, "d", Runtime("2.14", "cpu")),
        system.stage_keys(config, BLOCK, "d", Runtime("2.13", "cuda")),
    ]
    for keys in others:
        assert set(keys.values()).isdisjoint(base.values())


@contextlib.contextmanager
def _largest_inputs(kept: list[int]) -> Iterator[None]:
    """Adds to `kept` how many numbers the largest input of any module has meanwhile."""
    sizes: list[int] = []

    def seen(_: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        sizes.extend(x.numel() for x in inputs if isinstance(x, torch.Tensor))

    handle = torch.nn.modules.module.register_module_forward_pre_hook(seen)
    try:
        yield
    finally:
        handle.remove()
    kept.append(max(sizes))


def _changed(config: Any, spec: dataclasses.Field) -> Any:
    """The config with another value of one field, which only its keys are asked for."""
    value = getattr(config, spec.name)
    other = next((choice for choice in spec.metadata["choices"] if choice != value), None)
    changed = dataclasses.replace(config)
    object.__setattr__(
        changed, spec.name, other if other is not None else not value if value is True else value + type(value)(1)
    )
    return changed
