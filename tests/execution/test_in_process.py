"""Studies in one process: what they leave, what they do not do again, and what a kill costs."""

import json
from pathlib import Path
from typing import Any

import pytest

from musiclab.execution.trial import TrialRunner
from musiclab.hashing import content_hash
from musiclab.storage.files import Storage
from musiclab.storage.leases import Lease
from tests.support.kept import Kept
from tests.support.study_processes import Run, files, kill, paused_study, run_study

pytestmark = pytest.mark.slow

_NOISE = """
from musiclab.study import Grid, Study

if __name__ == "__main__":
    Study(
        name="noise", system="vae_nn", space={"noise_sd": Grid(0.0, 0.5, 2.0)}, control={"noise_sd": 0.5},
        blocks=2, objective="frechet",
    ).main()
"""

_ALONE = """
from musiclab.study import Grid, Study

if __name__ == "__main__":
    Study(
        name="alone", system="vae_nn", space={"latent_dim": Grid(16)}, control={"latent_dim": 16},
        blocks=1, objective="frechet",
    ).main()
"""


def test_a_trial_leaves_its_record_and_its_samples(finished: Run) -> None:
    assert len(finished.records) == 4
    begins = {".mid": b"MThd", ".png": b"\x89PNG", ".mp3": (b"ID3", b"\xff\xfb", b"\xff\xf3")}
    for key, data in finished.records.items():
        record, folder = json.loads(data), finished.storage / "trials" / key
        assert record["key"] == key
        assert record["stages"]["measure"] == key
        assert record["measures"]["set/frechet"] > 0
        samples = {file.name: file.read_bytes() for file in (folder / "samples").iterdir()}
        silent = {f"start-{number}{kind}" for number in (1, 2, 3, 4) for kind in (".mid", ".png")}
        assert set(samples) == silent | {"start-1.mp3"}
        cost = json.loads((folder / "run.json").read_bytes())
        assert {Path(name).suffix for name in record["samples"]} == {".mid"}, "what is exact stands in the record"
        checksums = record["samples"] | cost["checksums"]
        for name, sample in samples.items():
            assert sample.startswith(begins[Path(name).suffix]), name
            assert checksums.pop(name) == content_hash(sample.hex())
        assert not checksums
    assert [cost["device"] for cost in finished.costs] == ["cpu"] * 4


def test_all_trials_of_a_block_are_read_on_one_scale_and_their_windows_are_counted(finished: Run) -> None:
    (file,) = (finished.storage / "scales").iterdir()
    scale = json.loads(file.read_text())
    assert ["baselines" in cost["seconds"] for cost in finished.costs].count(True) == 1, "worked out once"
    for data in finished.records.values():
        record = json.loads(data)
        assert record["baselines"] == scale["values"]
        assert record["histograms"]["real"] == scale["histograms"]
        for kind, count in (("generated", 16), ("real", record["data"]["windows"]["reference"])):
            assert sum(record["histograms"][kind]["tracks"]) == count
        assert {"set/precision", "set/training_similarity", "music/self_similarity_4"} <= record["measures"].keys()


def test_a_scale_that_is_there_is_not_worked_out_again(
    finished: Run, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("worked out again")

    lost = next(iter(finished.records))
    (kept.path / "trials" / lost / "record.json").unlink()
    monkeypatch.setattr("musiclab.execution.trial.real_baselines", never)
    plan = json.loads(kept.plan.read_text())
    (cell,) = (cell for cell in plan["trials"] if cell["stages"][-1][1] == lost)
    _work(kept.path, cell)
    assert (kept.path / "trials" / lost / "record.json").read_bytes() == finished.records[lost]
    # And without it, it comes out the same.
    monkeypatch.undo()
    (file,) = (kept.path / "scales").iterdir()
    (kept.path / "trials" / lost / "record.json").unlink()
    before = file.read_bytes()
    file.unlink()
    _work(kept.path, cell)
    assert file.read_bytes() == before
    assert (kept.path / "trials" / lost / "record.json").read_bytes() == finished.records[lost]


@pytest.mark.parametrize("leads", [True, False])
def test_only_the_first_trial_of_a_block_works_out_its_scale_before_it_trains(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, leads: bool
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no training today")

    monkeypatch.setattr("musiclab.systems.base.System.run_stage", fail)
    cell = json.loads(kept.plan.read_text())["trials"][0]
    (file,) = (kept.path / "scales").iterdir()
    file.unlink()
    (kept.path / "trials" / cell["stages"][-1][1] / "record.json").unlink()
    (kept.path / "stages" / cell["stages"][0][1] / "done").unlink()
    _work(kept.path, cell, leads)
    assert (kept.path / "trials" / cell["stages"][-1][1] / "failed.json").exists()
    assert file.exists() == leads


def _work(folder: Path, cell: dict[str, Any], leads: bool = True) -> None:
    """What a worker does with a cell while a study is run."""
    with Lease(Storage(str(folder)), "studies/latent_dim/runner").take() as lease:
        TrialRunner(str(folder), lease.name)(cell, leads)


def test_a_worker_that_is_handed_a_finished_trial_leaves_it_alone(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> None:
        raise AssertionError("ran again")

    monkeypatch.setattr("musiclab.execution.trial._run", run)
    plan = json.loads(kept.plan.read_text())
    _work(kept.path, plan["trials"][0])
    assert not list(kept.path.glob("trials/*/failed.json"))


def test_the_answer_names_every_variant_and_says_that_one_block_shows_nothing(finished: Run) -> None:
    assert all(f"latent_dim={size}" in finished.table for size in (8, 16, 32, 64))
    assert "Underpowered by design: with 1 block and 3 comparisons" in finished.table


def test_only_what_is_missing_runs_and_finished_stages_serve(finished: Run, kept: Kept, options: list[str]) -> None:
    lost = next(key for key, data in finished.records.items() if json.loads(data)["config"]["latent_dim"] == 32)
    (kept.path / "trials" / lost / "record.json").unlink()
    before = {part: files(kept.path / part) for part in ("trials", "stages")}
    again = run_study(*options, "--in-process", "--blocks", "2", storage=kept.path)
    assert "3 of 8 trials done, 1 trained already, 4 new" in again.out
    assert len(again.records) == 8
    # Block 0 as it was, to the bit, and no file of its stages or of its other trials written again.
    assert {key: again.records[key] for key in finished.records} == finished.records
    assert files(kept.path / "stages").items() >= before["stages"].items()
    others = {name: time for name, time in before["trials"].items() if not name.startswith(lost)}
    assert files(kept.path / "trials").items() >= others.items()
    cost = json.loads((kept.path / "trials" / lost / "run.json").read_text())
    assert cost["reused"] == ["vae", "latent", "generate"]
    assert list(cost["seconds"]) == ["measure", "samples"]


def test_variants_that_differ_in_generation_only_share_one_training_a_block(
    storage: Path, options: list[str], tmp_path: Path
) -> None:
    study = tmp_path / "noise.py"
    study.write_text(_NOISE)
    asked = [*options, "--blocks", "2"]
    plan = run_study(*asked, "--plan", storage=storage, file=study).out
    assert "stage vae: runs 2 times for 6 trials" in plan
    assert "stage generate: runs 6 times for 6 trials" in plan
    run = run_study(*asked, "--in-process", storage=storage, file=study)
    for stage, times in {"vae": 2, "latent": 2, "generate": 6, "measure": 6}.items():
        assert sum(stage in cost["seconds"] for cost in run.costs) == times, stage
    generated = {json.loads(data)["samples"]["start-1.mid"] for data in run.records.values()}
    assert len(generated) == 6
    longer = run_study(*asked, "--plan", "--set", "continuation=3", storage=storage, file=study).out
    assert "0 done, 6 to run" in longer
    assert "Nothing is trained: all models exist already." in longer


def test_a_study_takes_the_networks_that_another_one_has_trained(
    finished: Run, kept: Kept, options: list[str], tmp_path: Path
) -> None:
    study = tmp_path / "noise.py"
    study.write_text(_NOISE)
    plan = run_study(*options, "--plan", storage=kept.path, file=study).out
    assert "stage vae: is done already, nothing runs for 2 trials" in plan
    assert "Nothing is trained: all models exist already." in plan
    run = run_study(*options, "--in-process", storage=kept.path, file=study)
    new = [cost for cost in run.costs if cost not in finished.costs]
    # The trial of noise_sd 0.5 is one of latent_dim's own; the other two have continued, and trained nothing.
    assert "1 of 3 trials done, 2 trained already" in run.out
    assert [list(cost["seconds"]) for cost in new] == [["generate", "measure", "samples"]] * 2
    assert [cost["reused"] for cost in new] == [["vae", "latent"]] * 2


def test_a_plan_starts_nothing_and_counts_right(finished: Run, options: list[str], tmp_path: Path) -> None:
    fresh = run_study(*options, "--plan", storage=tmp_path)
    assert "4 variants x 1 blocks = 4 trials: 0 done, 4 to run" in fresh.out
    assert files(tmp_path) == {}
    before = files(finished.storage)
    # Python says what it imports: neither what runs trials nor what follows them.
    environment = {"PYTHONPROFILEIMPORTTIME": "1"}
    more = run_study(*options, "--plan", "--blocks", "3", storage=finished.storage, env=environment)
    assert "4 variants x 3 blocks = 12 trials: 4 done, 8 to run" in more.out
    assert "latent_dim=16 (control): 1 done, 2 to run" in more.out
    assert "stage vae: runs 8 times for 8 trials" in more.out
    assert files(finished.storage) == before
    imported = {line.rpartition("|")[2].strip() for line in more.err.splitlines() if line.startswith("import time:")}
    assert "musiclab.study.forecast" in imported
    assert imported.isdisjoint({"ray", "mlflow"})


def test_a_trial_alone_in_another_storage_leaves_the_same_record(
    finished: Run, storage: Path, options: list[str], tmp_path: Path
) -> None:
    study = tmp_path / "alone.py"
    study.write_text(_ALONE)
    alone = run_study(*options, "--in-process", storage=storage, file=study)
    assert len(alone.records) == 1
    assert alone.records.items() <= finished.records.items()
    assert set(alone.costs[0]["seconds"]) == {"baselines", "vae", "latent", "generate", "measure", "samples"}


def test_held_out_songs_are_never_trained_on(finished: Run, song_folder: Path) -> None:
    records = [json.loads(data) for data in finished.records.values()]
    assert len({record["data"]["split"] for record in records}) == 1  # one block, one split
    data = records[0]["data"]
    split = json.loads((finished.storage / "splits" / f"{data['split']}.json").read_text())
    songs = [song for part in split.values() for song in part]
    assert set(split) == {"train", "validation", "test"}
    assert all(split.values())
    assert len(songs) == len(set(songs))
    assert set(songs) == {file.stem for file in song_folder.iterdir()}
    assert data["songs"] == {part: len(names) for part, names in split.items()}
    # Each song has six windows: those trained on are the training songs' and no others, those judged by held out.
    assert data["windows"]["train"] == 6 * len(split["train"])
    assert data["windows"]["reference"] <= 6 * len(split["test"])


@pytest.mark.long
def test_a_killed_study_goes_on_from_its_checkpoint(
    undisturbed: Run, storage: Path, long_study: Path, long_options: list[str]
) -> None:
    # A trial trains twice, so this is in the first training of the second one.
    process = paused_study(*long_options, storage=storage, file=long_study, curves=3)
    records, checkpoints = storage / "trials", storage / "stages"
    assert [*records.glob("*/record.json")]
    (checkpoint,) = checkpoints.glob("*/checkpoint.safetensors")
    kill(process.pid)
    process.communicate()
    assert len([*records.glob("*/record.json")]) == 1
    (first,) = records.glob("*/record.json")
    before, curves = files(first.parent), json.loads((checkpoint.parent / "curves.json").read_text())

    run = run_study(*long_options, "--in-process", storage=storage, file=long_study)
    assert "1 of 2 trials done, 1 resumes from epoch " in run.out
    assert run.records == undisturbed.records
    assert files(first.parent) == before
    # It went on, and did not start again: the points from before the kill still carry their times.
    assert json.loads((checkpoint.parent / "curves.json").read_text())[: len(curves)] == curves
    assert not checkpoint.exists()
