"""What `--plan` says of the time that a search takes: by each kind of budget, in the middle, and at its end."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from musiclab import Budget, Float, Int, Search, Study
from musiclab.design.design import Design
from musiclab.design.trials import TrialSpec
from musiclab.search.run import SearchRun
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.study.options import design_of, parse_options
from musiclab.study.run import StudyRun
from musiclab.study.search_forecast import search_forecast
from tests.support.made_records import made_cost, made_record

STAGES = {"vae": 30.0, "latent": 10.0, "generate": 10.0, "measure": 10.0}  # a minute each trial
OPTIONS = ["--in-process"]


@pytest.fixture
def designed(song_folder: Path) -> Callable[..., Design]:
    def made(**search: Any) -> Design:
        space = Search({"latent_dim": Int(2, 64), "noise_sd": Float(0, 2)}, sampler="random", confirm=3, **search)
        study = Study(name="q", system="vae_nn", space=space, blocks=3, objective="frechet", question="?")
        return design_of(study, parse_options("?", ["--data", f"midi:{song_folder}", *OPTIONS]))

    return made


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(Storage(str(tmp_path)))


def _finish(records: Records, *trials: TrialSpec) -> None:
    for number, trial in enumerate(trials):
        score, config = {"set/frechet": 1.0 + number}, trial.variant.config
        record = made_record(score, key=trial.key, config=config, block=trial.block)
        records.put(trial.key, record, made_cost(seconds=STAGES), {})


def _searched(design: Design, records: Records, trials: int) -> SearchRun:
    """A search that has got on by so many trials, of which each took a worker four minutes."""
    run = SearchRun(design, records)
    run.start()
    for _ in range(trials):
        trial = run.propose()
        assert trial is not None
        _finish(records, trial)
        run.on_trial_end(trial, None, 240.0)
    return run


def _said(design: Design, records: Records) -> tuple[str, str]:
    """What is said of the confirmation, and of the time."""
    assert design.search is not None
    lines = search_forecast(StudyRun(design, records), design.search, parse_options("?", OPTIONS)).splitlines()
    (confirmation,) = [line for line in lines if line.startswith("confirmation: ")]
    (time,) = [line for line in lines if line.startswith("time: ")]
    return confirmation, time.partition(" with ")[0]


# The control has one trial of the confirmation behind it, so that its time is known; eleven are left.
@pytest.mark.parametrize(
    ("budget", "minutes", "later"),
    [
        (Budget(trials=20), 20, 18),
        (Budget(worker_hours=0.5), 30, 22),
        (Budget(wall_hours=0.75), 45, 35),
        (Budget(trials=20, wall_hours=0.1), 6, 0),
        (Budget(trials=20, worker_hours=0.1), 6, 0),
    ],
    ids=str,
)
def test_a_search_takes_until_the_first_of_its_limits(
    budget: Budget, minutes: int, later: int, designed: Callable[..., Design], records: Records,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    design = designed(budget=budget)
    _finish(records, design.trial_specs[0])
    assert _said(design, records)[1] == f"time: about {minutes + 11} min"
    clock = [1000.0]
    monkeypatch.setattr("musiclab.search.run.time.time", lambda: clock[0])
    run = _searched(design, records, 1)
    trial = run.propose()
    assert trial is not None
    clock[0] += 600
    _finish(records, trial)
    run.on_trial_end(trial, None, 240.0)
    assert _said(design, records)[1] == f"time: about {later + 11} min"


def test_how_many_configurations_do_not_fit_together_is_said(records: Records, song_folder: Path) -> None:
    space = Search({"resolution": Int(1, 7)}, sampler="random", budget=6)
    study = Study(name="q", system="vae_nn", space=space, blocks=3, objective="frechet", question="?")
    options = parse_options("?", ["--data", f"midi:{song_folder}", "--in-process"])
    design = design_of(study, options)
    said = search_forecast(StudyRun(design, records), design.search, options)
    reason = r"resolution must be a divisor of 24; got [57]\."
    share = re.search(rf"^  of 100 configurations drawn at random (\d+) are passed over: {reason}$", said, re.MULTILINE)
    assert 15 < int(share[1]) < 45  # two of seven


def test_what_is_done_takes_no_time_any_more(designed: Callable[..., Design], records: Records) -> None:
    design = designed(budget=6)
    run = _searched(design, records, 6)
    confirming = design.confirming(run.confirmed())
    _finish(records, *confirming.trial_specs[:5])
    line = "confirmation: the best 3 and the control on 3 fresh blocks = 12 trials, {} done"
    assert _said(design, records) == (line.format(5), "time: about 7 min")
    _finish(records, *confirming.trial_specs)
    assert _said(design, records) == (line.format(12), "time: nothing is left to run")
    assert _said(designed(budget=10), records) == (line.format(12), "time: about 4 min")
