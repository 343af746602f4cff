"""The MLflow mirror: the tree it builds, and that nothing is lost or doubled whichever process dies."""

import json
import math
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from musiclab import tracking
from musiclab.storage.documents import verified, with_checksum
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.study import Grid, Study
from musiclab.systems.gan.learner import GanLearner
from musiclab.training.epoch import Epoch
from tests.support.kept import Kept
from tests.support.mlflow_contents import assert_level, logged, role, study_runs
from tests.support.mlflow_servers import MlflowServer, sqlite
from tests.support.study_processes import Run, descendants, ended, kill, paused_study, resume, run_study
from tests.support.waiting import run_to_end, wait_until

pytestmark = pytest.mark.slow


def test_the_tree_has_the_study_its_variants_and_their_trials(finished: Run) -> None:
    client, runs = study_runs(f"sqlite:///{finished.storage / 'mlflow.db'}", "latent_dim")
    (study,) = role(runs, "study")
    assert "Claim C1" in study.data.tags["mlflow.note.content"]
    assert "Best mean: " in study.data.tags["mlflow.note.content"]
    assert {"answer.txt", "plan.json"} <= {file.path for file in client.list_artifacts(study.info.run_id)}
    variants = {run.info.run_name: run for run in role(runs, "variant")}
    assert set(variants) == {f"latent_dim={size}" for size in (8, 16, 32, 64)}
    records = {json.loads(data)["config"]["latent_dim"]: json.loads(data) for data in finished.records.values()}
    for name, variant in variants.items():
        record = records[int(variant.data.params["latent_dim"])]
        assert variant.data.tags["mlflow.parentRunId"] == study.info.run_id
        assert (variant.data.params["system"], variant.data.params["form"]) == ("vae_nn", "mended")
        assert variant.data.metrics["set/frechet"] == pytest.approx(record["measures"]["set/frechet"])
        (trial,) = [run for run in role(runs, "trial") if run.data.tags["mlflow.parentRunId"] == variant.info.run_id]
        assert trial.info.run_name == f"{name}, block 0"
        assert trial.data.params["block"] == "0"
        assert trial.data.params["width"] == "4"
        for measure, value in record["measures"].items():
            assert trial.data.metrics.get(measure) == (value if value is None else pytest.approx(value)), measure
        samples = {file.path for file in client.list_artifacts(trial.info.run_id, "samples")}
        silent = {f"samples/start-{n}.{kind}" for n in range(1, 5) for kind in ("mid", "png")}
        assert samples == silent | {"samples/start-1.mp3"}
        assert {file.path for file in client.list_artifacts(trial.info.run_id)} >= {"record.json", "run.json"}
    assert {variant.data.tags["musiclab.comparison"] for variant in variants.values()} == {"control", "variant"}
    verdicts = {name: variant.data.tags.get("musiclab.verdict") for name, variant in variants.items()}
    control = verdicts.pop("latent_dim=16")
    assert (control, set(verdicts.values())) == (None, {"underpowered (needs at least 7 blocks)"})
    assert "nothing can be shown yet for " in study.data.tags["mlflow.note.content"]
    for name in verdicts:
        metrics = variants[name].data.metrics
        assert metrics["set/frechet.improvement"] == (metrics["set/frechet.minus_control"] < 0)
        assert metrics["set/frechet.improvement.low"] < metrics["set/frechet.improvement.high"]
    assert_level(finished, f"sqlite:///{finished.storage / 'mlflow.db'}", "latent_dim")


@pytest.mark.long
def test_a_dead_server_costs_nothing_and_has_all_of_it_once_it_lives(
    undisturbed: Run, storage: Path, database: Path, long_study: Path, long_options: list[str], tmp_path: Path
) -> None:
    server = sqlite(tmp_path / "server", database)
    asked = [*long_options, "--in-process"]
    # The address by environment here, by option everywhere else.
    environment = {"MLFLOW_TRACKING_URI": server.uri}
    alone = run_study(*asked, storage=storage, file=long_study, env=environment)
    assert alone.records == undisturbed.records
    assert alone.err.count(f"MLflow at {server.uri}: nothing listens there") == 1
    assert f"MLflow at {server.uri} is behind (" in alone.out
    server.start()
    try:
        again = run_study(*asked, storage=storage, file=long_study, env=environment)
        assert "2 of 2 trials done\n" in again.out
        assert f"the study {server.uri}/#/experiments/" in again.out
        assert_level(again, server.uri, "long")
    finally:
        server.end()


@pytest.mark.long
def test_a_server_killed_in_the_middle_misses_no_point_and_doubles_none(
    undisturbed: Run, storage: Path, database: Path, long_study: Path, long_options: list[str], tmp_path: Path
) -> None:
    server = sqlite(tmp_path / "server", database)
    server.start()
    try:
        asked = [*long_options, "--in-process", "--tracking-uri", server.uri]
        process = paused_study(*asked, storage=storage, file=long_study)
        wait_until(lambda: logged(server.uri, "long"), "the first points of a curve")
        server.kill()
        resume(process)
        cut = ended(process, storage)
        assert cut.records == undisturbed.records
        assert f"MLflow at {server.uri} is behind (" in cut.out
        server.start()
        again = run_study(*asked, storage=storage, file=long_study)
        assert again.records == undisturbed.records
        assert_level(again, server.uri, "long")
    finally:
        server.end()


@pytest.mark.long
def test_a_mirror_killed_in_the_middle_is_made_up_for(
    undisturbed: Run, storage: Path, long_study: Path, long_options: list[str]
) -> None:
    uri, asked = f"sqlite:///{storage / 'mlflow.db'}", [*long_options, "--in-process"]
    process = paused_study(*asked, storage=storage, file=long_study)
    wait_until(lambda: logged(uri, "long"), "the first points of a curve")
    (follower,) = descendants(process.pid, "musiclab.tracking")
    kill(follower)
    resume(process)
    cut = ended(process, storage)
    assert cut.records == undisturbed.records
    assert "is behind (" in cut.out
    again = run_study(*asked, storage=storage, file=long_study)
    assert_level(again, uri, "long")


def test_points_go_in_batches(finished: Run, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, batch = Counter(), MlflowClient.log_batch

    def counted(client: MlflowClient, run_id: str, metrics: Any = (), **rest: Any) -> None:
        calls["batches"] += 1
        calls["points"] += len(metrics)
        batch(client, run_id, metrics=metrics, **rest)

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a call for each value")

    monkeypatch.setattr(MlflowClient, "log_batch", counted)
    monkeypatch.setattr(MlflowClient, "log_metric", refused)
    monkeypatch.setattr(MlflowClient, "log_param", refused)
    follower = kept.follower()
    follower.round()
    assert calls["points"] > 200
    assert calls["batches"] <= 4 * 9  # for each of nine runs: params, curves, results, tags
    assert_level(finished, kept.uri, "latent_dim")
    calls.clear()
    follower.round()
    assert not calls["points"]  # and nothing again


def test_the_report_is_among_the_artifacts_and_is_put_there_anew_only_when_it_has_changed(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = kept.plan.parent
    names = ("report.html", "results.csv", "results.json", "table.tex")
    put, artifacts = [], LocalArtifactRepository.log_artifacts

    def counted(repository: LocalArtifactRepository, local: str, *rest: Any) -> None:
        put.extend(file.name for file in Path(local).iterdir() if file.name in names)
        artifacts(repository, local, *rest)

    monkeypatch.setattr(LocalArtifactRepository, "log_artifacts", counted)
    for name in names[1:]:
        (folder / name).write_text(name)
    (folder / names[0]).unlink(missing_ok=True)
    kept.follower().round(last=True)
    assert put == []  # the page comes last: without it the others are not whole
    (folder / names[0]).write_text("a page")
    kept.follower().round()
    assert put == []  # the study may not be over
    kept.follower().round(last=True)
    assert sorted(put) == sorted(names)
    kept.follower().round(last=True)
    assert len(put) == 4
    (folder / names[0]).write_text("another page")
    kept.follower().round(last=True)
    assert len(put) == 8
    client, runs = study_runs(kept.uri, "latent_dim")
    (study,) = role(runs, "study")
    page = client.download_artifacts(study.info.run_id, "report.html", str(tmp_path))
    assert Path(page).read_text() == "another page"


def test_an_answer_of_fewer_blocks_takes_the_place_of_one_of_more(kept: Kept) -> None:
    """MLflow shows the point of the largest step as the value: it must be the newest answer's."""
    plan, records = verified(kept.plan.read_bytes()), kept.path / "trials"
    more = []
    for cell in plan["trials"]:  # a second block, of the same trials with other values
        key = f"{cell['stages'][-1][1]}b"
        other = json.loads(json.dumps(cell)) | {"block": {"seed": 0, "index": 1}}
        other["stages"][-1][1] = key
        more.append(other)
        shutil.copytree(records / key[:-1], records / key)
        record = verified((records / key / "record.json").read_bytes())
        record["measures"]["set/frechet"] *= 3
        (records / key / "record.json").write_bytes(with_checksum(record))
    kept.write_plan(trials=plan["trials"] + more, sequential=True, blocks=2)
    kept.follower().round(last=True)
    two = _objectives(kept.uri)
    for variant in role(study_runs(kept.uri, "latent_dim")[1], "variant"):  # from the second block on
        metrics = variant.data.metrics
        assert metrics["set/frechet.low"] < metrics["set/frechet"] < metrics["set/frechet.high"]
    kept.write_plan(**plan)
    kept.follower().round(last=True)
    one = _objectives(kept.uri)
    assert two == {name: pytest.approx(2 * value) for name, value in one.items()}
    kept.write_plan(sequential=True)
    kept.follower().round(last=True)
    (study,) = role(study_runs(kept.uri, "latent_dim")[1], "study")
    assert "Blocks were added" in study.data.tags["mlflow.note.content"]  # the same trials on other terms


def test_no_run_is_left_running_when_a_study_ends_early(finished: Run, kept: Kept, tmp_path: Path) -> None:
    storage, key = kept.path, kept.keys[0]
    (storage / "trials" / key).rename(tmp_path / "away")  # its stages, with their curves, stay
    kept.follower().round(last=True)
    _, runs = study_runs(kept.uri, "latent_dim")
    assert Counter(run.info.status for run in runs) == {"FINISHED": len(runs) - 2, "KILLED": 2}
    cut = {run.data.tags["musiclab.role"]: run for run in runs if run.info.status == "KILLED"}
    assert cut["trial"].data.tags["musiclab.key"] == key
    assert cut["trial"].data.tags["mlflow.parentRunId"] == cut["variant"].info.run_id  # which has no other block
    (tmp_path / "away").rename(storage / "trials" / key)
    kept.follower().round(last=True)
    assert_level(finished, kept.uri, "latent_dim")


def test_a_follower_killed_between_two_calls_is_made_up_for(
    finished: Run, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call in turn is the last that came through; the answer to it is lost."""
    calls = ("create_experiment", "create_run", "log_batch", "set_terminated", "set_tag")
    lost = iter(range(1, 60, 3))

    def losing(call: Any) -> Any:
        def lose(*arguments: Any, **rest: Any) -> Any:
            nonlocal left
            value = call(*arguments, **rest)
            left -= 1
            if left == 0:
                raise MlflowException("the answer was lost")
            return value

        return lose

    left = next(lost)
    for name in calls:
        monkeypatch.setattr(MlflowClient, name, losing(getattr(MlflowClient, name)))
    monkeypatch.setattr(LocalArtifactRepository, "log_artifacts", losing(LocalArtifactRepository.log_artifacts))
    follower, times = kept.follower(), 0
    while True:
        try:
            follower.round()
            break
        except MlflowException:
            times += 1
            left = next(lost)
            follower = follower if times % 2 else kept.follower()  # the same one goes on, or a new one starts over
    assert times > 5
    assert_level(finished, kept.uri, "latent_dim")


def test_a_trial_that_failed_and_then_went_well_is_level(finished: Run, kept: Kept) -> None:
    key = kept.keys[0]
    file = kept.path / "trials" / key / "record.json"
    record = file.read_bytes()
    file.unlink()
    Records(Storage(str(kept.path))).put_failure(key, "no luck", "no luck", again=False)
    kept.follower().round()
    (failed,) = [run for run in study_runs(kept.uri, "latent_dim")[1] if run.info.status == "FAILED"]
    assert failed.data.tags["musiclab.failure"] == "no luck"
    again = kept.follower()  # that of the study's next run, which finds the failure and then the record
    again.round()
    file.write_bytes(record)
    file.with_name("failed.json").unlink()
    again.round(last=True)
    assert_level(finished, kept.uri, "latent_dim")


def test_a_trial_that_diverged_is_failed_and_keeps_its_curves(
    storage: Path, song_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    learn = GanLearner.epoch

    def epoch(learner: GanLearner, epoch: Epoch) -> dict[str, float]:
        lost = {"train/d_loss": math.inf} if learner.run.config.ttur == 2 and epoch.number == 1 else {}
        return learn(learner, epoch) | lost

    monkeypatch.setattr(GanLearner, "epoch", epoch)
    study = Study(
        name="diverging", system="gan", space={"ttur": Grid(1.0, 2.0)}, control={"ttur": 1.0}, blocks=1,
        objective="frechet", question="?", fixed={"width": 2, "epochs": 3, "max_eval": 32, "starts": 8},
    )  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        study.main(["--data", f"midi:{song_folder}", "--storage", str(storage), "--in-process"])
    assert ended.value.code == 1
    reason = "diverged: train/d_loss is not finite after epoch 2"
    assert f"failed: ttur=2.0, block 0: {reason} (log: " in capsys.readouterr().out
    (failed,) = [
        run for run in study_runs(f"sqlite:///{storage}/mlflow.db", "diverging")[1] if run.info.status == "FAILED"
    ]
    assert failed.data.tags["musiclab.failure"] == reason
    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    for name, steps in (("train/g_loss", [1, 2]), ("train/d_loss", [1]), ("train/diversity_ratio", [1, 2])):
        assert [point.step for point in client.get_metric_history(failed.info.run_id, name)] == steps


def test_a_password_is_not_shown() -> None:
    assert tracking.masked("postgresql://me:secret@host/db x") == "postgresql://***@host/db x"
    assert tracking.masked("sqlite:////folder/mlflow.db") == "sqlite:////folder/mlflow.db"
    assert tracking.masked("http://me:p@ss:w@rd@host:5000, http://host/a@b") == "http://***@host:5000, http://host/a@b"


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium here")
def test_the_compare_page_answers_the_question(
    kept: Kept, server: MlflowServer, options: list[str], tmp_path: Path
) -> None:
    run = run_study(*options, "--in-process", "--tracking-uri", server.uri, storage=kept.path)
    (link,) = [line.split()[-1] for line in run.out.splitlines() if "the variants compared" in line]
    page = _browse(link, tmp_path)
    for size in (8, 16, 32, 64):
        assert f"latent_dim={size}" in page
    # The page opens on what the study asks: the swept field against the objective.
    axes = re.findall(r'class="axis-title"[^>]*>([^<]+)<', page)
    assert axes == ["latent_dim", "set/frechet"]
    (link,) = [line.split()[-1] for line in run.out.splitlines() if "the study http" in line]
    page = _browse(link, tmp_path)
    assert "Claim C1" in page
    assert "Underpowered by design" in page


def _objectives(uri: str) -> dict[str, float]:
    """What MLflow shows of each variant."""
    variants = role(study_runs(uri, "latent_dim")[1], "variant")
    return {run.info.run_name: run.data.metrics["set/frechet"] for run in variants}


def _browse(link: str, folder: Path) -> str:
    """The page's text as the browser has it after its scripts have run."""
    done = run_to_end(
        [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage",
            f"--user-data-dir={folder / 'profile'}", "--window-size=1600,1200", "--virtual-time-budget=30000",
            f"--screenshot={folder / 'page.png'}", "--dump-dom", link,
        ]
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
