"""The fit loop: a resume equals going straight through, to the bit."""

import json
import math

import numpy as np
import pytest
import torch

from musiclab.training.batches import float_rolls, shuffled
from musiclab.training.epoch import Epoch
from musiclab.training.files import CHECKPOINT, CURVES
from musiclab.training.fit import Diverged, FunctionLearner, fit
from musiclab.training.streams import Block
from tests.support.made_trials import Interrupted, MemoryFiles
from tests.support.small_learner import EPOCHS, Small, values


@pytest.fixture(scope="module")
def straight() -> tuple[Small, list]:
    learner = Small(Block(0, 0))
    return learner, fit(learner, EPOCHS, MemoryFiles())


@pytest.mark.parametrize("done", range(EPOCHS))
def test_a_resume_after_any_epoch_equals_going_straight_through(done: int, straight: tuple[Small, list]) -> None:
    files = MemoryFiles(checkpoints=done)
    with pytest.raises(Interrupted):
        fit(Small(Block(0, 0)), EPOCHS, files)
    torch.manual_seed(done)  # whatever the new process has drawn before
    learner = Small(Block(0, 0))
    points = fit(learner, EPOCHS, MemoryFiles(files.trial))
    assert learner.trained == list(range(done, EPOCHS))
    assert values(points) == values(straight[1])
    assert learner.weights().keys() == straight[0].weights().keys()
    for name, tensor in straight[0].weights().items():
        assert torch.equal(learner.weights()[name], tensor), name


def test_a_finished_fit_trains_no_more(straight: tuple[Small, list]) -> None:
    files = MemoryFiles()
    fit(Small(Block(0, 0)), EPOCHS, files)
    learner = Small(Block(0, 0))
    assert values(fit(learner, EPOCHS, files)) == values(straight[1])
    assert learner.trained == []


def test_curves_are_there_after_each_epoch() -> None:
    files = MemoryFiles(checkpoints=2)
    with pytest.raises(Interrupted):
        fit(Small(Block(0, 0)), EPOCHS, files)
    points = json.loads(files.read(CURVES))
    assert [(p["name"], p["step"]) for p in points] == [
        (name, step) for step in (1, 2) for name in ("train/loss", "val/loss")
    ]
    assert points[0]["time"] <= points[-1]["time"]


class Stop(Exception):
    """What a caller of `fit` raises after an epoch to stop it."""


def _stop() -> None:
    raise Stop


def test_whoever_stops_after_an_epoch_finds_its_checkpoint_and_its_curves(straight: tuple[Small, list]) -> None:
    files, learner, epochs_kept = MemoryFiles(), Small(Block(0, 0)), []

    def stop_after_two() -> None:
        (*_, last) = json.loads(files.read(CURVES))
        checkpoint = Small(Block(0, 0)).restore(files.read(CHECKPOINT))
        assert checkpoint[0].number == last["step"]
        epochs_kept.append(last["step"])
        if len(epochs_kept) == 2:
            raise Stop

    with pytest.raises(Stop):
        fit(learner, EPOCHS, files, after_epoch=stop_after_two)
    assert (learner.trained, epochs_kept) == ([0, 1], [1, 2])
    resumed = Small(Block(0, 0))
    assert values(fit(resumed, EPOCHS, files)) == values(straight[1])
    assert resumed.trained == [2, 3, 4]


@pytest.mark.parametrize("done", [2, EPOCHS])
def test_a_resume_is_stopped_before_it_trains_another_epoch_even_if_none_is_left(done: int) -> None:
    files, learner = MemoryFiles(), Small(Block(0, 0))
    fit(Small(Block(0, 0)), done, files)
    whole = files.trial.pop(("", CURVES))
    with pytest.raises(Stop):
        fit(learner, EPOCHS, files, after_epoch=_stop)
    assert learner.trained == []
    assert files.read(CURVES) == whole


def test_a_training_that_is_stopped_when_it_diverges_is_stopped_and_diverges_again_on_resume() -> None:
    files = MemoryFiles()
    with pytest.raises(Stop):
        fit(Small(Block(0, 0), diverge_at=0), EPOCHS, files, after_epoch=_stop)
    with pytest.raises(Diverged, match="train/loss is not finite after epoch 1"):
        fit(Small(Block(0, 0), diverge_at=0), EPOCHS, files)


@pytest.mark.parametrize("done", [2, EPOCHS])
def test_a_kill_between_checkpoint_and_curves_costs_no_point(done: int) -> None:
    files = MemoryFiles()
    fit(Small(Block(0, 0)), done, files)
    whole = files.read(CURVES)
    before = [point for point in json.loads(whole) if point["step"] < done]
    files.write(CURVES, json.dumps(before).encode())
    fit(Small(Block(0, 0)), done, files)
    assert files.read(CURVES) == whole


def test_a_resume_keeps_the_times_of_its_points() -> None:
    files = MemoryFiles(checkpoints=2)
    with pytest.raises(Interrupted):
        fit(Small(Block(0, 0)), EPOCHS, files)
    before = json.loads(files.read(CURVES))
    assert fit(Small(Block(0, 0)), EPOCHS, MemoryFiles(files.trial))[: len(before)] == before


def test_a_loss_that_leaves_the_finite_numbers_ends_the_training_and_names_its_curve() -> None:
    files = MemoryFiles()
    with pytest.raises(Diverged, match="train/loss is not finite after epoch 3"):
        fit(Small(Block(0, 0), diverge_at=2), EPOCHS, files)
    # What was sound stays: a checkpoint of a diverged network would never come back from it.
    learner = Small(Block(0, 0))
    fit(learner, EPOCHS, files)
    assert learner.trained == [2, 3, 4]


def test_a_weight_that_leaves_the_finite_numbers_ends_the_training_and_is_named() -> None:
    files = MemoryFiles()
    with pytest.raises(Diverged, match=r"conv/0\.weight is not finite after epoch 3"):
        fit(Small(Block(0, 0), spoil_at=2), EPOCHS, files)
    assert json.loads(files.read(CURVES))[-1]["step"] == 3
    learner = Small(Block(0, 0))
    fit(learner, EPOCHS, files)
    assert learner.trained == [2, 3, 4]


@pytest.mark.parametrize("place", ["running_mean", "running_var"])
def test_so_does_a_buffer(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Small, "spoil", lambda self: getattr(self.modules["conv"][1], place).fill_(math.nan))
    with pytest.raises(Diverged, match=f"conv/1.{place} is not finite after epoch {EPOCHS}"):
        fit(Small(Block(0, 0), spoil_at=EPOCHS - 1), EPOCHS, MemoryFiles())


def test_what_was_not_finite_before_an_epoch_may_stay_so_and_may_not_come_back() -> None:
    class WithLeast(Small):
        def epoch(self, epoch: Epoch) -> dict[str, float]:
            self.modules["head"].least.fill_((math.inf, 0.5, 0.4, math.inf)[epoch.number])
            return super().epoch(epoch)

    learner = WithLeast(Block(0, 0))
    learner.modules["head"].register_buffer("least", torch.tensor(math.inf))
    with pytest.raises(Diverged, match="head/least is not finite after epoch 4"):
        fit(learner, 4, MemoryFiles())


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[:-9] + bytes(9)])
def test_a_damaged_checkpoint_is_passed_over(damage, straight: tuple[Small, list]) -> None:
    files = MemoryFiles(checkpoints=3)
    with pytest.raises(Interrupted):
        fit(Small(Block(0, 0)), EPOCHS, files)
    files.trial["", CHECKPOINT] = damage(files.trial["", CHECKPOINT])
    learner = Small(Block(0, 0))
    points = fit(learner, EPOCHS, MemoryFiles(files.trial))
    assert learner.trained == list(range(EPOCHS))
    assert values(points) == values(straight[1])


def test_shuffled_batches_hold_every_index_once() -> None:
    batches = list(shuffled(10, 4, Block(0, 0).torch("data", 0)))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(torch.cat(batches).tolist()) == list(range(10))
    assert torch.cat(batches).tolist() != list(range(10))


def test_unpacking_on_the_device_equals_unpacking_in_numpy(store) -> None:
    rolls = store.batch(range(3))
    unpacked = float_rolls(np.array(store.windows[:3]), torch.device("cpu"))
    assert unpacked.dtype == torch.float32
    assert rolls.any()
    assert (unpacked.numpy() == rolls).all()


def test_an_epoch_may_return_numbers_of_torch_and_numpy() -> None:
    loss = torch.tensor(0.5, requires_grad=True)
    given = {"train/a": loss, "train/b": np.float32(0.1), "train/c": 2}
    points = fit(FunctionLearner(lambda epoch: given, {}), 1, files := MemoryFiles())
    assert [point["value"] for point in points] == [0.5, 0.1, 2]
    assert json.loads(files.read(CURVES)) == points
    with pytest.raises(Diverged, match="train/a is not finite"):
        fit(FunctionLearner(lambda epoch: {"train/a": loss * math.nan}, {}), 1, MemoryFiles())
