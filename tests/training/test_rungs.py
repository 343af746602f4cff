"""Rungs of a training: where they lie, what is kept there, and that they change no bit of what is trained."""

import json
import math
from collections.abc import Callable

import pytest
import torch

from musiclab.training import tensors
from musiclab.training.epoch import Epoch
from musiclab.training.files import CHECKPOINT, CURVES, PROGRESS, read_progress
from musiclab.training.fit import Diverged, Point, fit
from musiclab.training.streams import Block
from tests.support.made_trials import Interrupted, MemoryFiles
from tests.support.small_learner import EPOCHS, STEPS, Small, values

ALL_STEPS = EPOCHS * STEPS
Told = list[tuple[int, float]]


class Pruned(Exception):
    """What a caller of `fit` raises at a rung."""


def _prune(rung: int, value: float) -> None:
    raise Pruned


def _trained(learner: Small, files: MemoryFiles, *rungs: float, told: Told | None = None) -> list[Point]:
    """Trained to the end; `told` gets what `at_rung` is called with."""
    seen: Told = [] if told is None else told
    return fit(learner, EPOCHS, files, rungs=rungs, at_rung=lambda rung, value: seen.append((rung, value)))


def _small() -> Small:
    return Small(Block(0, 0))


def _steps_kept(files: MemoryFiles) -> int:
    """How many steps were done at the checkpoint."""
    epoch, _ = _small().restore(files.read(CHECKPOINT))
    return epoch.number * STEPS + epoch.done


def _same(learner: Small, points: list[Point], straight: tuple[Small, list[Point]]) -> None:
    assert values(points) == values(straight[1])
    for name, tensor in straight[0].weights().items():
        assert torch.equal(learner.weights()[name], tensor), name


@pytest.fixture(scope="module")
def straight() -> tuple[Small, list[Point]]:
    """A training without rungs."""
    learner = _small()
    return learner, fit(learner, EPOCHS, MemoryFiles())


@pytest.mark.parametrize(
    ("share", "step"),
    [(0.001, 1), (1 / 9, 3), (0.2, 4), (0.25, 5), (1 / 3, 7), (0.35, 7), (0.6, 12), (0.7, 14), (0.999, ALL_STEPS)],
)
def test_a_rung_lies_at_the_first_step_after_which_its_share_is_done(share: float, step: int) -> None:
    files = MemoryFiles()
    with pytest.raises(Pruned):
        fit(_small(), EPOCHS, files, rungs=(share,), at_rung=_prune)
    assert _steps_kept(files) == step


def test_rungs_change_no_bit_although_the_progress_draws_and_switches_modes(straight: tuple[Small, list]) -> None:
    learner, files, told = _small(), MemoryFiles(), list[tuple[int, float]]()
    points = _trained(learner, files, 0.01, 0.3, 0.6, 0.9, told=told)
    _same(learner, points, straight)
    assert values(json.loads(files.read(CURVES))) == values(points)
    assert [rung for rung, _ in told] == [0, 1, 2, 3]
    assert [value for _, value in told] == [value for _, value in sorted(read_progress(files).items())]
    assert told[3][1] < told[0][1]


@pytest.mark.parametrize("step", range(1, ALL_STEPS))
def test_a_training_stopped_after_any_step_goes_on_as_if_it_had_not(step: int, straight: tuple[Small, list]) -> None:
    files = MemoryFiles()
    with pytest.raises(Pruned):
        fit(_small(), EPOCHS, files, rungs=(step / ALL_STEPS,), at_rung=_prune)
    torch.manual_seed(step)  # whatever the new process has drawn before
    learner = _small()
    _same(learner, fit(learner, EPOCHS, MemoryFiles(files.trial)), straight)
    assert learner.trained[0] == (step - 1) // STEPS


def test_two_rungs_of_one_step_share_their_progress() -> None:
    learner, told = _small(), list[tuple[int, float]]()
    _trained(learner, MemoryFiles(), 0.26, 0.27, told=told)
    assert learner.asked == 1
    assert [rung for rung, _ in told] == [0, 1]
    assert told[0][1] == told[1][1]


def test_a_resumed_training_is_told_of_the_rungs_behind_it_before_it_trains_on() -> None:
    files, first = MemoryFiles(), list[tuple[int, float]]()

    def prune_at_second(rung: int, value: float) -> None:
        first.append((rung, value))
        if rung == 1:
            raise Pruned

    with pytest.raises(Pruned):
        fit(_small(), EPOCHS, files, rungs=(0.1, 0.3, 0.8), at_rung=prune_at_second)
    learner, again = _small(), list[tuple[int, float]]()

    def seen(rung: int, value: float) -> None:
        again.append((rung, value))
        assert (rung == 2) == bool(learner.trained)

    fit(learner, EPOCHS, files, rungs=(0.1, 0.3, 0.8), at_rung=seen)
    assert again[:2] == first
    assert [rung for rung, _ in again] == [0, 1, 2]
    assert learner.asked == 1


def test_a_pruned_training_is_pruned_again_without_a_step() -> None:
    files = MemoryFiles()
    with pytest.raises(Pruned):
        fit(_small(), EPOCHS, files, rungs=(0.3,), at_rung=_prune)
    learner, before = _small(), dict(files.trial)
    with pytest.raises(Pruned):
        fit(learner, EPOCHS, files, rungs=(0.3,), at_rung=_prune)
    assert (learner.trained, learner.asked, files.trial) == ([], 0, before)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_kill_between_checkpoint_and_progress_changes_no_value(share: float) -> None:
    class Killed(MemoryFiles):
        def write(self, name: str, data: bytes) -> None:
            if name == PROGRESS:
                raise Interrupted
            super().write(name, data)

    whole, told = MemoryFiles(), list[tuple[int, float]]()
    _trained(_small(), whole, share)
    killed = Killed()
    with pytest.raises(Interrupted):
        _trained(_small(), killed, share)
    assert (_steps_kept(killed), read_progress(killed)) == (round(share * ALL_STEPS), {})
    files = MemoryFiles(killed.trial)
    _trained(_small(), files, share, told=told)
    assert files.read(PROGRESS) == whole.read(PROGRESS)
    assert told == [(0, read_progress(whole)[share])]


def test_rungs_that_a_training_passed_without_them_are_left_out(straight: tuple[Small, list]) -> None:
    files, told, learner = MemoryFiles(checkpoints=2), list[tuple[int, float]](), _small()
    with pytest.raises(Interrupted):
        fit(_small(), EPOCHS, files)
    files = MemoryFiles(files.trial)
    points = _trained(learner, files, 0.1, 0.4, 0.5, told=told)
    assert [rung for rung, _ in told] == [2]
    assert read_progress(files).keys() == {0.5}
    _same(learner, points, straight)


def test_values_belong_to_shares_whatever_their_numbers() -> None:
    files, told = MemoryFiles(), list[tuple[int, float]]()
    with pytest.raises(Pruned):
        fit(_small(), EPOCHS, files, rungs=(0.5,), at_rung=_prune)
    value = read_progress(files)[0.5]
    _trained(_small(), files, 0.1, 0.5, 0.7, told=told)
    assert [rung for rung, _ in told] == [1, 2]
    assert told[0][1] == value
    assert read_progress(files) == {0.5: value, 0.7: told[1][1]}


def test_a_finished_training_is_told_of_its_rungs_once_more_and_only_of_these() -> None:
    files, told, learner = MemoryFiles(), list[tuple[int, float]](), _small()
    _trained(_small(), files, 0.3)
    _trained(learner, files, 0.2, 0.3, told=told)
    assert told == [(1, read_progress(files)[0.3])]
    assert (learner.trained, learner.asked) == ([], 0)


def test_networks_that_have_diverged_are_noticed_as_without_rungs() -> None:
    """At a rung within the epoch they get no checkpoint, from which nobody would come back."""

    class Spoilt(Small):
        def epoch(self, epoch: Epoch) -> dict[str, float]:
            if epoch.number == 2:
                self.spoil()
            return super().epoch(epoch)

    def train(*rungs: float) -> tuple[MemoryFiles, Told]:
        files, told = MemoryFiles(), list[tuple[int, float]]()
        with pytest.raises(Diverged, match="train/loss is not finite after epoch 3"):
            _trained(Spoilt(Block(0, 0)), files, *rungs, told=told)
        return files, told

    (plain, _), (files, told) = train(), train(0.1, 0.5)
    assert [rung for rung, _ in told] == [0]
    assert _steps_kept(files) == _steps_kept(plain) == 2 * STEPS
    assert values(json.loads(files.read(CURVES))) == values(json.loads(plain.read(CURVES)))


@pytest.mark.parametrize("shares", [(0.0,), (1.0,), (0.5, 0.3), (0.3, 0.3), (-0.1, 0.5), (0.5, 1.5), (math.nan,)])
def test_shares_must_rise_within_the_training(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="rungs must be rising shares between 0 and 1; got"):
        fit(_small(), EPOCHS, MemoryFiles(), rungs=shares)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-3],
        lambda data: b"[1]",
        lambda data: b'[{"share": 0.3}]',
        lambda data: b"3",
    ],
)
def test_damaged_progress_counts_as_none(damage: Callable[[bytes], bytes]) -> None:
    files = MemoryFiles()
    assert read_progress(files) == {}
    _trained(_small(), files, 0.3)
    files.write(PROGRESS, damage(files.read(PROGRESS)))
    assert read_progress(files) == {}


def test_a_progress_beyond_numbers_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    files = MemoryFiles()
    monkeypatch.setattr(Small, "progress", lambda self: math.nan)
    _trained(_small(), files, 0.3)
    assert math.isnan(read_progress(files)[0.3])
    monkeypatch.setattr(Small, "progress", lambda self: -math.inf)
    _trained(_small(), files := MemoryFiles(), 0.3)
    assert read_progress(files) == {0.3: -math.inf}


def test_earlier_versions_do_not_take_up_an_epoch_that_has_begun() -> None:
    """They know the number of whole epochs only, and would begin the next one with weights from its middle."""
    files = MemoryFiles()
    with pytest.raises(Pruned):
        fit(_small(), EPOCHS, files, rungs=(0.3,), at_rung=_prune)
    _, meta = tensors.from_bytes(files.read(CHECKPOINT))
    assert "epochs" not in meta
    fit(_small(), 2, files := MemoryFiles())
    _, meta = tensors.from_bytes(files.read(CHECKPOINT))
    assert meta.keys() == {"epochs", "points"} and meta["epochs"] == 2
