"""What every system of the registry promises: what `check_system` asks of all, and more; a new one joins in TINY."""

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from musiclab.data.songs import TRACKS
from musiclab.data.store import WindowStore
from musiclab.errors import UserError
from musiclab.measures.registry import MEASURES
from musiclab.systems import SYSTEMS, find_system
from musiclab.systems.base import GENERATE, MEASURE, System, read_generated
from musiclab.systems.config import FORMS, SCALES
from musiclab.testing import check_system
from musiclab.training.files import CHECKPOINT, CURVES
from musiclab.training.streams import Block
from tests.support.made_trials import Interrupted, MemoryFiles, run_stages, stage_run
from tests.support.tiny_systems import COMMON, TINY

STRINGS = TRACKS.index("Strings")
BLOCK = Block(0, 0)


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


def test_it_keeps_what_every_system_promises(system: System) -> None:
    check_system(system.name, **COMMON | TINY[system.name])


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


def test_a_stage_that_trains_leaves_a_checkpoint(system: System, trained: MemoryFiles) -> None:
    assert all((stage, CHECKPOINT) in trained.trial for stage in _training(system))


def test_an_instrument_that_never_plays_stays_silent(system: System, trained: MemoryFiles, store: WindowStore) -> None:
    assert not store.windows[:, STRINGS].any()
    assert not read_generated(trained.product(GENERATE))[:, :, STRINGS].any()


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
