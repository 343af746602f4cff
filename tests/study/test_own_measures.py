"""A study that brings measures: what they score, who needs their file, what an edit runs again, and how they fail."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from musiclab import Grid, Study
from musiclab.cli.main import main
from musiclab.measures import measure
from musiclab.storage.documents import verified
from musiclab.study import session
from tests.study.test_python import NoMirror
from tests.support.kept import empty
from tests.support.study_processes import Run, copied, run_study

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "own_measure.py"
TINY = ["width=4", "max_train=64", "max_eval=32", "starts=8", "continuation=2"]
# The example fixes how long it trains, so that is shortened in its text.
EPOCHS = {'"vae_epochs": 20': '"vae_epochs": 1', '"latent_epochs": 20': '"latent_epochs": 1'}
FIFTHS, LEAP = "own/parallel_fifths", "own/leap"


def _written(file: Path, *changes: tuple[str, str]) -> Path:
    """The example, shortened and changed."""
    text = EXAMPLE.read_text()
    for old, new in (*EPOCHS.items(), *changes):
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    return file


@pytest.fixture(scope="module")
def own_options(song_folder: Path) -> list[str]:
    return ["--data", f"midi:{song_folder}", "--blocks", "1", *(part for each in TINY for part in ("--set", each))]


@pytest.fixture(scope="module")
def own(own_options: list[str], database: Path, once: Callable[..., Run]) -> Run:
    """The example, run in one process from a file that is gone afterwards, not to be changed."""

    def make(folder: Path) -> Run:
        file = _written(folder / "own_measure.py")
        run = run_study(*own_options, "--in-process", storage=empty(folder, database), file=file)
        file.unlink()
        return run

    return once("own measure", make)


def _commanded(*words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert not ended.value.code, words


@pytest.mark.slow
def test_all_that_a_measure_of_musiclabs_has(own: Run) -> None:
    assert len(own.records) == 3
    for text in own.records.values():
        record = json.loads(text)
        for name in (FIFTHS, LEAP):
            assert name in record["measures"]
            kinds = {each.removeprefix(name) for each in record["baselines"] if each.startswith(name)}
            assert kinds == {"", ".floor", ".shuffled", ".random"}
        assert len({record["baselines"][f"{LEAP}{kind}"] for kind in ("", ".shuffled", ".random")}) >= 2
    (plan,) = own.storage.glob("studies/parallel_fifths/*/plan.json")
    saved = verified(plan.read_bytes())
    title = "Parallel fifths where two voices move"
    assert saved["measures"][0] == {
        "name": "parallel_fifths",
        "unit": "share",
        "better": "real",
        "title": title,
        "place": "own_measure.py: parallel_fifths",
    }
    assert {FIFTHS, LEAP} <= saved["code"].keys()
    assert "\nown/parallel_fifths" in own.out and "\nown/leap" in own.out
    # No two voices of these songs move together, so there is nothing that music should be near.
    assert "No finished trial has a value of parallel_fifths, so there is no answer. Change own_measure.py: " in own.out
    assert "for real music, to which it should be near." in own.out and "own_measure.py: leap gave no" not in own.out
    header = plan.with_name("results.csv").read_text().partition("\n")[0].split(",")
    assert {FIFTHS, LEAP} <= set(header)


@pytest.mark.slow
def test_who_reads_records_needs_no_code(own: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = tmp_path / "storage"
    copied(own.storage, storage)
    (page,) = storage.glob("studies/parallel_fifths/*/report.html")
    page.unlink()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for words in (["report"], ["sync"], ["clean"]):
        _commanded(*words, str(storage))
    text = page.read_text()
    assert "The study&#39;s own measures" in text and "How far the top voice moves at a time" in text
    _commanded("generate", "vae_nn", "--storage", str(storage), "--out", str(tmp_path), "--samples", "1")
    assert (tmp_path / "vae_nn-1.mid").is_file()
    client = mlflow.MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("musiclab/parallel_fifths")
    runs = client.search_runs([experiment.experiment_id])
    assert sum(LEAP in run.data.metrics for run in runs) == 6  # three trials, three variants


@pytest.mark.slow
def test_an_edit_measures_again_and_a_comment_does_not(own: Run, own_options: list[str], tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    copied(own.storage, storage)
    again = ("    piano = rolls[:, 1]\n", "    piano = rolls[:, 1]  # which is the soprano of a chorale\n")
    plan = run_study(*own_options, "--plan", storage=storage, file=_written(tmp_path / "renamed.py", again))
    assert "3 trials: 3 done, 0 to run" in plan.out
    edited = _written(tmp_path / "own_measure.py", ("return distance[", "return 2 * distance["))
    plan = run_study(*own_options, "--plan", storage=storage, file=edited)
    assert "3 trials: 0 done, 3 to run" in plan.out
    for stage in ("vae", "latent", "generate"):
        assert f"stage {stage}: is done already, nothing runs" in plan.out
    assert (
        "3 records from an earlier run cannot be reused (they are kept): the code of own_measure.py has changed."
        in plan.out
    )
    baselines, trials = set(storage.glob("scales/*")), set(storage.glob("trials/*/run.json"))
    run = run_study(*own_options, "--in-process", storage=storage, file=edited)
    seconds = [json.loads(file.read_text())["seconds"] for file in set(storage.glob("trials/*/run.json")) - trials]
    assert [each.keys() & {"vae", "latent", "generate", "measure"} for each in seconds] == [{"measure"}] * 3
    # Of its own baselines, which one trial works out; those of the other measure in the file and of musiclab's stay.
    assert len(set(storage.glob("scales/*")) - baselines) == sum("baselines" in each for each in seconds) == 1
    records = (own.records, {key: record for key, record in run.records.items() if key not in own.records})
    before, after = (json.loads(next(iter(each.values())))["baselines"] for each in records)
    for name, value in before.items():
        doubled = name.startswith(LEAP) and value is not None
        assert after[name] == (pytest.approx(2 * value) if doubled else value), name
    fewer = (", measures=(leap,)", "")
    plan = run_study(*own_options, "--plan", storage=storage, file=_written(tmp_path / "renamed.py", fewer))
    assert "(they are kept): own/leap is measured no more." in plan.out


@pytest.mark.long
def test_the_records_of_ray_are_those_of_one_process(
    own: Run, own_options: list[str], storage: Path, tmp_path: Path
) -> None:
    """By reference, so that workers get a module which they cannot import."""
    _written(tmp_path / "own_measure.py")
    file = tmp_path / "elsewhere" / "study.py"
    file.parent.mkdir()
    _written(
        file, ("objective=parallel_fifths", f"objective={f'{tmp_path}/own_measure.py:parallel_fifths'!r}"),
        ("measures=(leap,)", f"measures=({f'{tmp_path}/own_measure.py:leap'!r},)"),
    )  # fmt: skip
    run = run_study(*own_options, "--workers", "2", storage=storage, file=file)
    assert run.records == own.records


@measure(unit="share", better="higher", title="Fails on what is generated")
def fails(rolls):
    if SEEN:
        return 1 / 0
    return rolls.mean()


@measure(unit="share", better="higher", title="Never any value")
def never(rolls):
    return float("nan")


SEEN: list[int] = []


def test_a_measure_that_raises_fails_the_trial_and_nan_is_no_value(
    song_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "Mirror", NoMirror)
    values = {name: int(value) for name, value in (each.split("=") for each in TINY)}
    keywords: dict[str, Any] = {"data": f"midi:{song_folder}", "storage": tmp_path, "in_process": True, "set": values}
    good = {"name": "q", "question": "?", "system": "vae_nn", "space": {"noise_sd": Grid(0.5, 1.0)}, "blocks": 1}
    good |= {"control": {"noise_sd": 0.5}, "fixed": {"vae_epochs": 1, "latent_epochs": 1}}
    results = Study(**good, objective=never).run(**keywords)
    assert results.failures == ()
    assert str(results.answer).startswith(
        "No finished trial has a value of never, so there is no answer. Change test_own_measures.py: never, or the "
        "data, and run the study again; only what that changes is done anew."
    )
    assert "test_own_measures.py: never gave no value (NaN) for 2 of 2 finished trials." in str(results.answer)
    stages = {file: file.stat().st_mtime_ns for file in tmp_path.glob("stages/*/done")}
    SEEN.append(1)
    results = Study(**good, objective=fails).run(**keywords)
    SEEN.clear()
    place = "test_own_measures.py: fails raises ZeroDivisionError: division by zero (test_own_measures.py, line "
    assert [trial.reason.startswith(place) for trial in results.failures] == [True, True]
    # Mended, or only run again, it is measured; nothing is trained again.
    mended = Study(**good, objective=fails).run(**keywords)
    assert mended.failures == () and list(mended.frame()["own/fails"].notna()) == [True, True]
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("stages/*/done")} == stages
