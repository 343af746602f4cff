"""Blocks added until every comparison is clear: when it stops, what it keeps, and that a real study does so."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musiclab.analysis.answer import scores_by_block, undecided
from musiclab.analysis.comparisons import compare
from musiclab.analysis.results import Results
from musiclab.design.design import Design
from musiclab.design.trials import TrialSpec
from musiclab.execution.executor import InProcess, OnTrialEnd, Say
from musiclab.execution.queue import Queue
from musiclab.execution.trial import TrialRunner
from musiclab.storage.files import Storage
from musiclab.storage.leases import Lease
from musiclab.storage.records import Records
from musiclab.study import Grid, Study, session
from musiclab.study.forecast import forecast
from musiclab.study.loop import TrialLoop
from musiclab.study.options import RunOptions, design_of, parse_options
from musiclab.study.plan_file import PlanFile
from musiclab.study.run import StudyRun
from tests.support.made_records import made_cost, made_record
from tests.support.mlflow_contents import role, study_runs
from tests.support.study_processes import run_study

Value = Callable[[Any, int], float]


class Made:
    """An executor whose trials take no time: each one's objective is `value(of the variant's field, block)`.

    A trial whose value is NaN fails; after `last` trials it is interrupted, as by Ctrl-C.
    """

    exporting = InProcess.exporting

    def __init__(self, value: Value, workers: int = 1, last: int | None = None) -> None:
        self.value, self.workers, self.last = value, workers, last
        self.batches: list[list[tuple[Any, int]]] = []

    def run(self, queue: Queue, trials: TrialRunner, on_trial_end: OnTrialEnd, say: Say) -> None:
        records = Records(Storage(trials.storage))
        (plan,) = Path(trials.storage).glob("studies/*/*/plan.json")
        planned = {TrialSpec.from_json(cell).key for cell in json.loads(plan.read_text())["trials"]}
        self.batches.append([])
        while cell := queue.next():
            assert cell.key in planned  # the mirror and whoever comes after a kill know of it
            if self.last is not None and sum(map(len, self.batches)) == self.last:
                raise KeyboardInterrupt
            (field,) = cell.variant.values.values()
            self.batches[-1].append((field, cell.block.index))
            value = self.value(field, cell.block.index)
            if value == value:
                records.put(cell.key, made_record({"set/frechet": value}), made_cost(), {})
            for stage in cell.stages.values():
                records.storage.write(f"stages/{stage}/done", b"")
            on_trial_end(queue.done(cell.key), None if value == value else ("it died", "it died"))


def _effect(of: dict[Any, float], noise: float = 1.0) -> Value:
    """Each block's own level and noise, and the given effect of each value."""

    def value(field: Any, block: int) -> float:
        rng = np.random.default_rng([block, round(100 * field)])
        return 1000 + 50 * block + of[field] + noise * float(rng.standard_normal())

    return value


@pytest.fixture
def designed(song_folder: Path) -> Callable[..., Design]:
    """A design of noise_sd 0.5 (the control), 1 and, if asked for, 2, with these options."""

    def made(*options: str, more: bool = False, margin: float | None = None, field: str = "noise_sd") -> Design:
        values = {"noise_sd": (0.5, 1.0, 2.0), "latent_dim": (2, 3, 4)}[field][: 2 + more]
        asked = Study(
            name="q", system="vae_nn", space={field: Grid(*values)}, control={field: values[0]}, blocks=4,
            objective="frechet", question="?", margin=margin,
        )  # fmt: skip
        return design_of(asked, _options(song_folder, *options))

    return made


def _options(song_folder: Path, *options: str) -> RunOptions:
    return parse_options("?", ["--data", f"midi:{song_folder}", "--in-process", *options])


def _run(design: Design, folder: Path, made: Made) -> Results:
    """Run a design as a study does, without its mirror; what it has come to."""
    running = StudyRun(design, Records(Storage(str(folder))), max_failures=0)
    plan_file = PlanFile(running)
    plan_file.write()
    lease = Lease(running.records.storage, f"{design.folder}/runner")
    with (
        lease.take(),
        session.Progress("trials", len(running.trial_specs), len(running.finished)) as progress,
        TrialLoop(made, lease, False, progress) as loop,
    ):
        session.run_trials(running, plan_file, loop, progress)
    return Results.read(running.records.storage, "q")


UNTIL_CLEAR = ("--until-clear", "--max-blocks", "12")


def test_a_planted_effect_is_found_and_then_nothing_more_is_run(designed, tmp_path: Path) -> None:
    made = Made(_effect({0.5: 0, 1.0: -30}))
    found = _run(designed(*UNTIL_CLEAR), tmp_path, made)
    assert found.answer.comparisons["noise_sd=1.0"].verdict == "better"
    assert found.plan.blocks == 6
    assert [len(batch) for batch in made.batches] == [12]


def test_one_that_is_not_planted_is_not_found_and_the_blocks_end_at_the_most(designed, tmp_path: Path) -> None:
    made = Made(_effect({0.5: 0, 1.0: 0}))
    found = _run(designed(*UNTIL_CLEAR), tmp_path, made)
    assert found.answer.comparisons["noise_sd=1.0"].verdict == "no difference shown"
    assert found.plan.blocks == 12
    assert [len(batch) for batch in made.batches] == [12, *[2] * 6]
    assert len({cell.key for cell in found.trial_specs}) == len(found.records) == 24


def test_with_a_margin_no_effect_becomes_clear_too(designed, tmp_path: Path) -> None:
    made = Made(_effect({0.5: 0, 1.0: 0}))
    found = _run(designed(*UNTIL_CLEAR, margin=4.0), tmp_path, made)
    assert found.answer.comparisons["noise_sd=1.0"].verdict == "equivalent"
    assert 6 <= found.plan.blocks < 12


def test_it_goes_on_until_all_comparisons_are_clear_in_whole_blocks(designed, tmp_path: Path) -> None:
    made = Made(_effect({0.5: 0, 1.0: 100, 2.0: 1.5}))
    found = _run(designed("--until-clear", "--max-blocks", "50", more=True), tmp_path, made)
    assert {of.verdict for of in found.answer.comparisons.values()} == {"worse"}
    first, *more = made.batches
    assert {block for _, block in first} == set(range(len(first) // 3))
    assert more
    for number, batch in enumerate(more, len(first) // 3):
        assert batch == [(0.5, number), (1.0, number), (2.0, number)]
    # With a block fewer it was not clear, or it would have stopped there.
    fewer = scores_by_block(found.trial_specs[:-3], found.records, found.answer.objective)
    assert undecided(compare(fewer, found.answer.criteria)) == ["noise_sd=2.0"]


@pytest.mark.parametrize(("field", "batch"), [("noise_sd", 4), ("latent_dim", 2)])
def test_as_many_blocks_are_added_as_keep_the_workers_busy(designed, tmp_path: Path, field: str, batch: int) -> None:
    """Variants that share what they train keep one worker busy between them, others one each."""
    nothing = dict.fromkeys((0.5, 1.0, 2, 3), 0.0)
    made = Made(_effect(nothing), workers=4)
    found = _run(designed("--until-clear", "--max-blocks", "13", field=field), tmp_path, made)
    blocks = [len({block for _, block in of}) for of in made.batches]
    assert blocks == ([6, 4, 3] if batch == 4 else [6, 2, 2, 2, 1])
    assert found.plan.blocks == 13


def test_a_run_that_was_cut_short_goes_on_and_comes_to_the_same(designed, tmp_path: Path) -> None:
    value, asked = _effect({0.5: 0, 1.0: 2.0}), ("--until-clear", "--max-blocks", "40")
    straight, once = Made(value), tmp_path / "straight"
    whole = _run(designed(*asked), once, straight)
    ran = sum(map(len, straight.batches))
    assert 12 < ran < 80
    cut = tmp_path / "cut"
    for last in (5, 9, 1):
        with pytest.raises(KeyboardInterrupt):
            _run(designed(*asked), cut, Made(value, last=last))
    made = Made(value)
    found = _run(designed(*asked), cut, made)
    assert sum(map(len, made.batches)) == ran - 15
    assert repr(found.answer) == repr(whole.answer)  # a NaN is not equal to itself
    assert found.plan.trial_specs == whole.plan.trial_specs
    assert found.folder == whole.folder


def test_run_again_it_runs_nothing_and_says_the_same(designed, tmp_path: Path) -> None:
    value, asked = _effect({0.5: 0, 1.0: 2.5}), ("--until-clear", "--max-blocks", "40")
    # Four workers come to the end of four blocks that were begun together; one would have stopped before it.
    first = _run(designed(*asked), tmp_path / "four", Made(value, workers=4))
    assert first.plan.blocks == 10
    assert _run(designed(*asked), tmp_path / "one", Made(value)).plan.blocks == 8
    made = Made(value)
    again = _run(designed(*asked), tmp_path / "four", made)
    assert made.batches == []
    assert repr(again.answer) == repr(first.answer)  # a NaN is not equal to itself
    assert again.plan.trial_specs == first.plan.trial_specs


def test_a_fixed_number_of_blocks_takes_its_own_and_the_other_way_round(designed, tmp_path: Path) -> None:
    value = _effect({0.5: 0, 1.0: 0})
    sequential = _run(designed(*UNTIL_CLEAR), tmp_path, Made(value))
    made = Made(value)
    fixed = _run(designed("--blocks", "7"), tmp_path, made)
    assert made.batches == []
    # A number of blocks that is fixed only after looking keeps the tests that hold at any time.
    assert (fixed.plan.sequential, fixed.plan.blocks, len(fixed.trial_specs)) == (True, 7, 14)
    assert fixed.folder == sequential.folder
    assert fixed.answer.comparisons["noise_sd=1.0"].difference.n == 7
    # Those of a fixed number serve, and are looked at from the first on.
    again = _run(designed(*UNTIL_CLEAR), tmp_path, made)
    assert made.batches == []
    assert repr(again.answer) == repr(sequential.answer)  # a NaN is not equal to itself


def test_an_edition_is_read_by_its_name_and_the_newest_without(designed, tmp_path: Path) -> None:
    value, design = _effect({0.5: 0, 1.0: 0}), designed("--blocks", "2")
    first = _run(design, tmp_path, Made(value))
    other = designed("--blocks", "3", "--set", "beta=0.5")
    assert other.edition != design.edition
    PlanFile(StudyRun(other, Records(first.storage))).write()
    assert len(Results.read(first.storage, "q").trial_specs) == 6
    assert Results.read(first.storage, "q", design.edition).plan == first.plan


def test_fewer_blocks_may_be_allowed_than_there_were(designed, tmp_path: Path) -> None:
    value = _effect({0.5: 0, 1.0: 0})
    _run(designed(*UNTIL_CLEAR), tmp_path, Made(value))
    assert _run(designed("--until-clear", "--max-blocks", "8"), tmp_path, Made(value)).plan.blocks == 8


def test_what_always_fails_is_not_tried_for_ever(designed, tmp_path: Path) -> None:
    clear = _effect({0.5: 0, 1.0: 30, 2.0: 0})
    made = Made(lambda field, block: float("nan") if field == 2.0 else clear(field, block))
    found = _run(designed("--until-clear", "--max-blocks", "30", more=True), tmp_path, made)
    assert found.answer.comparisons["noise_sd=1.0"].verdict == "worse"
    assert found.answer.comparisons["noise_sd=2.0"].verdict == "not compared"
    assert found.answer.failed["noise_sd=2.0"] == found.plan.blocks < 12
    assert {failure.reason for failure in found.failures.values()} == {"it died"}


def test_a_trial_that_fails_once_is_not_run_twice_in_a_run_but_in_the_next(designed, tmp_path: Path) -> None:
    value = _effect({0.5: 0, 1.0: 0})
    made = Made(lambda field, block: float("nan") if (field, block) == (1.0, 3) else value(field, block))
    found = _run(designed(*UNTIL_CLEAR), tmp_path, made)
    assert sum(batch.count((1.0, 3)) for batch in made.batches) == 1
    assert found.answer.comparisons["noise_sd=1.0"].left_out == (3,)
    made = Made(value)
    assert _run(designed(*UNTIL_CLEAR), tmp_path, made).answer.failed == {"noise_sd=0.5": 0, "noise_sd=1.0": 0}
    assert made.batches == [[(1.0, 3)]]


def test_the_plan_says_the_least_and_the_most(designed, tmp_path: Path, song_folder: Path) -> None:
    records, options = Records(Storage(str(tmp_path))), _options(song_folder)
    said = forecast(StudyRun(designed(*UNTIL_CLEAR, margin=3.0), records), options)
    assert "2 variants x 6 to 12 blocks = 12 to 24 trials: 0 done, 12 to 24 to run" in said
    assert "  noise_sd=1.0: 0 done, 6 to 12 to run" in said
    assert "stage vae: runs 6 to 12 times for 12 to 24 trials" in said
    assert "Differences within 3 squared sds of frechet are tested to be equivalent." in said
    assert "Blocks are added until every comparison is better, worse or equivalent, 12 at most. The tests are" in said
    assert "6 blocks suffice if they all agree." in said
    assert not list(tmp_path.iterdir())
    # Once it is clear there is nothing to be said of more.
    _run(designed(*UNTIL_CLEAR), tmp_path, Made(_effect({0.5: 0, 1.0: -30})))
    said = forecast(StudyRun(designed(*UNTIL_CLEAR), records), options)
    assert "2 variants x 6 blocks = 12 trials: 12 done, 0 to run" in said
    assert "time: nothing is left to run" in said
    assert "better or worse, 12 at most" in said


def test_a_plan_with_a_fixed_number_of_blocks_says_what_it_can_show(
    designed, tmp_path: Path, song_folder: Path
) -> None:
    records, options = Records(Storage(str(tmp_path))), _options(song_folder)
    said = forecast(StudyRun(designed(margin=3.0), records), options)
    assert "Differences within 3 squared sds of frechet are tested to be equivalent." in said
    assert "Underpowered by design: with 4 blocks and 1 comparison" in said
    assert "equivalent, and nothing else" not in said
    said = forecast(StudyRun(designed("--blocks", "5", margin=3.0), records), options)
    assert "They can show that variants are equivalent, and nothing else.\nAdd --blocks 6." in said
    assert "equivalent" not in forecast(StudyRun(designed("--blocks", "5"), records), options)


@pytest.fixture
def mirrorless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies in this process without MLflow."""

    class Mirror:
        def __init__(self, *_: Any) -> None: ...

        def start(self, say: Any, counting: bool) -> None: ...

        def stop(self) -> str:
            return "MLflow: none"

    monkeypatch.setattr(session, "Mirror", Mirror)


def test_the_executor_stays_open_between_batches_and_a_report_that_fails_is_one_line(
    mirrorless: None, song_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    opened, made = [], Made(_effect({0.5: 0, 1.0: 2.0}))

    @contextlib.contextmanager
    def executor(_: RunOptions) -> Iterator[Made]:
        opened.append(made)
        yield made

    def fails(_: Results) -> str:
        raise ValueError("no\npaper")

    monkeypatch.setattr(session, "opened_executor", executor)
    monkeypatch.setattr("musiclab.report.write.write_report", fails)
    asked = Study(
        name="q", system="vae_nn", space={"noise_sd": Grid(0.5, 1.0)}, control={"noise_sd": 0.5}, blocks=4,
        objective="frechet", question="?",
    )  # fmt: skip
    options = ["--data", f"midi:{song_folder}", "--storage", str(tmp_path), "--until-clear", "--max-blocks", "40"]
    said = []
    for _ in range(2):
        asked.main(options)
        said.append(capsys.readouterr().out)
    assert len(opened) == 1
    assert len(made.batches) > 1
    blocks = sum(map(len, made.batches)) // 2
    assert f"that took {blocks} blocks. The tests are valid whenever one stops." in said[0]
    assert "blocks are added until every comparison is clear, 40 at most\n0 of 12 trials done, 12 new\n" in said[0]
    assert f"{2 * blocks} of {2 * blocks} trials done\n" in said[1]
    assert [re.split(r"trials done.*\n", text)[1] for text in said] == [re.split(r"trials done.*\n", said[0])[1]] * 2
    assert "\nno report: ValueError: no paper\n" in said[0]
    assert "is reached" not in said[0]


_STUDY = """
from musiclab.study import Study

if __name__ == "__main__":
    Study(
        name="clear", system="vae_nn", space=[{"noise_sd": 0.0}, {"noise_sd": 0.0} | %s], control={"noise_sd": 0.0},
        blocks=1, objective="diversity_ratio", question="?",
    ).main()
"""


def _asked(options: list[str], tmp_path: Path, other: dict[str, float]) -> tuple[list[str], Path]:
    """Options without a number of blocks, and a study that compares nothing with `other`."""
    file = tmp_path / "clear.py"
    file.write_text(_STUDY % other)
    return [*options[: options.index("--blocks")], "--in-process", "--until-clear", "--max-blocks", "7"], file


@pytest.mark.long
def test_a_real_study_stops_growing_once_it_is_clear(storage: Path, options: list[str], tmp_path: Path) -> None:
    """Noise changes what is generated."""
    asked, file = _asked(options, tmp_path, {"noise_sd": 9.0})
    found = run_study(*asked, storage=storage, file=file)
    assert "0 of 12 trials done, 12 new\n" in found.out
    assert re.search(r"noise_sd=9.0 \(.*, p = 0.0\d+\) is (nearer to|farther from) real music", found.table)
    assert "clear; that took " in found.table
    assert "is reached" not in found.out


@pytest.mark.slow
def test_a_real_study_grows_as_far_as_it_may_and_mlflow_and_the_report_with_it(
    storage: Path, options: list[str], tmp_path: Path
) -> None:
    """Alpha, without a target to follow, changes nothing at all."""
    asked, file = _asked(options, tmp_path, {"alpha": 0.25})
    run = run_study(*asked, storage=storage, file=file)
    assert "no difference is shown for noise_sd=0.0, alpha=0.25" in run.table
    assert "clear; after 7 blocks, 1 of 1 is not clear yet" in run.table
    assert "--max-blocks 7 is reached; with a larger one the same command goes on from here\n" in run.out
    (plan,) = [json.loads(path.read_text()) for path in storage.glob("studies/clear/*/plan.json")]
    assert (plan["blocks"], plan["sequential"], len(plan["trials"])) == (7, True, 14)
    client, runs = study_runs(f"sqlite:///{storage / 'mlflow.db'}", "clear")
    assert {each.info.status for each in runs} == {"FINISHED"}
    assert len(role(runs, "trial")) == len(run.records)
    (parent,) = role(runs, "study")
    names = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"report.html", "results.csv", "results.json", "table.tex"} <= names
