"""`musiclab clean`: what goes, what stays whatever happens, and that nobody is cleaned away under."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.fs
import pytest

from musiclab.cli import main as cli
from musiclab.code_lock import locked
from musiclab.design.trials import TrialSpec, Variant
from musiclab.storage import files as storage_files
from musiclab.storage.files import LOCAL, Storage
from musiclab.storage.leases import CLEANING, Lease
from musiclab.storage.records import Records
from musiclab.storage.stages import StoredFiles
from musiclab.study import Grid, Study
from musiclab.training.files import CHECKPOINT
from musiclab.training.streams import Block
from tests.support.kept import Kept
from tests.support.made_listening import answer_all, made_ballots, made_test
from tests.support.made_results import made_study
from tests.support.searched_storage import MadeSearch
from tests.support.study_processes import ROOT, Run, descendants, files, kill, paused_study, run_study

# Two variants on two blocks, of which one trial is still to be run; `stage` below makes their stages.
VALUES = {"16": [{"set/frechet": 1.0}, {"set/frechet": 2.0}], "8": [{"set/frechet": 3.0}, None]}
NEEDED = ("madev0b0", "madev0b1", "madev1b0")
UNFINISHED = "madev1b1"
# Holds a lease as another process does, until its standard input ends.
HOLDER = """
import sys
from musiclab.storage.leases import Lease
from musiclab.storage.files import Storage
with Lease(Storage(sys.argv[1]), sys.argv[2]).take():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["here", "elsewhere"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A storage in a folder of this machine, or in one that is opened as if it lay elsewhere."""
    folder, opened = tmp_path / "my töne", storage_files._opened

    def open_away(root: str) -> tuple[pyarrow.fs.FileSystem, str]:
        if not root.startswith("away://"):
            return opened(root)
        return pyarrow.fs.SubTreeFileSystem(str(tmp_path), LOCAL), root.removeprefix("away://")

    monkeypatch.setattr(storage_files, "_opened", open_away)
    folder.mkdir()
    return Storage(str(folder) if request.param == "here" else "away://my töne")


def stage(place: Storage, key: str, done: bool = True) -> None:
    """A stage that has been trained, or is cut off after an epoch."""
    stored = StoredFiles(place, TrialSpec(Variant("vae_nn", {}, {}, "d"), Block(0, 0), {"vae": key}), "vae")
    stored.write("weights.safetensors", b"w" * 1000)
    stored.write(CHECKPOINT, b"c" * 500)
    stored.write("curves.json", b"[]")
    if done:
        stored.finish()


def made(place: Storage, folder: Path) -> None:
    """The study's storage with the stages that it needs."""
    made_study(folder, VALUES)
    for key in NEEDED:
        stage(place, key)
    stage(place, UNFINISHED, done=False)


def leave(place: Storage) -> list[str]:
    """What kills and changed studies leave: the names of what is to go."""
    stage(place, "old")
    stage(place, "older", done=False)
    place.write(f"stages/{NEEDED[0]}/{CHECKPOINT}", b"c")
    for name in (
        "trials/x/.half-1",
        "stages/madev0b0/.half-2",
        "studies/made/e/.half-3",
        ".writable-4",
        "cleaning/.half-5",
    ):
        place.write(name, b"half")
    dead = subprocess.run([sys.executable, "-c", "print()"], check=True, capture_output=True)
    assert dead.returncode == 0
    lease = Lease(place, "studies/made/e/runner")
    lease._state = replace(lease._state, pid=2**31 - 2, started="1")
    lease._write()
    halves = [".half-1", ".half-2", ".half-3", ".writable-4", ".half-5"]
    return ["stages/old/", "stages/older/", f"stages/{NEEDED[0]}/{CHECKPOINT}", *halves, lease.name]


def run(*words: str, code: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["clean", *words])
    assert (ended.value.code or 0) == code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "my töne"


def test_a_dry_run_lists_what_would_go_and_changes_nothing(
    place: Storage, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(place, folder)
    gone, before = leave(place), files(folder)
    run(place.root)
    said = capsys.readouterr().out
    assert files(folder) == before
    assert all(name in said for name in gone)
    assert "stages/old/  1.2 kB" in said and "musiclab clean '" in said
    assert UNFINISHED not in said and "stages/madev0b1" not in said


def test_what_nothing_needs_goes_and_all_else_stays_as_it_is(place: Storage, folder: Path) -> None:
    made(place, folder)
    before = files(folder)
    leave(place)
    run(place.root, "--remove")
    assert files(folder) == before
    assert not (folder / "stages/old").exists()


def test_a_clean_storage_stays_as_it_is(place: Storage, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(place, folder)
    before = files(folder)
    run(place.root, "--remove")
    assert files(folder) == before
    assert capsys.readouterr().out == "Nothing to remove.\n"


def test_what_only_an_older_plan_would_take_up_goes(tmp_path: Path) -> None:
    place = Storage(str(tmp_path))
    made(place, tmp_path)
    plan = Records(place).plans.get("studies/made/e")
    trials = tuple(trial for trial in plan.trial_specs if UNFINISHED not in trial.stages.values())
    newer = replace(plan, trial_specs=trials, edition="a", began=plan.began + 1)
    Records(place).plans.put("studies/made/a", newer)
    run(place.root, "--remove")
    assert sorted(path.name for path in (tmp_path / "stages").iterdir()) == list(NEEDED)


def test_what_a_search_goes_on_with_stays_and_what_it_ended_early_goes(tmp_path: Path) -> None:
    search = MadeSearch(tmp_path)
    for number in range(2):
        stage(search.storage, search.propose(number).stages["vae"], done=False)
    search.end(1, "pruned")
    run(str(tmp_path), "--remove")
    assert [path.name for path in (tmp_path / "stages").iterdir()] == [search.proposal(0).stages["vae"]]


def test_stages_of_other_code_are_listed_with_their_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Storage(str(tmp_path))
    made(place, tmp_path)
    stage(place, "old")
    plans = Records(place).plans
    plan = replace(
        plans.get("studies/made/e"),
        code={"vae_nn/vae": "revision 99", "data/midi": f"revision {locked()['data/midi'][0]}"},
    )
    plans.put("studies/made/e", plan)
    trial = TrialSpec(Variant("vae_nn", {}, {}, "d"), Block(0, 0), {"vae": "old", "measure": "never"})
    plans.put("studies/made/a", replace(plan, edition="a", began=plan.began - 1, trial_specs=(trial,)))
    run(place.root)
    lines = capsys.readouterr().out.splitlines()
    made_by = f"made by revision 99 of vae_nn/vae, now {locked()['vae_nn/vae'][0]}"
    assert f"a finished stage of no record, {made_by}: 1, 1.2 kB" in lines
    (kept,) = [number for number, line in enumerate(lines) if line.startswith(f"stages {made_by}: 4, ")]
    assert [line.split()[0] for line in lines[kept + 1 : kept + 5]] == [
        f"stages/{key}/" for key in ("madev0b0", "madev0b1", "madev1b0", UNFINISHED)
    ]
    plans.put("studies/made/e", replace(plan, code={"musiclab.data.songs": "0"}))
    run(place.root, "--remove")
    assert "stages made by an earlier version of musiclab: 4, " in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "stages").iterdir()) == sorted([*NEEDED, UNFINISHED])


@pytest.mark.parametrize("role", ["runner", "mirror"])
@pytest.mark.parametrize("words", [[], ["--remove"]])
def test_nothing_is_done_where_somebody_is_at_work(
    role: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Storage(str(tmp_path))
    made(place, tmp_path)
    leave(place)
    command = [sys.executable, "-c", HOLDER, str(tmp_path), f"studies/made/e/{role}"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        before = set(files(tmp_path))
        run(place.root, *words, code=1)
        assert set(files(tmp_path)) == before
        said = capsys.readouterr().err.splitlines()[-1]
        assert f"(process {holder.pid}, since " in said
        assert f"is {'running' if role == 'runner' else 'mirroring'} made" in said


def test_no_study_starts_while_it_is_being_cleaned(
    tmp_path: Path, song_folder: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    study = Study(
        name="s", system="vae_nn", space={"latent_dim": Grid(2, 3)}, control={"latent_dim": 2}, blocks=1,
        objective="frechet", question="?",
    )  # fmt: skip
    with Lease(Storage(str(tmp_path)), CLEANING).take(), pytest.raises(SystemExit) as ended:
        study.main(["--storage", str(tmp_path), "--data", f"midi:{song_folder}", *tiny, "--in-process"])
    assert ended.value.code == 1
    assert f"is being cleaned by {os.environ.get('USER') or ''}" in capsys.readouterr().err
    assert list(tmp_path.glob("studies/s/*/runner/*")) == list(tmp_path.glob("studies/s/*/plan.json")) == []


@pytest.mark.parametrize("damaged", ["studies/made/e/plan.json", "trials/nobody/record.json"])
def test_stages_stay_where_it_is_not_known_which_are_needed(
    damaged: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Storage(str(tmp_path))
    made(place, tmp_path)
    leave(place)
    place.write(damaged, b'{"no": "digest"}')
    stages = {file for file in files(tmp_path / "stages") if ".half-" not in file}
    run(place.root, "--remove")
    assert set(files(tmp_path / "stages")) == stages - {f"{NEEDED[0]}/{CHECKPOINT}"}
    assert f"1 damaged or older file cannot be read ({damaged})" in capsys.readouterr().out


def test_stages_of_a_damaged_record_stay_for_its_trial_to_be_done_again(tmp_path: Path) -> None:
    place = Storage(str(tmp_path))
    made(place, tmp_path)
    for record in tmp_path.glob("trials/*/record.json"):
        record.write_bytes(record.read_bytes().replace(b"latent_dim", b"latent_din"))
    plan = Records(place).plans.get("studies/made/e")
    newer = replace(plan, trial_specs=plan.trial_specs[-1:], began=plan.began + 1)
    Records(place).plans.put("studies/made/f", newer)
    run(place.root, "--remove")
    assert sorted(path.name for path in (tmp_path / "stages").iterdir()) == sorted([*NEEDED, UNFINISHED])


def test_what_lies_behind_a_link_is_not_touched(tmp_path: Path) -> None:
    place, outside = Storage(str(tmp_path / "storage")), tmp_path / "outside"
    made(place, tmp_path / "storage")
    stage(Storage(str(outside)), "kept")
    stage(place, "old")
    (tmp_path / "storage/stages/linked").symlink_to(outside / "stages/kept")
    (tmp_path / "storage/stages/old/inner").symlink_to(outside / "stages/kept")
    before = files(outside)
    run(place.root, "--remove")
    assert files(outside) == before
    assert not (tmp_path / "storage/stages/old").exists()


def test_a_build_that_was_cut_off_goes_and_one_at_work_stays(tmp_path: Path) -> None:
    place, data = Storage(str(tmp_path)), tmp_path / "data"
    made(place, tmp_path)
    for name in ("busy.building", "dead.building", "dead.x1.tmp"):
        (data / name).mkdir(parents=True)
        (data / name / "000000.npy").write_bytes(b"12")
    for name in ("busy", "dead"):
        (data / f"{name}.lock").touch()
    lock = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, 2); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", lock, str(data / "busy.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as builder:
        assert builder.stdout.readline() == b"held\n"
        run(place.root, "--remove")
        assert sorted(path.name for path in data.iterdir()) == ["busy.building", "busy.lock", "dead.lock"]
        assert (data / "busy.building/000000.npy").exists()


def test_ballots_stay_whole_damaged_or_withdrawn_and_only_half_written_ones_go(place: Storage, folder: Path) -> None:
    made(place, folder)
    ballots = made_ballots(folder, made_test(warm_ups=0, presentations=3, repeats=0), "studies/made/e")
    (first, second) = answer_all(ballots, lambda _: "equal", sessions=2)
    ballots.withdraw(second.id)
    sessions = folder / ballots.folder / "sessions"
    (sessions / first.id / "001.json").write_bytes(b"damaged")
    (sessions / second.id / "session.json").write_bytes(b"damaged")
    before = files(folder)
    place.write(f"{ballots.folder}/sessions/{first.id}/.half-1", b"half")
    run(place.root, "--remove")
    assert files(folder) == before
    assert len(list(sessions.rglob("*.json"))) == 9, "2 sessions, 6 ballots and a withdrawal"
    (folder / ballots.folder / "plan.json").write_bytes(b"damaged")
    before = files(folder)
    run(place.root, "--remove")
    assert files(folder) == before


def test_windows_are_only_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Storage(str(tmp_path))
    made(place, tmp_path)
    for name in ("d" * 8, "unnamed"):
        place.write(f"data/{name}/songs.json", b"{}")
    run(place.root, "--remove")
    said = capsys.readouterr().out
    assert f"{tmp_path}/data/unnamed stays: windows that no plan names, 2 bytes" in said
    assert "dddd" not in said and place.exists("data/unnamed/songs.json")


@pytest.mark.parametrize("root", ["none", "file"])
def test_what_is_no_storage_is_said_and_not_made(root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    run(str(tmp_path / root), code=2)
    assert (
        f"STORAGE must be a folder or URI that studies used as --storage; got {str(tmp_path / root)!r}"
        in capsys.readouterr().err
    )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# Of each storage of a folder: killed before its n-th removal, as by `kill -9`. All are forks of one process that has
# looked into the first, and so has imported all there is. Prints how each ended.
KILLED = """
import os, signal, sys
from musiclab.maintenance import clean
clean.clean(f"{sys.argv[1]}/storage 0", remove=False, say=lambda _: None)
left, one = [0], clean.Storage.remove
def remove(self, name):
    if name.startswith(("stages", "trials")):
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
    one(self, name)
clean.Storage.remove = remove
rest = clean.Storage.remove_folder
def remove_folder(self, name):
    if not left[0]:
        os.unlink(f"{self.root}/{name}/weights.safetensors")
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    rest(self, name)
clean.Storage.remove_folder = remove_folder
for number in range(int(sys.argv[2])):
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    code = 1
    try:
        left[0] = number
        clean.clean(f"{sys.argv[1]}/storage {number}", remove=True, say=lambda _: None)
        code = 0
    finally:
        os._exit(code)
"""


def test_a_kill_in_the_middle_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    folders = [tmp_path / f"storage {number}" for number in range(9)]
    before = []
    for folder in folders:
        place = Storage(str(folder))
        made(place, folder)
        before.append(files(folder))
        stage(place, "old")
        stage(place, "older", done=False)
        place.write(f"stages/{NEEDED[0]}/{CHECKPOINT}", b"c")
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(len(folders))]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout.split() == ["-9"] * 7 + ["0"] * 2, ended.stderr
    for folder, needed in zip(folders, before, strict=True):
        records = Records(Storage(str(folder)))
        for key in records.storage.names("stages"):
            if records.stages.done(key):
                records.stages.check(key)
        assert records.damage == {}
        run(str(folder), "--remove")
        assert files(folder) == needed


# After a real study.


@pytest.mark.slow
def test_a_study_runs_nothing_again_after_a_cleaning_and_others_share_its_stages(
    finished: Run, kept: Kept, options: list[str]
) -> None:
    stage(Storage(str(kept.path)), "old")
    run(str(kept.path), "--remove")
    assert not (kept.path / "stages/old").exists()
    before = {name: at for name, at in files(kept.path).items() if name.startswith(("trials", "stages"))}
    plan = run_study(*options, "--plan", storage=kept.path)
    assert "4 trials: 4 done, 0 to run" in plan.out
    more = run_study(*options, "--in-process", "--set", "noise_sd=0.7", storage=kept.path)
    assert files(kept.path).items() >= before.items()
    assert more.records.items() >= finished.records.items()
    assert len(more.records) == 8
    assert all({"vae", "latent"} <= set(cost["reused"]) for cost in more.costs if cost["reused"])
    assert sum(bool(cost["reused"]) for cost in more.costs) == 4


@pytest.mark.long
def test_a_study_that_was_killed_resumes_from_its_epoch_after_a_cleaning(
    storage: Path, long_study: Path, long_options: list[str], undisturbed: Run
) -> None:
    process = paused_study(*long_options, storage=storage, file=long_study)
    assert list(storage.glob(f"stages/*/{CHECKPOINT}"))
    kill(process.pid, *descendants(process.pid))  # the mirror too
    process.communicate()
    stage(Storage(str(storage)), "old")
    run(str(storage), "--remove")
    assert not (storage / "stages/old").exists()
    assert list(storage.glob("studies/*/*/runner/*")) + list(storage.glob("studies/*/*/mirror/*")) == []
    rest = run_study(*long_options, "--in-process", storage=storage, file=long_study)
    assert "resumes from epoch" in rest.out
    assert rest.records == undisturbed.records
