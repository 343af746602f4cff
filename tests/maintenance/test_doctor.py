"""`musiclab doctor`: each thing that may be wrong is named, with what to do, and nothing is changed by looking."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from musiclab import code_lock, requirements
from musiclab.cli import main as cli
from musiclab.cli.sync import sync
from musiclab.code_lock import StageCode
from musiclab.data.store import WindowStore
from musiclab.design.trials import TrialSpec, Variant
from musiclab.hashing import content_hash
from musiclab.maintenance import doctor
from musiclab.maintenance.doctor import Finding, contents, installation, room, services
from musiclab.maintenance.doctor.machines import machines
from musiclab.storage.ballots import Ballots
from musiclab.storage.documents import verified, with_checksum
from musiclab.storage.files import Storage
from musiclab.storage.inventory import Inventory
from musiclab.storage.leases import Lease
from musiclab.storage.records import Records
from musiclab.storage.stages import StoredFiles
from musiclab.storage.trial_documents import Baselines
from musiclab.systems.codes import stage_codes
from musiclab.training.files import CHECKPOINT
from musiclab.training.runtime import Runtime
from musiclab.training.streams import Block
from tests.support.made_listening import answer_all, made_ballots, made_test
from tests.support.made_records import made_cost
from tests.support.made_results import made_study
from tests.support.nodes import start_node
from tests.support.study_processes import ROOT, Head, Run, copied, end, files, free_port
from tests.support.waiting import STILL_S

SAMPLES = {"start-1.mid": b"MThd", "start-1.mp3": b"ID3 sound", "start-1.png": b"PNG picture"}


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found to be slow, and what else runs on the machine leaves enough of it."""
    monkeypatch.setattr(services, "_RAY_S", STILL_S)
    monkeypatch.setattr(services, "_MLFLOW_S", STILL_S)
    monkeypatch.setattr(room, "_SLOW_BYTES_S", 0.0)
    monkeypatch.setattr(installation, "available_memory", lambda: 10**10)


@pytest.fixture
def place(tmp_path: Path, store: WindowStore) -> Storage:
    """A storage with a study of four trials, of which one has not been run; its stages, scale, split and windows."""
    made_study(tmp_path / "my store", {"16": [{"a": 1.0}, {"a": 2.0}], "8": [{"a": 3.0}, None]}, code={})
    place = Storage(str(tmp_path / "my store"))
    records = Records(place)
    record = records.get("madem0b0")
    checksums = {name: content_hash(sample.hex()) for name, sample in SAMPLES.items()}
    record = replace(record, samples={"start-1.mid": checksums.pop("start-1.mid")})
    records.put("madem0b0", record, made_cost(checksums=checksums), SAMPLES)
    for number, block in ((0, 0), (0, 1), (1, 0), (1, 1)):
        cell = TrialSpec(Variant("vae_nn", {}, {}, "d"), Block(0, block), {"vae": f"madev{number}b{block}"})
        stored = StoredFiles(place, cell, "vae")
        stored.write("weights.safetensors", b"w" * 1000)
        if (number, block) != (1, 1):
            stored.finish()
    records.put_baselines("s1", Baselines(values={}))
    split = {"train": ["a"]}
    place.write(f"splits/{content_hash(split)}.json", json.dumps(split).encode())
    shutil.copytree(store.folder, place.local(f"data/{store.fingerprint}"))
    ballots = made_ballots(Path(place.root), made_test(warm_ups=0, presentations=2, repeats=0), "studies/made/e")
    answer_all(ballots, lambda _: "equal")
    return place


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Ray and no MLflow is asked, which takes seconds; tests of theirs do."""
    monkeypatch.setattr(services, "call_in_child", lambda module, *_, **__: (
        {"nodes": 1, "cpus": 2, "gpus": 0, "here": {}, "machines": []} if "ray" in module else
        {"installed": "3.17.2", "server": "", "deleted": "", "moved": "", "misplaced": "", "encoding": ""}
    ))  # fmt: skip
    monkeypatch.setattr(installation, "code", lambda: iter([Finding("ok", "locked")]))  # a test of its own does


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int) -> list[str]:
    """The lines that the doctor says."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", *words])
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    assert (ended.value.code or 0) == code, said.out
    *lines, last = said.out.splitlines()
    levels = [line.split()[0] for line in lines]
    assert set(levels) <= {"ok", "warn", "fail"}
    assert last.startswith(f"{levels.count('fail')} failed, {levels.count('warn')} to look at, in ")
    return lines


def bad(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("ok ")]


@pytest.mark.usefixtures("alone")
def test_a_healthy_storage_is_all_well_and_stays_as_it_is(place: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(Path(place.root))
    lines = run(capsys, place.root, code=0)
    assert bad(lines) == []
    assert files(Path(place.root)) == before
    said = "\n".join(lines)
    assert "1 plan, 3 records with samples, 2 ballots and 3 finished stages match their checksums" in said
    assert "made: 3 of 4 trials done; run it again to continue" in said
    assert "needed for 1 unfinished trial of made: about" in said


def flipped(data: bytes) -> bytes:
    """One bit of another kind in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("name", "says", "remedy"),
    [
        ("trials/madem0b0/record.json", "fail  files: damaged records: ", "run the study again"),
        ("trials/madem0b0/run.json", "warn  files: damaged trial costs: ", "record.json"),
        ("trials/madem0b0/samples/start-1.mid", "fail  files: damaged samples: ", "delete record.json of that trial"),
        ("trials/madem0b0/samples/start-1.mp3", "fail  files: damaged samples: ", "delete record.json of that trial"),
        ("trials/madem0b0/samples/start-1.png", "fail  files: damaged samples: ", "delete record.json of that trial"),
        ("stages/madev0b0/weights.safetensors", "fail  files: damaged files of stages: ", "makes anew what it needs"),
        ("stages/madev0b0/done", "fail  files: damaged files of stages: ", "makes anew what it needs"),
        ("scales/s1.json", "warn  files: damaged baselines: ", "the next trial that needs them"),
        ("splits/*.json", "fail  files: damaged splits: ", "delete it"),
        ("studies/made/e/plan.json", "fail  files: damaged plans: ", "run the study again"),
        ("data/*/songs.json", "fail  files: damaged windows: ", "delete this folder"),
        ("studies/made/e/listening/pairs/plan.json", "fail  files: damaged plans of listening tests: ", "from a copy"),
        ("studies/made/e/listening/*/*/*/session.json", "fail  files: damaged listening sessions: ", "from a copy"),
        ("studies/made/e/listening/*/*/*/001.json", "fail  files: damaged ballots: ", "answer once more by the link"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(
    name: str, says: str, remedy: str, place: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = Path(place.root).glob(name)
    file.write_bytes(b"{" if "data" in name else flipped(file.read_bytes()))
    shown = file.relative_to(place.root).as_posix().removesuffix("/songs.json")
    (line,) = [line for line in run(capsys, place.root, code=int(says[0] == "f")) if "damaged " in line[:25]]
    assert line.startswith(f"{says}{shown}: ")
    assert remedy in line.partition(" To do: ")[2]


@pytest.mark.usefixtures("alone")
def test_a_damaged_withdrawal_and_a_newer_ballot_are_named(place: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    (session,) = Path(place.root).glob("studies/made/e/listening/pairs/sessions/*")
    Ballots(place, "studies/made/e/listening/pairs").withdraw(session.name)
    (session / "withdrawn.json").write_bytes(flipped((session / "withdrawn.json").read_bytes()))
    newer = verified((session / "000.json").read_bytes()) | {"format": 9}
    (session / "000.json").write_bytes(with_checksum(newer))
    first, second = bad(run(capsys, place.root, code=1))
    name = session.relative_to(place.root).as_posix()
    assert f"{name}/000.json has format 9" in first
    assert second.startswith(f"warn  files: damaged withdrawals: {name}/withdrawn.json: ")
    assert "left out all the same" in second


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    "name",
    [
        "trials/madem0b0/samples/start-1.mid",
        "trials/madem0b0/samples/start-1.mp3",
        "stages/madev0b0/weights.safetensors",
    ],
)
def test_a_missing_file_is_named(name: str, place: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    place.remove(name)
    (line,) = bad(run(capsys, place.root, code=1))
    assert f"{name}: it is missing" in line


@pytest.mark.usefixtures("alone")
def test_a_checkpoint_that_cannot_be_read_and_curves_that_are_none(
    place: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    place.write(f"stages/madev1b1/{CHECKPOINT}", b"\xff" * 100)
    place.write("stages/madev1b1/curves.json", b'[{"name": 3}]')
    lines = bad(run(capsys, place.root, code=1))
    assert any(f"stages/madev1b1/{CHECKPOINT}: it cannot be read. To do: nothing" in line for line in lines)
    assert any("stages/madev1b1/curves.json" in line for line in lines)


@pytest.mark.usefixtures("alone")
def test_files_of_an_older_version_are_said_to_be_that(place: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("trials/*/record.json", "studies/*/*/plan.json"):
        for file in Path(place.root).glob(name):
            value = json.loads(file.read_bytes())
            del value["sha256"]
            file.write_text(json.dumps(value))
    lines = bad(run(capsys, place.root, code=1))
    assert len(lines) == 2
    for line in lines:
        assert "it has no checksum, so another version of musiclab wrote it" in line
        assert "read it with the version that wrote it" in line


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("junk", [b"", b"[]", b"3", b"null", b"\xff\xfe", b"[" * 100_000, b'{"sha256": 1}'])
def test_no_junk_brings_it_down(junk: bytes, place: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("trials/madem0b0/record.json", "trials/madem0b0/run.json", "stages/madev0b0/done", "scales/s1.json"):
        place.write(name, junk)
    for name in (
        "splits/x.json",
        "trials/madem1b1/failed.json",
        "studies/made/f/plan.json",
        "stages/madev1b1/curves.json",
    ):
        place.write(name, junk)
    for name in (
        "studies/file",
        "trials/file",
        "stages/file",
        "data/file",
        "studies/made/file",
        "trials/madem0b1/samples/x/y",
    ):
        place.write(name, junk)
    place.write("studies/made/e/runner/1.json", junk)
    assert len([line for line in run(capsys, place.root, code=1) if "damaged " in line]) >= 6
    assert not [line for line in bad(run(capsys, place.root, code=1)) if "cannot be checked" in line]


@pytest.mark.usefixtures("alone")
def test_sealed_files_of_another_form_are_damage_too(place: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    for number, plan in enumerate(
        ({}, {"began": "x", "cells": []}, {"began": 1, "cells": [{}]}, {"began": 1, "cells": 3})
    ):
        place.write(f"studies/made/{number}/plan.json", with_checksum(plan))
    place.write("trials/other/record.json", with_checksum({"measures": {}, "scale": {}}))
    lines = bad(run(capsys, place.root, code=1))
    assert len(lines) == 2 and all("another version of musiclab wrote it" in line for line in lines)


@pytest.mark.usefixtures("alone")
def test_what_has_failed_is_said_with_its_reason_and_nothing_of_it_is_obeyed(
    place: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    Records(place).put_failure("madem1b1", "out of memory \x1b[31m\nok    all is well", "log", again=True)
    (line,) = bad(run(capsys, place.root, code=0))
    assert line.startswith("warn  studies: made: 3 of 4 trials done, 1 failed, such as: out of memory \\x1b[31m\\nok ")
    assert f"(log: {place.root}/trials/madem1b1/failed.log). To do: correct the cause and run the study again" in line


@pytest.mark.usefixtures("alone")
def test_what_is_left_over_is_counted_and_clean_is_named(place: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    place.write("stages/old/weights.safetensors", b"w" * 5000)
    place.write("splits/.half-1", b"half")
    lines = bad(run(capsys, place.root, code=0))
    assert [line.partition(". To do")[0] for line in lines] == [
        "warn  leftovers: a write that was cut off: 1, 4 bytes",
        "warn  leftovers: an unfinished stage that no study would resume: 1, 5.0 kB",
    ]
    assert all(f"musiclab clean '{place.root}'" in line for line in lines)


@pytest.mark.usefixtures("alone")
def test_who_is_at_work_is_named_and_nothing_of_theirs_is_left_over(
    place: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    place.write("trials/x/.half-1", b"half")
    with Lease(place, "studies/made/e/runner").take():
        lines = run(capsys, place.root, code=0)
    assert bad(lines) == []
    assert any(f"(process {os.getpid()}, since " in line and "is running made" in line for line in lines)


@pytest.mark.usefixtures("alone")
def test_records_of_other_code_are_said_to_be_that(place: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    records = Records(place)
    plan = records.plans.get("studies/made/e")
    code = {"vae_nn/vae": "revision 99", "vae_nn/gone": "revision 1", "data/midi": "0123456789ab"}
    records.plans.put("studies/made/e", replace(plan, code=code))
    (line,) = bad(run(capsys, place.root, code=0))
    assert "made by other code of vae_nn/vae, data/midi; they are kept" in line and "c0ffee" in line
    # Of what an earlier version wrote, which named modules, nothing is looked up.
    records.plans.put("studies/made/e", replace(plan, code={"musiclab.data.songs": "0", "antigravity": "0"}))
    (line,) = bad(run(capsys, place.root, code=0))
    assert "made by an earlier version of musiclab; they are kept" in line
    assert "antigravity" not in sys.modules


@pytest.mark.usefixtures("alone")
def test_records_of_code_that_is_not_locked_yet_are_of_the_present_code(
    place: Storage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    present = {"vae_nn/vae": "0123456789ab", "vae_nn/latent": "revision 1"}
    monkeypatch.setattr(doctor, "present_code", lambda: present)
    records = Records(place)
    records.plans.put("studies/made/e", replace(records.plans.get("studies/made/e"), code=present))
    assert not any("made by" in line for line in bad(run(capsys, place.root, code=0)))


@pytest.mark.usefixtures("alone")
def test_a_storage_is_checked_although_systems_cannot_be_imported(
    place: Storage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> dict[str, str]:
        raise ImportError("libtorch is not there")

    expected = bad(run(capsys, place.root, code=0))
    monkeypatch.setattr(doctor, "present_code", broken)
    assert bad(run(capsys, place.root, code=0)) == expected


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("runtimes", "words"),
    [
        ([None, Runtime("2.13", "cpu")], []),  # an earlier version recorded none
        ([Runtime("2.13", "cpu"), Runtime("2.13", "cpu")], []),
        ([Runtime("2.12", "cpu"), Runtime("2.13", "cpu")], ["of torch 2.12 on cpu and", "of torch 2.13 on cpu;"]),
        ([Runtime("2.13", "cpu"), Runtime("2.13", "cuda")], ["of torch 2.13 on cpu and", "of torch 2.13 on cuda;"]),
    ],
)
def test_records_of_different_runtimes_are_said_to_be_that(
    runtimes: list[Runtime | None], words: list[str], place: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    records = Records(place)
    plan = records.plans.get("studies/made/e")
    for number, (spec, runtime) in enumerate(zip(plan.trial_specs, runtimes, strict=False)):
        edition = replace(plan, trial_specs=(replace(spec, runtime=runtime),), edition=str(number))
        records.plans.put(f"studies/made/{number}", edition)
    lines = bad(run(capsys, place.root, code=0))
    assert len(lines) == bool(words)
    assert all(line.startswith("warn  studies: made: it has 1 record of ") for line in lines)
    assert all(word in line for line in lines for word in words)


@pytest.mark.usefixtures("alone")
def test_a_file_from_the_future_is_said(
    place: Storage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(contents.time, "time", lambda: now)
    later = now + 7200
    os.utime(Path(place.root) / "scales/s1.json", (later, later))
    (line,) = bad(run(capsys, place.root, code=0))
    assert "scales/s1.json by 2 hours" in line and "set the clocks" in line


def test_room_is_held_against_what_unfinished_trials_will_take(place: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [sum(file.stat().st_size for file in Path(place.root).glob(f"trials/{key}/**/*") if file.is_file())
              for key in ("madem0b0", "madem0b1", "madem1b0")]  # fmt: skip
    stage = sum(file.stat().st_size for file in Path(place.root).glob("stages/madev0b0/*"))
    inventory = Inventory(place)
    need, unknown = room.needed(inventory)
    assert need == pytest.approx(2 * sum(trials) / 3 + stage) and unknown == []
    trained = TrialSpec(Variant("vae_nn", {}, {}, "d"), Block(0, 1), {"vae": "madev1b1"})
    StoredFiles(place, trained, "vae").finish()
    assert room.needed(Inventory(place))[0] == pytest.approx(2 * sum(trials) / 3)
    disk = namedtuple("disk", "free")
    for free, level in ((need - 1, "fail"), (need + 1e6, "warn"), (need + 2e9, "ok")):
        monkeypatch.setattr(room.shutil, "disk_usage", lambda _, free=free: disk(free))
        finding = next(room.room(place, inventory))
        assert finding.level == level
        assert ("musiclab clean" in finding.remedy) == (level != "ok")


def test_a_study_of_which_nothing_has_finished_is_not_counted(tmp_path: Path) -> None:
    made_study(tmp_path, {"16": [None], "8": [None]})
    place = Storage(str(tmp_path))
    assert room.needed(Inventory(place)) == (0, ["made"])
    assert (
        "needed for 2 unfinished trials of made: unknown until one has finished"
        in next(room.room(place, Inventory(place))).text
    )


@pytest.mark.usefixtures("alone")
def test_a_storage_that_is_not_there_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, str(tmp_path / "none"), code=0)
    assert any("does not exist yet; the first study creates it" in line for line in lines)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("alone")
def test_a_storage_in_a_home_that_is_not_there_has_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", "~")  # what `expanduser` returns if there is neither HOME nor an entry for the user
    (line,) = bad(run(capsys, "~/musiclab", code=1))
    where = "--storage '~/musiclab' cannot be written to: there is no home folder, because HOME is not set"
    assert line.startswith("fail  storage: ") and where in line


@pytest.mark.usefixtures("alone")
def test_a_storage_that_cannot_be_written_to_has_failed_and_the_rest_is_checked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = run(capsys, "/proc/self/fd", code=1)
    assert lines[-1].startswith("ok    Ray: ")
    (line,) = bad(lines)
    assert line.startswith("fail  storage: --storage '/proc/self/fd' cannot be written to: ")


def test_a_check_that_comes_to_grief_has_failed(
    alone: None, place: Storage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by\nnothing")

    monkeypatch.setattr(doctor.contents, "clock", broken)
    (line,) = bad(run(capsys, place.root, code=1))
    assert line == "fail  clock: cannot be checked: ZeroDivisionError: by nothing"


# The installation.


def test_what_is_required_and_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert requirements.unmet() == []
    installed = requirements.metadata.version

    def version(name: str) -> str:
        if name in ("tqdm", "py-spy"):
            raise requirements.metadata.PackageNotFoundError(name)
        return "2.4.0" if name == "symusic" else installed(name)

    monkeypatch.setattr(requirements.metadata, "version", version)
    problems = requirements.unmet()
    assert {"tqdm is missing", "symusic 2.4.0 is not ==0.5.9", "py-spy is missing (for ray[default])"} <= {*problems}
    (finding,) = installation.versions()
    assert finding.level == "fail" and "pip install -c constraints.txt" in finding.remedy


def test_an_installation_that_cannot_begin_says_so_in_a_sentence() -> None:
    script = "import sys; sys.modules['pyarrow'] = None; from musiclab.__main__ import main; main()"
    ended = subprocess.run([sys.executable, "-c", script, "doctor"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: A package that musiclab requires is missing: No module named 'pyarrow.fs'; ")
    assert " To do: pip install " in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_code_that_is_not_the_locked_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = [StageCode("s/train", 2, "known"), StageCode("s/generate", 1, "other"), StageCode("mine/train", 1, "mine")]
    monkeypatch.setattr("musiclab.systems.codes.stage_codes", lambda: codes)
    for module in (code_lock, installation):
        monkeypatch.setattr(module, "locked", lambda: {"s/train": (2, "known"), "s/generate": (1, "known")})
    (finding,) = installation.code()
    assert finding.level == "warn" and "the code of s/generate differs from code.lock" in finding.text
    assert "make relock" in finding.remedy
    codes.pop(1)
    (finding,) = installation.code()
    assert finding == Finding("ok", "the code of 2 stages is what code.lock holds")


def test_every_stage_of_the_lock_is_checked() -> None:
    assert {code.name for code in stage_codes()} == set(code_lock.locked())


def test_little_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert next(installation.machine()).level in ("ok", "warn")
    monkeypatch.setattr(installation, "available_memory", lambda: 10**9)
    finding = next(installation.machine())
    assert finding.level == "warn" and "--workers 1" in finding.remedy


# MLflow and Ray.


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        pytest.param("http://127.0.0.1:{port}", "fail .*nothing listens .*musiclab sync", marks=pytest.mark.slow),
        ("sqlite:////{folder}/junk.db", "fail .*junk.db cannot be read .*move it away and run `musiclab sync`"),
        ("sqlite:////{folder}/none.db", "ok .*does not exist yet"),
        pytest.param(
            "postgresql://me:secret@127.0.0.1:{port}/x",
            r"fail .*://\*\*\*@127.*nothing listens",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_mlflow_that_does_not_answer(uri: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "junk.db").write_bytes(b"junk" * 1000)
    uri = uri.format(port=free_port(), folder=str(tmp_path)[1:])
    (finding,) = services.tracking(uri, None, None)
    line = f"{finding.level} {finding.text} {finding.remedy}"
    assert re.match(says, line), line
    assert "secret" not in line
    assert [path.name for path in tmp_path.iterdir()] == ["junk.db"]


@pytest.mark.usefixtures("alone")
def test_which_mlflow_is_meant(place: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(option: str | None = None) -> list[str]:
        return [finding.text for finding in services.tracking(option, place, Inventory(place))]

    assert said() == [f"MLflow at sqlite:///{place.root}/mlflow.db does not exist yet; the first study creates it, "
                      "which takes ten seconds"]  # fmt: skip
    records = Records(place)
    records.plans.put("studies/made/e", replace(records.plans.get("studies/made/e"), tracking="http://***@host:1"))
    assert "password" in said()[0]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://other:2")
    assert said() == ["MLflow at http://other:2 answers, version 3.17.2"]
    assert said("http://option:3") == ["MLflow at http://option:3 answers, version 3.17.2"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense")
    assert said()[0].startswith("MLFLOW_TRACKING_URI must be http")
    assert said()[0].endswith("; got 'nonsense'. Unset it, or give another address by --tracking-uri.")


@pytest.mark.slow
def test_an_installation_and_a_storage_as_they_are_after_a_study(
    finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copied"
    copied(finished.storage, folder)
    assert sync([str(folder)], None) == 0  # a copy's files are looked for in the original until then
    capsys.readouterr()
    before = files(folder)
    said = "\n".join(run(capsys, str(folder), code=0))
    assert "warn" not in said and "fail" not in said
    assert "4 records with samples and 12 finished stages match their checksums" in said
    assert f"MLflow at sqlite:///{folder}/mlflow.db answers, version 3." in said
    assert "Ray starts and stops on this machine: nodes 1, CPUs " in said
    assert files(folder) == before


@pytest.mark.slow
def test_a_cluster_that_is_not_there_and_one_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    (finding,) = services.cluster()
    assert finding.level == "fail" and "cannot be reached" in finding.text and "unset RAY_ADDRESS" in finding.text
    monkeypatch.setattr(services, "_RAY_S", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{silent.getsockname()[1]}")
        (finding,) = services.cluster()
    assert finding.level == "fail" and "no answer within 3 s" in finding.text


@pytest.mark.slow
def test_a_cluster_that_is_there_says_what_it_has_and_one_of_another_version_what_differs(
    head: Head, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in (head.environment | {"RAY_ADDRESS": head.address}).items():
        monkeypatch.setenv(name, value)
    finding, machines = services.cluster()
    assert finding.text == f"the cluster at {head.address} answers: nodes 1, CPUs 2, GPUs 1"
    assert machines == Finding("ok", "machines asked: 1; versions and clocks as here")
    # A Ray that takes itself for an older one than the cluster's.
    (tmp_path / "sitecustomize.py").write_text("import ray; ray.__version__ = '2.59.0'")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (finding,) = services.cluster()
    assert finding.level == "fail"
    assert re.search(r"Version mismatch.*Ray: 2\.6.*Ray: 2\.59\.0", finding.text)


# The machines of a cluster.

HERE = {"Python": "3.11.2", "musiclab": "0.1.0 (code 0123abcd)"}


def answered(name: str = "one (10.0.0.1)", **differing: Any) -> dict[str, Any]:
    """What a machine answers where all is well, but for what differs."""
    well = {"name": name, "versions": dict(HERE), "storage": "", "addresses": [""], "ahead": 0.0}
    return well | differing


@pytest.mark.parametrize(
    ("differing", "line"),
    [
        ({"error": "no answer within 60 s"}, "fail  Ray: one (10.0.0.1) cannot be asked: no answer within 60 s"),
        (
            {"versions": {"Python": "3.12.1", "musiclab": "none"}},
            "fail  Ray: one (10.0.0.1) has Python 3.12.1 instead of 3.11.2 and musiclab none instead of 0.1.0 (",
        ),
        ({"storage": "there is no such folder"}, "fail  Ray: one (10.0.0.1) cannot use /data: there is no such folder"),
        (
            {"addresses": ["Connection refused"]},
            "warn  Ray: MLflow at mlflow:5000 cannot be reached from one (10.0.0.1) (C",
        ),
        ({"ahead": 61.0}, "warn  Ray: the clock of one (10.0.0.1) is 61 s ahead of this one"),
        ({"ahead": -3600.0}, "warn  Ray: the clock of one (10.0.0.1) is 3,600 s behind this one"),
    ],
)
def test_a_machine_that_differs_is_named_with_what_to_do(differing: dict[str, Any], line: str) -> None:
    answers = [answered(**differing), answered("two (10.0.0.2)")]
    (finding,) = machines(HERE, answers, "/data", ["mlflow:5000"])
    assert finding.line("Ray").startswith(line) and finding.remedy


def test_machines_that_agree_are_one_line() -> None:
    answers = [answered(ahead=59.0), answered("two (10.0.0.2)")]
    (finding,) = machines(HERE, answers, "/data", ["mlflow:5000"])
    assert finding == Finding("ok", "machines asked: 2; storage seen, mlflow:5000 reached, versions and clocks as here")
    assert [*machines(HERE, [], "/data", [])] == []


@pytest.mark.slow
@pytest.mark.long
def test_a_machine_of_a_cluster_is_asked_itself(head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that lives in a world of its own: another storage, another localhost, another clock, other packages."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("no file systems of a process's own here (unshare --mount)")
    place, empty, other = Storage(str(tmp_path / "storage")), tmp_path / "empty", tmp_path / "other"
    for folder in (empty, other / "torch-9.9.dist-info"):
        folder.mkdir(parents=True)
    (other / "torch-9.9.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 9.9\n")
    shutil.copytree(ROOT / "musiclab", other / "musiclab", ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "musiclab" / "__init__.py").open("a") as file:
        file.write('\n__version__ = "9.8"\n')
    (other / "sitecustomize.py").write_text(
        "import socket, sys, time\n"
        "if any('default_worker' in word for word in sys.orig_argv):\n"
        "    time.time = lambda now=time.time: now() + 7200\n"
        "    ask = socket.getaddrinfo\n"
        "    socket.getaddrinfo = lambda host, *more: ask('127.0.0.2' if host == 'localhost' else host, *more)\n"
    )
    hide = f'mount --bind {empty} {place.root} && exec "$@"'
    node = start_node(
        tmp_path / "node.log", head.address, cpus=1, environment=head.environment | {"PYTHONPATH": str(other)},
        inside=("unshare", "--mount", "sh", "-c", hide, "sh"),
    )  # fmt: skip
    for name, value in (head.environment | {"RAY_ADDRESS": head.address}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)  # Ray looks for modules in the working directory first
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            first, *findings = services.cluster(f"http://localhost:{port}", place)
    finally:
        end(node)
    assert first.text == f"the cluster at {head.address} answers: nodes 2, CPUs 3, GPUs 1"
    versions, storage, tracking, clock = [finding.text for finding in findings]
    assert re.search(r"^\S+ \(\S+\) has PyTorch 9\.9 instead of 2\.\d+\.\d+ and musiclab 9\.8 \(code", versions)
    assert storage.endswith(f"cannot use {place.root}: it has another folder of that name")
    assert tracking.startswith(f"MLflow at localhost:{port} cannot be reached from ")
    assert "(Connection refused)" in tracking
    assert re.search(r"is 7,\d\d\d s ahead of this one", clock)
    assert files(Path(place.root)) == {}
