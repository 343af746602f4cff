"""A real search, run as a user runs it: optuna-dashboard's journal and MLflow show what its files hold."""

from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from musiclab.storage.files import Storage
from musiclab.storage.search_documents import SearchFiles
from tests.support.kept import empty
from tests.support.mlflow_contents import faults, role, study_runs
from tests.support.study_processes import run_study

pytestmark = pytest.mark.slow

_STUDY = """
from musiclab import Categorical, Float, Int, Search, Study

study = Study(
    name="tiny", system="vae_nn", objective="frechet", blocks=1,
    space=Search({"latent_dim": Int(2, 16, log=True), "noise_sd": Float(0, 1), "peaks": Categorical(-1, 0)},
                 sampler="qmc", budget=4, confirm=1),
)

if __name__ == "__main__":
    study.main()
"""


def test_a_search_that_has_run_is_shown_by_both_and_goes_on_with_another_sampler(
    song_folder: Path, tiny: list[str], tmp_path: Path, database: Path
) -> None:
    file = tmp_path / "tiny.py"
    file.write_text(_STUDY)
    (tmp_path / "storage").mkdir()
    options = ["--in-process", "--data", f"midi:{song_folder}", *tiny]
    ran = run_study(*options, storage=empty(tmp_path / "storage", database), file=file)
    (folder,) = ran.storage.glob("studies/tiny/*")
    journal = folder / "search/optuna.journal"
    assert f"Optuna: optuna-dashboard {journal} --artifact-dir {journal.with_name('artifacts')}" in ran.out
    files = SearchFiles(Storage(str(ran.storage)), str(folder.relative_to(ran.storage)))
    study = optuna.load_study(study_name="tiny", storage=JournalStorage(JournalFileBackend(str(journal))))
    proposals, ends = files.proposals(), files.ends()
    assert len(proposals) == 4
    assert [trial.params for trial in study.trials] == [proposal.values for proposal in proposals]
    assert [trial.values for trial in study.trials] == [list(ends[each.number].scores.values()) for each in proposals]
    confirmation = files.confirmation()
    assert confirmation
    assert study.user_attrs["confirmed"] == [f"proposal {number}" for number in confirmation.numbers]
    sounds = optuna.artifacts.get_all_artifact_meta(study.trials[0], storage=study._storage)
    assert [sound.filename for sound in sounds] == ["start-1.mp3", "start-1.png"]
    uri = f"sqlite:///{ran.storage / 'mlflow.db'}"
    assert not faults(uri, "tiny", ran.storage)
    _, runs = study_runs(uri, "tiny")
    shown = {run.data.tags["musiclab.key"]: run for run in role(runs, "proposal")}
    assert shown.keys() == {proposal.key for proposal in proposals}
    assert all(any(name.startswith("train/") for name in run.data.metrics) for run in shown.values())
    (search,) = role(runs, "search")
    assert search.data.metrics["count/proposals"] == len(proposals)
    best = min(score for end in ends.values() for score in end.scores.values())
    assert search.data.metrics["best/set/frechet"] == pytest.approx(best)

    file.write_text(_STUDY.replace('"qmc"', '"nsga2"'))
    again = run_study(*options, storage=ran.storage, file=file)
    assert "\nnsga2, asked again, did not make 2 of 4 proposals once more, because another sampler or" in again.out
    assert again.records == ran.records and files.proposals() == proposals
