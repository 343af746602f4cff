"""The journal for optuna-dashboard: all states as people read them, whatever happened to the file in between."""

import json
import math
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from musiclab.analysis.results import Results
from musiclab.cli.search import search
from musiclab.design.search import Search
from musiclab.design.space import described
from musiclab.errors import UserError
from musiclab.search.dashboard import Dashboard
from musiclab.search.journal import Journal
from tests.support.made_results import made_study
from tests.support.searched_storage import BEGAN, FOLDER, SAMPLES, SPACE, STUDY, MadeSearch
from tests.support.waiting import wait_until

ENDS = ["COMPLETE", "PRUNED", "FAIL", "FAIL", "COMPLETE", "RUNNING"]  # of `one_of_each`


@pytest.fixture
def made(tmp_path: Path) -> MadeSearch:
    """A search with a trial in each state."""
    made = MadeSearch(tmp_path / "storage")
    made.one_of_each()
    return made


def _dashboard(made: MadeSearch) -> Dashboard:
    return Dashboard(made.storage, FOLDER)


def _opened(file: Path) -> optuna.Study:
    """As optuna-dashboard opens it."""
    return optuna.load_study(study_name=STUDY, storage=JournalStorage(JournalFileBackend(str(file))))


def _trials(file: Path) -> list[FrozenTrial]:
    return _opened(file).get_trials()


def _states(file: Path) -> list[str]:
    return [trial.state.name for trial in _trials(file)]


def test_each_state_is_there_as_people_read_it(made: MadeSearch) -> None:
    dashboard = _dashboard(made)
    dashboard.update()
    study = _opened(dashboard.journal)
    assert (study.direction.name, study.metric_names) == ("MINIMIZE", ["set/frechet"])
    finished, pruned, diverged, failed, again, running = study.get_trials()
    assert [trial.state.name for trial in study.trials] == ENDS
    assert finished.values == [3.5]
    assert finished.params == {"lr": 1e-4, "latent_dim": 2, "peaks": 0}
    assert pruned.params["spread"] == 1 / 7
    assert finished.intermediate_values == {11: 0.9, 33: 0.5}
    assert (pruned.values, pruned.intermediate_values) == (None, {11: 1.5})
    assert running.intermediate_values == {11: 0.25}
    assert diverged.user_attrs["ended"] == "diverged"
    assert diverged.user_attrs["reason"] == "the loss is not finite"
    assert (failed.user_attrs["ended"], failed.user_attrs["reason"]) == ("failed", "out of memory")
    assert (again.values, again.user_attrs["source"]) == ([3.5], "again")
    assert again.user_attrs["trial"] == finished.user_attrs["trial"] == made.proposal(0).key
    assert finished.datetime_start and finished.datetime_start.timestamp() == BEGAN
    assert finished.datetime_complete and finished.datetime_complete.timestamp() == BEGAN + 5.5
    assert running.datetime_complete is None


def test_a_misfit_has_its_reason_and_no_folder(made: MadeSearch) -> None:
    made.pass_over(6)
    dashboard = _dashboard(made)
    dashboard.update()
    misfit = _trials(dashboard.journal)[6]
    assert misfit.state.name == "FAIL"
    assert misfit.user_attrs["reason"] == "resolution must be a divisor of 24; got 5."
    assert misfit.user_attrs["source"] == "misfit" and not {"trial", "folder"} & misfit.user_attrs.keys()


def test_a_trial_has_its_measures_without_those_of_tracks_and_a_way_to_its_folder(made: MadeSearch) -> None:
    dashboard = _dashboard(made)
    dashboard.update()
    notes = _trials(dashboard.journal)[0].user_attrs
    assert notes["seconds"] == 4.5
    assert {name: notes[name] for name in notes if "/" in name} == {"set/frechet": 3.5, "music/empty_bars": 0.25}
    assert Path(notes["folder"], "record.json").exists()


def test_sound_and_its_picture_are_artifacts_that_a_dashboard_finds(made: MadeSearch) -> None:
    dashboard = _dashboard(made)
    dashboard.update()
    study = _opened(dashboard.journal)
    found = optuna.artifacts.get_all_artifact_meta(study.trials[0], storage=study._storage)
    assert {each.filename: each.mimetype for each in found} == {"start-1.mp3": "audio/mpeg", "start-1.png": "image/png"}
    store = optuna.artifacts.FileSystemArtifactStore(dashboard.artifacts)
    for each in found:
        assert set(each.artifact_id) <= set("0123456789abcdef")  # else the dashboard answers 404
        assert store.open_reader(each.artifact_id).read() == SAMPLES[each.filename]
    moved = made.storage.root + "-moved"
    Path(made.storage.root).rename(moved)
    links = list(Path(moved, FOLDER, "search/artifacts").iterdir())
    assert {link.read_bytes() for link in links} == {SAMPLES["start-1.mp3"], SAMPLES["start-1.png"]}


def test_a_search_for_several_measures_has_all_their_values_and_no_curve(tmp_path: Path) -> None:
    made = MadeSearch(tmp_path, also=("set/recall",))
    made.one_of_each()
    dashboard = _dashboard(made)
    dashboard.update()
    study = _opened(dashboard.journal)
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert study.metric_names == ["set/frechet", "set/recall"]
    assert study.trials[0].values == [3.5, 4.5]
    assert [trial.intermediate_values for trial in study.trials] == [{}] * 6
    assert [trial.state.name for trial in study.trials] == ENDS
    assert [trial.number for trial in study.best_trials] == [0, 4]


def test_progress_has_the_sign_of_the_objective(tmp_path: Path) -> None:
    """Lower progress is better; in a search for a maximum a dashboard draws what is better higher."""
    made = MadeSearch(tmp_path, objective="set/recall")
    made.one_of_each()
    dashboard = _dashboard(made)
    dashboard.update()
    assert _trials(dashboard.journal)[1].intermediate_values == {11: -1.5}


def test_rungs_that_an_earlier_scheduler_asked_at_are_still_shown(tmp_path: Path) -> None:
    made = MadeSearch(tmp_path, design=described(Search(SPACE, scheduler="none")))
    made.one_of_each()
    dashboard = _dashboard(made)
    dashboard.update()
    assert [trial.intermediate_values for trial in _trials(dashboard.journal)[:2]] == [{11: 0.9, 33: 0.5}, {11: 1.5}]


def test_what_comes_is_added_and_nothing_else_is_written(made: MadeSearch) -> None:
    dashboard = _dashboard(made)
    dashboard.update()
    reader = _opened(dashboard.journal)  # which has the file open in the middle
    before = dashboard.journal.read_bytes()
    dashboard.update()
    assert dashboard.journal.read_bytes() == before
    made.end(5, "finished", 2.5, (0.25, 0.125))
    made.propose(6)
    dashboard.update()
    after = dashboard.journal.read_bytes()
    assert after.startswith(before)
    assert b"00000000000000000000" not in after[len(before) :]  # the key of the first trial
    live = reader.get_trials()
    assert [trial.state.name for trial in live] == [*ENDS[:-1], "COMPLETE", "RUNNING"]
    assert live[5].values == [2.5]
    assert live[5].datetime_complete and live[5].datetime_complete.timestamp() == BEGAN + 10.5
    assert live[5].intermediate_values == {11: 0.25, 33: 0.125}
    dashboard.write_anew(Results.read(made.storage, STUDY))
    assert _trials(dashboard.journal) == live


def test_another_run_goes_on_with_the_file_that_is_there(made: MadeSearch) -> None:
    _dashboard(made).update()
    dashboard = _dashboard(made)
    before = dashboard.journal.read_bytes()
    dashboard.update()
    assert dashboard.journal.read_bytes() == before
    made.end(5, "pruned", rungs=(0.25,))
    dashboard.update()
    assert dashboard.journal.read_bytes().startswith(before)
    assert _states(dashboard.journal) == [*ENDS[:-1], "PRUNED"]


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def _cut_at_a_line(file: Path) -> None:
    file.write_bytes(b"\n".join(file.read_bytes().splitlines()[:8]) + b"\n")


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _garble(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'"op_code":4', b'"op_code:4', 1))


def _other_value(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'"value":3.5', b'"value":1.5', 1))


def _delete_study(file: Path) -> None:
    optuna.delete_study(study_name=STUDY, storage=JournalStorage(JournalFileBackend(str(file))))


def _other_study(file: Path) -> None:
    """As its page does when somebody renames a study: a copy of the old one."""
    storage = JournalStorage(JournalFileBackend(str(file)))
    optuna.copy_study(from_study_name=STUDY, from_storage=storage, to_storage=storage, to_study_name="renamed")


@pytest.mark.parametrize(
    "damage", [Path.unlink, _cut, _cut_at_a_line, _empty, _garble, _other_value, _delete_study, _other_study]
)
@pytest.mark.parametrize("live", [True, False])
def test_a_file_that_was_deleted_cut_off_or_changed_is_made_again(made: MadeSearch, damage: Any, live: bool) -> None:
    dashboard = _dashboard(made)
    dashboard.update()
    whole = _trials(dashboard.journal)
    damage(dashboard.journal)
    dashboard = dashboard if live else _dashboard(made)
    dashboard.update()
    assert _trials(dashboard.journal) == whole
    made.end(5, "finished", 1.0)
    dashboard.update()
    assert _states(dashboard.journal) == [*ENDS[:-1], "COMPLETE"]


def test_what_a_dashboard_writes_stays_and_is_read_by_nobody(made: MadeSearch) -> None:
    dashboard = _dashboard(made)
    dashboard.update()
    theirs = JournalStorage(JournalFileBackend(str(dashboard.journal)))
    theirs.set_study_system_attr(0, "dashboard:note_str:0", "sounds best")
    for mine in (dashboard, _dashboard(made)):
        mine.update()
        study = _opened(dashboard.journal)
        assert study._storage.get_study_system_attrs(0)["dashboard:note_str:0"] == "sounds best"
    theirs.set_trial_state_values(5, TrialState.COMPLETE, [0.0])  # its page can tell how a trial ended
    dashboard.update()
    assert _states(dashboard.journal) == ENDS


def test_a_damaged_proposal_keeps_its_place(made: MadeSearch) -> None:
    made.storage.write(f"{FOLDER}/search/proposals/00002.json", b"{")
    dashboard = _dashboard(made)
    dashboard.update()
    assert _states(dashboard.journal) == ENDS
    trials = _trials(dashboard.journal)
    assert trials[2].user_attrs == {"reason": "the file of this proposal is damaged or missing"}
    assert trials[3].user_attrs["trial"] == made.proposal(3).key


def test_while_a_search_runs_a_thread_brings_it_up_to_date(made: MadeSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musiclab.search.dashboard._EVERY_S", 0.0)
    monkeypatch.setattr("musiclab.search.dashboard._LATEST_S", 0.01)
    dashboard, said = _dashboard(made), list[str]()
    with dashboard.live(said.append):
        wait_until(dashboard.journal.exists, "the journal")
        made.end(5, "finished", 1.0)
        wait_until(lambda: _states(dashboard.journal) == [*ENDS[:-1], "COMPLETE"], "the end")
    assert said == []


def test_a_failure_to_write_it_is_one_line_and_harms_nothing(made: MadeSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musiclab.search.dashboard._EVERY_S", 0.0)
    monkeypatch.setattr("musiclab.search.dashboard._LATEST_S", 0.01)
    dashboard, said, tries = _dashboard(made), list[str](), threading.Semaphore(0)

    def fail(journal: Journal) -> None:
        tries.release()
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", fail)
        with dashboard.live(said.append):
            for _ in range(3):
                assert tries.acquire(timeout=60)
        why = "cannot be written, so optuna-dashboard is behind: OSError: no space left"
        assert said == [f"{dashboard.journal} {why}"]
        dashboard.close(Results.read(made.storage, STUDY), said.append)
        assert len(said) == 2
    dashboard.close(Results.read(made.storage, STUDY), said.append)
    assert len(said) == 2
    assert _states(dashboard.journal) == ENDS


def test_a_search_whose_plan_is_gone_is_said_too(made: MadeSearch) -> None:
    made.storage.remove(f"{FOLDER}/plan.json")
    with pytest.raises(UserError, match=r"plan\.json is missing, damaged, or no search's"):
        _dashboard(made).update()


def test_the_study_says_what_was_asked_confirmed_and_where_verdicts_come_from(made: MadeSearch) -> None:
    dashboard = _dashboard(made)
    dashboard.update()
    notes = _opened(dashboard.journal).user_attrs
    assert notes["question"] == "Which is best?"
    assert "verdicts come from the confirmation" in notes["scores"]
    assert "confirmed" not in notes
    made.confirm(0)
    dashboard.close(Results.read(made.storage, STUDY), pytest.fail)
    notes = _opened(dashboard.journal).user_attrs
    assert notes["confirmed"] == ["proposal 0"]
    assert notes["confirmed winner"] == "none: no proposal was shown to be better than the control"


def test_the_command_writes_it_anew_and_says_how_to_open_it(made: MadeSearch, capsys: Any) -> None:
    assert search([made.storage.root]) == 0
    said = capsys.readouterr().out.splitlines()
    journal = Path(made.storage.root, FOLDER, "search/optuna.journal")
    assert said[0] == "made: 6 proposals, 5 ended"
    assert said[1].startswith(f"  optuna-dashboard {journal} --artifact-dir {journal.with_name('artifacts')}")
    assert _states(journal) == ENDS


def test_the_command_refuses_a_study_that_is_no_search(tmp_path: Path, made: MadeSearch, capsys: Any) -> None:
    made_study(tmp_path / "other", {"8": [{"set/frechet": 1.0}]}, name="other")
    with pytest.raises(UserError, match="other is no search; name a study whose space is a Search"):
        search([str(tmp_path / "other")])
    assert search([str(tmp_path / "other"), made.storage.root]) == 0
    both = capsys.readouterr()
    assert both.err.startswith("other is no search")
    assert "made: 6 proposals" in both.out


def test_lines_are_optunas_own(made: MadeSearch) -> None:
    dashboard = _dashboard(made)
    dashboard.update()
    lines = [json.loads(line) for line in dashboard.journal.read_text().splitlines()]
    assert Counter(line["op_code"] for line in lines)[4] == len(ENDS)  # trials, one line each
    assert not any(math.isnan(value) for line in lines for value in line.get("user_attrs", {}).values()
                   if isinstance(value, float))  # fmt: skip
