"""The contract of systems: what musiclab relies on, tried with a tiny config on made songs."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from musiclab.data.songs import PIANO, TRACKS
from musiclab.data.windows import unpack
from musiclab.errors import UserError
from musiclab.measures.registry import MEASURES
from musiclab.sending import Sent
from musiclab.systems.base import System, read_generated
from musiclab.systems.config import GENERATE, MEASURE
from musiclab.systems.own import check_system_class, given_system
from musiclab.testing.elsewhere import Digests, digests, digests_elsewhere
from musiclab.testing.made import (
    Interrupted,
    MemoryFiles,
    made_store,
    products,
    run_stages,
    song_store,
    stage_run,
    windows_of,
)
from musiclab.testing.promises import Promises
from musiclab.training.files import CHECKPOINT
from musiclab.training.runtime import Runtime
from musiclab.training.streams import Block
from musiclab.user_code import described, is_ours

# Few windows, so that what is checked takes seconds.
_SMALL = {"max_train": 64, "max_eval": 24, "starts": 6, "continuation": 3}
_BLOCK, _OTHER_BLOCK, _RUNTIME = Block(0, 0), Block(0, 1), Runtime("2.13", "cpu")
_RUNGS = (0.4, 0.8)
_INTERRUPTIONS = 7  # a training of more epochs is interrupted after the first ones only


def check_system(system: "type[System[Any]] | str", /, **fields: Any) -> None:
    """Try whether a system keeps what every system promises. It trains about a dozen times, so give fields of seconds.

    It checks the class and its config; the shape and type of continuations; that silence can be continued; that one
    block gives the same bits each time and another block others; that a training which is killed after an epoch and
    resumed leaves what one straight through leaves; that continuations depend on what `conditions` says and on nothing
    else; that they need neither the training data nor an instance that has trained; that each field changes the keys of
    its own stage and of later ones only; and that the class can be sent to a worker.

    Args:
        system: a class, or what a study may name: `path/file.py:Name`.
        fields: values of fields of its config by which it trains in seconds.

    Raises:
        BrokenPromises: with a sentence for each promise that is not kept.
        UserError: there is no such system or field.
    """
    if not isinstance(system, str):
        promises = Promises(described(system))
        with promises.trying("the class"):
            check_system_class(system, house=True)
        promises.check()
    made = given_system(system) if isinstance(system, str) else system()
    check, threads = _Check(made, made.config().with_values(_SMALL | fields)), torch.get_num_threads()
    try:
        check.run()
    finally:
        torch.set_num_threads(threads)
    check.promises.check()


class _Check:
    """One system on one tiny config; instances are made anew for each run, because they keep nothing."""

    def __init__(self, system: System[Any], config: Any) -> None:
        self.kind, self.config = type(system), config
        self.training = tuple(stage for stage in system.stages if stage not in (GENERATE, MEASURE))
        self.store = song_store(config.window_spec)
        self.promises = Promises(described(type(system)))

    def run(self) -> None:
        self._presets()
        self._keys()
        with self.promises.trying("training and generating"):
            self.trained = run_stages(self.kind(), self._run(_BLOCK))
            self.windows = windows_of(self.store, _BLOCK, self.config)
            self._trained()
        if not is_ours(self.kind):
            with self.promises.trying("sending it to another process"):
                self._elsewhere()
        with self.promises.trying("the estimate of its time"):
            seconds = self.kind().estimated_seconds(self.config, 64)
            self.promises.expect(
                seconds is None or 0 < seconds < 3600,
                f"estimated_seconds must give seconds above 0, or None; got {seconds!r}",
            )

    def _run(self, block: Block, files: MemoryFiles | None = None) -> Any:
        return stage_run(self.store, block, self.config, files or MemoryFiles())

    def _presets(self) -> None:
        for scale, sizes in self.kind.scales.items():
            for form, changes in self.kind.forms.items():
                with self.promises.trying(f"scale {scale} in form {form}"):
                    config = self.kind.config().with_values(sizes | changes)
                    self.promises.expect(
                        config == self.kind.config(**config.to_json()),
                        "a config must be equal to one of its own values",
                    )

    def _keys(self) -> None:
        system, stages = self.kind(), list(self.kind.stages)
        with self.promises.trying("its keys"):
            base = system.stage_keys(self.config, _BLOCK, "d", _RUNTIME)
            for spec in dataclasses.fields(self.config):
                stage = spec.metadata["stage"]
                first = 0 if stage == "windows" else stages.index(stage)
                keys = system.stage_keys(changed(self.config, spec), _BLOCK, "d", _RUNTIME)
                differ = [keys[name] != base[name] for name in stages]
                self.promises.expect(
                    differ == [place >= first for place in range(len(stages))],
                    f"the field {spec.name} must change the keys of {stage} and of later stages only",
                )

    def _elsewhere(self) -> None:
        """In a process that has nothing of the user's but what is sent to workers, and that has run no other block."""
        sent = Sent(self.kind)
        if self.promises.broken:
            return  # they would be broken there too
        here = digests(run_stages(self.kind(), self._run(_OTHER_BLOCK)))
        there = digests_elsewhere(sent, self.config, _OTHER_BLOCK)
        right = "nothing may depend on the process, such as the order of a set or what an earlier trial has left"
        self._same_files(there, here, "run in another process", right)

    def _trained(self) -> None:
        """All that is checked of a trial that has run."""
        generated = read_generated(self.trained.product(GENERATE))
        shape = (6, 3, len(TRACKS), self.config.steps, 16)
        self.promises.expect(
            generated.shape == shape and generated.dtype == np.uint8,
            f"continuations must be packed windows {shape} uint8; got {generated.shape} {generated.dtype}",
        )
        self.promises.expect(generated.any(), "continuations must have notes; all are silent")
        kept = {stage for stage, _ in products(self.trained)}
        for stage in self.training:
            self.promises.expect(stage in kept, f"the stage {stage} must write a file with what it has learnt")
        self._repeated()
        for stage in self.training:
            with self.promises.trying(f"resuming the stage {stage}"):
                self._resumed(stage)
        for what, check in (
            ("continuing silence", self._silence),
            ("continuing other starts", self._starts),
            ("continuing with other noise", self._noise),
            ("continuing after another piano", self._piano),
            ("following targets", self._targets),
            ("generating without the training data", self._without_data),
            ("its progress", self._rungs),
            ("its own measures", self._measures),
        ):
            with self.promises.trying(what):
                check()

    def _repeated(self) -> None:
        again = digests(run_stages(self.kind(), self._run(_BLOCK)))
        trained = digests(self.trained)
        if not self._same_files(again, trained, "run twice", "all draws must come from run.block"):
            return  # what follows differs too
        used, first = self.kind(), products(self.trained)
        other = products(run_stages(used, self._run(_OTHER_BLOCK)))
        for stage in {stage for stage, _ in first}:
            same = all(other.get(key) == data for key, data in first.items() if key[0] == stage)
            self.promises.expect(
                not same, f"another block must give other files; those of the stage {stage} are the same"
            )
        after = digests(run_stages(used, self._run(_BLOCK)))
        self._same_files(after, trained, "run after another block", "nothing may be kept in the instance or the class")

    def _same_files(self, files: Digests, expected: Digests, when: str, right: str) -> bool:
        """Expect the files of another run; of the first stage whose files differ they are named."""
        for stage in self.kind.stages:
            left, first = files.get(stage, {}), expected.get(stage, {})
            if differing := [name for name in sorted({*left, *first}) if left.get(name) != first.get(name)]:
                return self.promises.expect(
                    False, f"{when}, the stage {stage} leaves another {' and '.join(differing)}; {right}"
                )
        return True

    def _rungs(self) -> None:
        """A training that is looked at on its way, for searches that stop the worst early."""
        if self.kind.progress is None or is_ours(self.kind):
            return
        stage, values = self.kind.progress.stage, list[float]()
        before = {key: data for key, data in self.trained.trial.items() if self._is_before(key[0], stage)}
        run = self._run(_BLOCK, MemoryFiles(before, stage))
        run = dataclasses.replace(run, rungs=_RUNGS, at_rung=lambda rung, value: values.append(value))
        self.kind().run_stage(stage, run)
        self.promises.expect(
            len(values) == len(_RUNGS) and all(np.isfinite(values)),
            f"the stage {stage} has a progress, so it must use run.fit with a Learner whose progress() is a finite "
            f"number; got {values} at {len(_RUNGS)} rungs",
        )
        trained = digests(self.trained)
        looked_at = trained | {stage: digests(run.files).get(stage, {})}
        self._same_files(looked_at, trained, "looked at on its way", "progress() must change nothing")

    def _resumed(self, stage: str) -> None:
        before = {key: data for key, data in self.trained.trial.items() if self._is_before(key[0], stage)}
        straight = {key: data for key, data in products(self.trained).items() if key[0] == stage}
        for epochs in range(_INTERRUPTIONS):
            files = MemoryFiles(dict(before), stage, checkpoints=epochs)
            try:
                self.kind().run_stage(stage, self._run(_BLOCK, files))
                break  # it has no more epochs, or leaves no checkpoints and begins anew
            except Interrupted:
                files = MemoryFiles(files.trial, stage)
            self.kind().run_stage(stage, self._run(_BLOCK, files))
            resumed = {key: data for key, data in products(files).items() if key[0] == stage}
            if not self.promises.expect(
                resumed == straight,
                f"the stage {stage}, killed after epoch {epochs} and resumed, "
                "leaves other files than one straight through; "
                "draws must be named by the epoch, and all that is carried on must be in modules and optimizers",
            ):
                return
        if (stage, CHECKPOINT) in self.trained.trial:
            self._stops(stage, before)

    def _stops(self, stage: str, before: dict[tuple[str, str], bytes]) -> None:
        def stop() -> None:
            raise Interrupted

        run = dataclasses.replace(self._run(_BLOCK, MemoryFiles(dict(before), stage)), after_epoch=stop)
        try:
            self.kind().run_stage(stage, run)
            stopped = False
        except Interrupted:
            stopped = True
        self.promises.expect(
            stopped,
            f"the stage {stage} must call run.after_epoch after each epoch, as run.fit does, so that it can stop",
        )

    def _is_before(self, one: str, other: str) -> bool:
        stages = list(self.kind.stages)
        return stages.index(one) < stages.index(other)

    def _generated(
        self, config: Any = None, store: Any = None, starts: np.ndarray | None = None, block: Block = _BLOCK
    ) -> np.ndarray:
        """Continuations of trained networks, `(n, continuation, track, step, pitch)` bool."""
        config = config or self.config
        windows = windows_of(self.store, _BLOCK, config)
        windows = dataclasses.replace(
            windows, store=store or self.store, starts=windows.starts if starts is None else starts
        )
        files = MemoryFiles(dict(self.trained.trial))
        run = stage_run(windows.store, block, config, files, windows)
        return unpack(read_generated(run_stages(self.kind(), run, (GENERATE,)).product(GENERATE)))

    def _silence(self) -> None:
        windows = np.array(self.store.windows)
        windows[self.windows.starts] = 0
        silent = made_store(windows, [song.count for song in self.store.songs], self.store.spec)
        self._generated(store=silent, starts=self.windows.starts)

    def _starts(self) -> None:
        starts = self.windows.starts
        # The same places, and so the same noise, after other windows.
        one, other = (self._generated(starts=each) for each in (starts, np.roll(starts, 1, axis=0)))
        changed = (one != other).any(axis=(1, 2, 3, 4)).sum()
        # What has trained for seconds may follow its start a little only.
        enough = len(starts) // 2 if is_ours(self.kind) else 1
        self._depends("start", changed >= enough, changed > 0, "other start windows")

    def _noise(self) -> None:
        generated = self._generated(self.config.with_values({"variations": 2}))
        varies = (generated[::2] != generated[1::2]).any()
        differs = (self._generated() != self._generated(block=_OTHER_BLOCK)).any()
        self._depends("noise", varies, varies or differs, "other noise after one start")
        if varies:  # else it is said already
            self._depends("noise", differs, False, "the noise of another block after the same starts")

    def _piano(self) -> None:
        if "piano" not in self.kind.conditions:
            return
        windows, starts = np.array(self.store.windows), self.windows.starts
        windows[starts[:, 0], PIANO] = np.roll(windows[starts[:, 0], PIANO], 5, axis=0)
        other_piano = made_store(windows, [song.count for song in self.store.songs], self.store.spec)
        one, other = (self._generated(store=each, starts=starts) for each in (self.store, other_piano))
        others = [track for track in range(len(TRACKS)) if track != PIANO]
        changed = (one[:, :, others] != other[:, :, others]).any()
        self._depends("piano", changed, False, "another piano in the start window")

    def _targets(self) -> None:
        if "target" in self.kind.conditions:
            targets = ("none", *(f'song:"{song.id}"' for song in self.store.songs[:2]))
            none, one, other = (self._generated(self.config.with_values({"target": target})) for target in targets)
            changed = min(_changed_starts(*pair) for pair in ((none, one), (none, other), (one, other)))
            self._depends("target", changed >= len(none) // 2, False, "other target songs")
        if "alpha" in self.kind.conditions:
            target = f'song:"{self.store.songs[0].id}"'
            none = self._generated(self.config.with_values({"target": "none"}))
            zero, little, full = (
                self._generated(self.config.with_values({"target": target, "alpha": alpha})) for alpha in (0, 0.3, 1)
            )
            self.promises.expect((zero == none).all(), "with alpha 0 a target must change nothing")
            changed = min(_changed_starts(zero, little), _changed_starts(little, full))
            self._depends("alpha", changed >= len(none) // 2, False, "another alpha")

    def _depends(self, condition: str, enough: Any, at_all: Any, what: str) -> None:
        if condition in self.kind.conditions:
            self.promises.expect(
                enough, f"conditions has {condition!r}, but {what} changed nothing; leave it out, or use it"
            )
        else:
            self.promises.expect(not at_all, f"conditions lacks {condition!r}, but {what} changed the continuations")

    def _without_data(self) -> None:
        if not self.training:
            return  # it learns where it generates, and `musiclab generate` says that it cannot do so again
        starts = self.windows.packed(self.windows.starts[:, 0])
        run = dataclasses.replace(self._run(_BLOCK, MemoryFiles(dict(self.trained.trial), GENERATE)), windows=None)
        try:
            made = self.kind().continued(run, starts)
        except UserError:
            self.promises.expect(
                False, "continuations must not need the training data; keep what they need in a stage that trains"
            )
            return
        self.promises.expect(
            (made == read_generated(self.trained.product(GENERATE))).all(),
            "continuations must be the same with and without the training data",
        )

    def _measures(self) -> None:
        run: Callable[[], dict[str, float]] = lambda: self.kind().own_measures(  # noqa: E731
            self._run(_BLOCK, MemoryFiles(dict(self.trained.trial), MEASURE))
        )
        measures = run()
        for name, value in measures.items():
            self.promises.expect(
                type(value) is float and not np.isinf(value),
                f"own_measures must give finite floats or NaN; got {value!r} for {name}",
            )
            self.promises.expect(
                name.split(".")[0] in {measure.full_name for measure in MEASURES},
                f"own_measures must give measures that musiclab knows, such as {MEASURES[0].full_name}; got {name}, "
                "which no report would show",
            )
        self.promises.expect(_same(run(), measures), "own_measures must give the same numbers each time")


def _same(one: dict[str, float], other: dict[str, float]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)


def _changed_starts(one: np.ndarray, other: np.ndarray) -> int:
    return int((one != other).any(axis=(1, 2, 3, 4)).sum())


def changed(config: Any, spec: dataclasses.Field[Any]) -> Any:
    """The config with another value of one field, which only its keys are asked for."""
    value = getattr(config, spec.name)
    others: Iterator[Any] = (choice for choice in spec.metadata["choices"] if choice != value)
    other = next(others, not value if isinstance(value, bool) else value + type(value)(1))
    copy = dataclasses.replace(config)
    object.__setattr__(copy, spec.name, other)
    return copy
