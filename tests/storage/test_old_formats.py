"""Storages of earlier formats: every command works on them, and loses nothing of them."""

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from musiclab.cli import main as cli
from musiclab.data.midi import Midi
from musiclab.data.windows import WindowSpec, cut
from musiclab.maintenance.doctor import services
from musiclab.storage import leases
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.study import Claim, Expect, Grid, Study
from tests.support.study_processes import files

ARCHIVES = Path(__file__).parents[1] / "assets" / "storages"
TINY = {
    "width": 1, "latent_dim": 2, "vae_epochs": 2, "vae_batch": 16, "vae_lr": 0.001, "latent_epochs": 2, "max_eval": 32,
    "starts": 4, "continuation": 1,
}  # fmt: skip
STUDIES = ("noise_sd", "temperature", "style_alpha", "width", "beta")
# A study and the options with which the storage of format 0 holds it.
NOISE_SD = Study(
    name="noise_sd", system="vae_nn", space={"noise_sd": Grid(0.0, 0.5, 1.0)}, control={"noise_sd": 0.5}, blocks=2,
    objective="frechet", margin=5.0, question="How much noise on the latents is best?",
    claims=[Claim("C2", "0.5 is best", [Expect("frechet", {"noise_sd": [0.0, 1.0]}, "above", {"noise_sd": 0.5})])],
)  # fmt: skip

Command = Callable[..., str]


@pytest.fixture(params=sorted(path.name for path in ARCHIVES.glob("format-*.tar.xz")))
def old(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The storage, unpacked below the working directory; leases of other machines are looked at for a moment only."""
    with tarfile.open(ARCHIVES / request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(leases, "_BEAT_S", 0.02)
    return tmp_path / "storage"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `musiclab` with these words, and returns what it printed."""

    def command(*words: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(words))
        printed = capsys.readouterr()
        assert (ended.value.code or 0) == code, printed.out + printed.err
        assert "Traceback" not in printed.out + printed.err
        return printed.out

    return command


def _kept(storage: Path) -> dict[str, int]:
    """When each file was written that must never change: all of trials, plans, baselines, splits and stages."""
    kept = {}
    for name, written in files(storage).items():
        below = name.partition("/")[0]
        is_document = below in ("trials", "scales", "splits") or (below == "studies" and name.endswith("plan.json"))
        if is_document or (below == "stages" and ".half-" not in name):
            kept[name] = written
    return kept


def test_all_of_it_is_read(old: Path) -> None:
    records = Records(Storage(str(old)))
    plans = [plan for study in STUDIES for plan in records.plans.of_study(study).values()]
    assert len(plans) == 6 and all(plan.trial_specs and plan.criteria for plan in plans)
    done = {path.parent.name for path in old.glob("trials/*/record.json")}
    assert len(done) == 21
    for key in done:
        record, cost = records.get(key), records.run(key)
        assert (record.key, record.runtime, record.extra) == (key, None, {})
        assert record.measures and record.baselines and record.trial_spec.key == key
        assert cost.wall_seconds > 0 and cost.extra == {}
    (failed,) = (path.parent.name for path in old.glob("trials/*/failed.json"))
    assert "there is no song 'song 99'" in records.failure(failed).reason
    for path in old.glob("scales/*.json"):
        assert records.baselines(path.stem).values
    finished = [path.parent.name for path in old.glob("stages/*/done")]
    for key in finished:
        records.stages.check(key)
    assert len(finished) == 31 and records.damage == {}


def test_report(old: Path, command: Command) -> None:
    before = _kept(old)
    tables = {path: path.read_bytes() for path in old.glob("studies/*/*/results.csv")}
    printed = command("report", "storage").splitlines()
    assert [line.partition(":")[0] for line in printed] == [
        "beta", "noise_sd", "style_alpha", "temperature", "width", "overview",
    ]  # fmt: skip
    assert {path: path.read_bytes() for path in tables} == tables  # the same numbers as then
    assert _kept(old) == before


def test_clean(old: Path, command: Command) -> None:
    before = _kept(old)
    printed = command("clean", "storage")
    for name in ("data/7ebaf5c43e12d1d7784f.2vzh_vfz.tmp/", ".writable-", "studies/beta/c26276637632/runner/"):
        assert name in printed
    assert "stages made by an earlier version of musiclab: 33, " in printed
    assert "464 kB can be removed" in printed
    assert "removed." in command("clean", "storage", "--remove")
    assert _kept(old) == before
    assert not list(old.glob("stages/*/.half-*")) and not list(old.glob("studies/*/*/runner/*"))


def test_doctor(old: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "call_in_child", lambda module, *_, **__: (
        {"nodes": 1, "cpus": 2, "gpus": 0, "here": {}, "machines": []}
        if "ray" in module else {"here": "3.17.2", "there": ""}
    ))  # fmt: skip
    before = _kept(old)
    lines = command("doctor", "storage", code=1).splitlines()
    failures = [line for line in lines if line.startswith("fail")]
    assert len(failures) == 1 and " and 163 more: it is missing" in failures[0]
    assert "ok    studies: noise_sd: 3 of 3 trials done" in lines
    assert "ok    studies: temperature: 12 of 12 trials done" in lines
    assert any("style_alpha: 1 of 2 trials done, 1 failed, such as: target: there is no song" in line for line in lines)
    assert sum("made by an earlier version of musiclab" in line for line in lines) == 5
    assert _kept(old) == before


@pytest.mark.parametrize("system", ["vae_nn", "note_rnn"])
def test_generate_uses_the_networks(system: str, old: Path, command: Command) -> None:
    before = _kept(old)
    printed = command("generate", system, "--storage", "storage", "--out", "out", "--samples", "1")
    study = {"vae_nn": "style_alpha", "note_rnn": "temperature"}[system]
    assert f"{system} from the best variant of {study}, " in printed
    key = printed.partition("(trial ")[2].partition(")")[0]
    # What the trial itself left, but for a cell or so if another machine rounds differently.
    then = (old / "trials" / key / "samples" / "start-1.mid").read_bytes()
    now = (old.parent / "out" / f"{system}-1.mid").read_bytes()
    one, other = (cut(Midi.parse("x.mid", midi), WindowSpec()) for midi in (then, now))
    assert one.shape == other.shape and np.mean(one != other) < 0.01
    assert _kept(old) == before


def test_generate_says_so_if_what_it_needs_was_not_kept_then(old: Path, command: Command) -> None:
    """Networks whose thresholds are the config's own are used; other rules need what version 0.1.0 did not keep."""
    plans = Records(Storage(str(old))).plans.of_study("noise_sd").values()
    (plan,) = (plan for plan in plans if plan.trial_specs[0].variant.config["threshold_rule"] == "absolute")
    words = ["generate", "vae_nn", "--storage", "storage", "--samples", "1", "--trial", plan.trial_specs[0].key]
    assert "vae_nn from trial " in command(*words)
    for field in ("peaks=-1", "threshold_rule=density"):
        command(*words, "--set", field, code=2)


@pytest.mark.slow
def test_sync(old: Path, command: Command, database: Path) -> None:
    before = _kept(old)
    shutil.copy(database, old / "mlflow.db")
    printed = command("sync", "storage/noise_sd", "storage/style_alpha", "storage/beta").splitlines()
    assert [line.partition(":")[0] for line in printed] == [
        "noise_sd/54d0f79758cf", "noise_sd/a2ecf5827fa5", "style_alpha", "beta",
    ]  # fmt: skip
    assert "6 trials, 2901 points, added 10 runs, 3321 points, " in printed[0]
    assert "1 trial, 487 points, added 5 runs, 575 points, " in printed[2]
    again = command("sync", "storage/noise_sd")
    assert again.count("nothing was missing") == 2
    assert _kept(old) == before


def _run(*options: str) -> int:
    words = ["--data", "midi:storage/songs", "--storage", "storage", "--in-process", *options]
    for name, value in TINY.items():
        words += ["--set", f"{name}={value}"]
    try:
        NOISE_SD.main(words)
    except SystemExit as ended:
        return ended.code
    return 0


def test_a_new_run_says_what_it_cannot_reuse(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(old)
    assert _run("--plan") == 0
    printed = capsys.readouterr().out
    assert "6 to run" in printed
    assert sum("they come from an earlier version of musiclab" in line for line in printed.splitlines()) == 2
    assert files(old) == before


@pytest.mark.slow
def test_a_new_run_leaves_the_old_records_as_they_are(
    old: Path, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _kept(old)
    shutil.copy(database, old / "mlflow.db")
    assert _run("--blocks", "1") == 0
    printed = capsys.readouterr().out
    assert "they come from an earlier version of musiclab" in printed
    after = _kept(old)
    assert {name: after.get(name) for name in before} == before
    assert len(list(old.glob("trials/*/record.json"))) == 21 + 3
    assert len(Records(Storage("storage")).plans.of_study("noise_sd")) == 3
