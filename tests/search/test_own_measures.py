"""Searches for a measure of the user's own: what is told to the sampler, what is confirmed, and who reads it."""

import math
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from musiclab import Int, Search, Study
from musiclab.analysis.search import search_results
from musiclab.measures import measure
from musiclab.measures.registry import Measure
from musiclab.search.dashboard import Dashboard
from musiclab.search.run import SearchRun
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.study.options import design_of, parse_options
from tests.support.made_records import made_cost, made_record
from tests.support.searched_storage import FOLDER, STUDY, MadeSearch

REAL = 10.0


@measure(unit="semitones", better="real", title="How far the top voice moves")
def leap(rolls):
    return 5.0


@measure(unit="share", better="higher", title="Cells that sound")
def sounding(rolls):
    return rolls.mean()


def test_a_search_for_own_measures(song_folder: Path, tmp_path: Path) -> None:
    def searched(**fields: Any) -> SearchRun:
        search = Search({"latent_dim": Int(2, 64)}, budget=6, sampler="random", confirm=2, **fields)
        study = Study(name="q", question="?", system="vae_nn", space=search, blocks=2, objective=leap)
        design = design_of(study, parse_options("?", ["--data", f"midi:{song_folder}", "--in-process"]))
        return SearchRun(design, Records(Storage(str(tmp_path))))

    run = searched(also=(sounding,))
    alone = searched().design.proposed({"latent_dim": 8}).stages
    both = run.design.proposed({"latent_dim": 8}).stages
    assert [stage for stage in both if both[stage] != alone[stage]] == ["measure"]
    run.start()
    distances = [4.0, 1.0, math.nan, -2.0, 3.0, 5.0]  # of real music
    for number, distance in enumerate(distances):
        trial = run.propose()
        assert trial is not None
        measures = {"own/leap": REAL + distance, "own/sounding": 0.5 if number == 3 else 0.1}
        record = made_record(
            measures, {"own/leap": REAL}, key=trial.key, config=trial.variant.config, block=trial.block
        )
        run.records.put(trial.key, record, made_cost(), {})
        assert run.on_trial_end(trial, None) == ""
    assert run.is_over and run.ends[3].told == (2.0, 0.5)
    assert (run.ends[2].state, run.ends[2].told) == ("failed", None)
    assert run.ends[2].reason == "there is no value of test_own_measures.py: leap"
    assert set(run.confirmed()) == {"proposal 1", "proposal 3"}  # the front


def test_who_reads_a_search_needs_no_code(tmp_path: Path) -> None:
    words = Measure("leap", "own", "semitones", "higher", "How far the top voice moves", place="mine.py: leap")
    made = MadeSearch(tmp_path, objective="own/leap", measures=(words,))
    made.one_of_each()
    plan = made.records.plans.get(FOLDER)
    found = search_results(made.storage, FOLDER, plan, {})
    assert found is not None and found.objectives == [words]
    dashboard = Dashboard(made.storage, FOLDER)
    dashboard.update()
    backend = JournalFileBackend(str(dashboard.journal))
    study = optuna.load_study(study_name=STUDY, storage=JournalStorage(backend))
    assert (study.direction.name, study.metric_names, study.best_value) == ("MAXIMIZE", ["own/leap"], 3.5)
