"""Formats of documents: what is written is read again, and older, newer and unknown things are handled in words."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from musiclab.analysis.results import Results
from musiclab.cli import main as cli
from musiclab.design.claims import Claim, Expect
from musiclab.design.listening import Condition, Exclusions, ListeningTest, Presentation, session_plan
from musiclab.design.trials import TrialSpec, Variant
from musiclab.execution import trial
from musiclab.execution.executor import InProcess
from musiclab.maintenance.doctor import services
from musiclab.measures.registry import Measure
from musiclab.storage import leases
from musiclab.storage.activity import MirrorState, StopRequest, WorkerState
from musiclab.storage.ballot_documents import Ballot, ListeningPlan, Session, Withdrawal
from musiclab.storage.documents import NewerFormat, verified, with_checksum
from musiclab.storage.files import Storage
from musiclab.storage.leases import Lease, LeaseState
from musiclab.storage.listing import Listing
from musiclab.storage.plans import StudyPlan
from musiclab.storage.records import Records
from musiclab.storage.search_documents import Conclusion, Confirmation, Decision, End, Proposal, SearchSession
from musiclab.storage.stages import DamagedStage, FinishedStage, StoredFiles
from musiclab.storage.trial_documents import Baselines, Failure, TrialCost, TrialData, TrialRecord
from musiclab.study import Grid, Study
from musiclab.study.options import design_of, parse_options
from musiclab.study.plan_file import PlanFile
from musiclab.study.run import StudyRun
from musiclab.tracking.snapshot import stored_trial
from musiclab.training.runtime import Runtime
from musiclab.training.streams import Block
from tests.support.made_listening import made_test
from tests.support.made_records import made_cost, made_plan, made_record
from tests.support.made_results import made_study

LISTING = Path(__file__).with_name("formats.json")
# Every document class, with the classes of the values that stand in it.
DOCUMENTS: dict[type, tuple[type, ...]] = {
    TrialRecord: (TrialData, Block, Runtime),
    TrialCost: (),
    Failure: (),
    Baselines: (),
    StudyPlan: (Claim, Expect, TrialSpec, Variant, Block, Runtime),
    FinishedStage: (),
    LeaseState: (),
    Proposal: (),
    End: (),
    Decision: (),
    Confirmation: (),
    SearchSession: (),
    Conclusion: (),
    ListeningPlan: (ListeningTest, Condition, Exclusions),
    Session: (),
    Ballot: (Presentation,),
    Withdrawal: (),
    WorkerState: (),
    MirrorState: (),
    StopRequest: (),
}
TRIAL = TrialSpec(
    Variant("vae_nn", {"a": 1}, {"a": 1}, "d"), Block(0, 1), {"vae": "v", "measure": "m"}, Runtime("2.13")
)
FULL: list[Any] = [
    made_record(
        {"set/frechet": 1.5}, {"set/frechet.floor": 0.5}, config={"a": [1, "b"]}, runtime=Runtime("2.13", "cuda"),
        data=TrialData(fingerprint="d", split="s", songs={"train": 1}, windows={"train": 2}),
        histograms={"real": {"tracks": [1, 2]}}, samples={"start-1.mid": "hash"},
    ),
    made_cost(
        seconds={"vae": 1.5}, reused=("latent",), peak_memory_mib=7, device="cpu", host="h", pid=3, source="chorales",
        versions={"torch": "2"}, checksums={"start-1.mp3": "hash"},
    ),
    Failure(reason="diverged", again=True, time=2.5),
    Baselines(values={"set/frechet.floor": 1.0}, histograms={"tracks": [1]}),
    made_plan(
        claims=[{"id": "C1", "says": "so", "expect": [
            {"measure": "frechet", "of": {"a": 1}, "relation": "above", "than": "real"}]}],
        trial_specs=(TRIAL,), margin=2.0, sequential=True, songs="s", code={"vae_nn/vae": "revision 1"},
        tracking="http://a", design={"kind": "grid"}, scale="article",
        measures=(Measure("leap", "own", "semitones", "real", "How far the top voice moves", place="mine.py: leap"),),
    ),
    FinishedStage(files={"weights": "hash"}),
    LeaseState(user="u", host="h", machine="m", pid=1, started="1", since="2026-01-01", phase="holding", beat=0),
    Proposal(
        number=3, values={"lr": 0.5}, source="start", key="k", told=2, time=1.5, notes={"tpe:0": "{}"},
        stages={"vae": "v", "measure": "k"},
    ),
    End(
        number=3, state="pruned", scores={"set/frechet": 1.5}, told=(1.5,), rungs=(0.5,), reason="so", order=2,
        seconds=3.5, time=4.5,
    ),
    Decision(key="k", value=0.5, beside=4, go_on=False),
    Confirmation(numbers=(3, 1)),
    SearchSession(began=1.5, last=2.5),
    Conclusion(budget={"trials": 9}, proposals=9, importance={"lr": 0.75}),
    ListeningPlan(study="q", edition="e", test=made_test(), began=1.5),
    Session(id="a" * 32, number=3, plan="p", began=1.5, training="trained", via="file", simulated=True),
    Ballot(session="a" * 32, number=3, answer="equal", seconds=2.5, time=1.5, shown=session_plan(made_test(), 0)[3]),
    Withdrawal(session="a" * 32, time=1.5),
    WorkerState(trial="k", began=1.5, lease="l", host="h", pid=3, device="cpu", gpu="0"),
    MirrorState(in_sync=3, behind="MLflow does not answer", time=1.5),
    StopRequest(lease="l", time=1.5),
]  # fmt: skip
IDS = [type(document).__name__ for document in FULL]
# The least that a document of format 1 may say, with which it is read.
REQUIRED = {
    TrialRecord: {"key", "system", "config", "block", "stages", "data", "measures", "baselines"},
    TrialCost: {"began", "ended"},
    Failure: {"reason"},
    Baselines: {"values"},
    StudyPlan: {"study", "edition", "controls", "objective", "blocks", "trials", "began"},
    FinishedStage: {"files"},
    LeaseState: {"user", "host", "machine", "pid", "started", "since", "phase", "beat"},
    Proposal: {"number", "values", "source", "key", "told", "time"},
    End: {"number", "state", "scores", "order", "time"},
    Decision: {"key", "beside", "go_on"},
    Confirmation: {"numbers"},
    SearchSession: {"began", "last"},
    Conclusion: {"budget", "proposals"},
    ListeningPlan: {"study", "edition", "test", "began"},
    Session: {"id", "number", "plan", "began"},
    Ballot: {"session", "number", "answer", "seconds", "time", "shown"},
    Withdrawal: {"session", "time"},
    WorkerState: {"trial", "began", "lease"},
    MirrorState: {"in_sync", "behind", "time"},
    StopRequest: {"lease", "time"},
}


def _plain(document: Any) -> dict[str, Any]:
    """As it comes out of its file."""
    return json.loads(json.dumps(document.to_json()))


@pytest.mark.parametrize("document", FULL, ids=IDS)
def test_what_is_written_is_read_again(document: Any) -> None:
    value = _plain(document)
    assert value["format"] == type(document).FORMAT == 1
    assert type(document).from_json(value) == document


@pytest.mark.parametrize("document", FULL, ids=IDS)
def test_an_unknown_field_is_kept_and_written_again(document: Any) -> None:
    value = _plain(document) | {"invented": {"later": [1, None]}}
    read = type(document).from_json(value)
    assert read.extra == {"invented": {"later": [1, None]}}
    assert dataclasses.replace(read, extra={}) == document
    assert _plain(read) == value


def test_unknown_fields_inside_are_ignored() -> None:
    def with_more(value: Any) -> Any:
        """Every object in it has one more field, but for those whose names are data."""
        if isinstance(value, list):
            return [with_more(each) for each in value]
        return value | {"invented": 1} if isinstance(value, dict) else value

    plan = _plain(FULL[4])
    plan["claims"] = with_more(plan["claims"])
    plan["claims"][0]["expect"] = with_more(plan["claims"][0]["expect"])
    trial = plan["trials"][0]
    plan["trials"] = [
        trial | {"invented": 1} | {part: with_more(trial[part]) for part in ("variant", "block", "runtime")}
    ]
    assert StudyPlan.from_json(plan) == FULL[4]
    record = _plain(FULL[0])
    record |= {part: with_more(record[part]) for part in ("block", "data", "runtime")}
    assert TrialRecord.from_json(record) == FULL[0]


@pytest.mark.parametrize("document", FULL, ids=IDS)
def test_a_missing_field_has_its_default_unless_it_is_required(document: Any) -> None:
    kind, value = type(document), _plain(document)
    required = REQUIRED[kind]
    least = {name: value[name] for name in required}
    assert kind.from_json(least | {"format": 1}) is not None
    assert _plain(kind.from_json(least | {"format": 1})).keys() == value.keys()
    for name in required:
        with pytest.raises((ValueError, LookupError)):
            kind.from_json({other: value[other] for other in value if other != name})


def test_names_of_format_0_are_read() -> None:
    record, plan = _plain(FULL[0]), _plain(FULL[4])
    record["scale"], plan["cells"] = record.pop("baselines"), plan.pop("trials")
    done = {"weights": "hash"}
    for value in (record, plan):
        del value["format"]
    assert TrialRecord.from_json(record) == FULL[0]
    assert StudyPlan.from_json(plan) == FULL[4]
    assert FinishedStage.from_json(done) == FULL[5]


def test_a_change_of_fields_raises_the_format() -> None:
    """Once a format is released its fields stand in the listing; adding one that has a default is listed, too."""
    now = {
        document.__name__: {
            "format": document.FORMAT,
            "fields": {
                kind.__name__: sorted(field.name for field in dataclasses.fields(kind)) for kind in (document, *parts)
            },
        }
        for document, parts in DOCUMENTS.items()
    }
    listed = json.loads(LISTING.read_text(encoding="utf-8"))
    assert now.keys() == listed.keys()
    for name, document in now.items():
        same_format = document["format"] == listed[name]["format"]
        gone = [field for kind, fields in listed[name]["fields"].items()
                for field in fields if field not in document["fields"].get(kind, ())]  # fmt: skip
        assert not same_format or not gone, (
            f"{', '.join(gone)} of {name} are gone: raise its FORMAT, let from_json read the format before, put a "
            f"storage of that into tests/assets/storages, and list format and fields in {LISTING.name}."
        )
        # A field that is only added has a default, so both versions read both files.
        assert document == listed[name], f"List the format and the fields of {name} in {LISTING.name}."


# A newer format: one sentence wherever it is read, and the file stays as it is.

# By kind of document: the file in the study below.
NEWER = {
    "plan": "studies/made/e/plan.json",
    "record": "trials/madem0b0/record.json",
    "cost": "trials/madem0b0/run.json",
    "failure": "trials/madem1b1/failed.json",
    "baselines": "scales/s1.json",
    "finished stage": "stages/madev0b0/done",
    "unneeded stage": "stages/old/done",
    "lease": "studies/made/e/runner/0.json",
}


def _raise_format(storage: Storage, name: str) -> bytes:
    """Make a file one of format 2, which says other things; its bytes then."""
    data = storage.read(name)
    value = json.loads(data) if "/runner/" in name else verified(data)
    value |= {"format": 2, "invented": 1}
    storage.write(name, json.dumps(value).encode() if "/runner/" in name else with_checksum(value))
    return storage.read(name)


def _sentence(name: str) -> str:
    return f"{name} has format 2, and this musiclab reads up to 1; install a newer musiclab to read it"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A storage with a study that has a document of every kind."""
    monkeypatch.setattr(leases, "_BEAT_S", 0.02)
    monkeypatch.setattr(services, "call_in_child", lambda module, *_, **__: (
        {"nodes": 1, "cpus": 2, "gpus": 0} if "ray" in module else {"here": "3.17.2", "there": ""}
    ))  # fmt: skip
    made_study(tmp_path, {"16": [{"set/frechet": 1.0}, {"set/frechet": 2.0}], "8": [{"set/frechet": 3.0}, "it failed"]})
    place = Storage(str(tmp_path))
    for key in ("madev0b0", "madev0b1", "madev1b0", "madev1b1", "old"):
        stage = StoredFiles(place, TrialSpec(Variant("vae_nn", {}, {}, "d"), Block(0, 0), {"vae": key}), "vae")
        stage.write("weights.safetensors", b"w")
        stage.finish()
    Records(place).put_baselines("s1", Baselines(values={}))
    return place


def _add_lease(place: Storage) -> None:
    with Lease(place, "elsewhere").take() as held:
        place.write(NEWER["lease"], place.read(held.name))


@pytest.fixture
def run(place: Storage, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs `musiclab` with these words; all that it printed."""

    def run(*words: str) -> str:
        with pytest.raises(SystemExit):
            cli.main(list(words))
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return printed.out + printed.err

    return run


COMMANDS: dict[str, list[str]] = {
    "report": ["report", "{place}/made"],
    "report of all": ["report", "{place}"],
    "doctor": ["doctor", "{place}"],
    "clean": ["clean", "{place}"],
    "clean --remove": ["clean", "{place}", "--remove"],
    "generate": ["generate", "vae_nn", "--storage", "{place}"],
    "generate of a trial": ["generate", "vae_nn", "--storage", "{place}", "--trial", "madem0b0"],
    "sync": ["sync", "{place}/made"],
}
READERS = {
    "plan": [*COMMANDS],
    "record": ["report", "report of all", "doctor", "clean", "clean --remove", "generate", "generate of a trial"],
    "cost": ["report", "report of all", "doctor"],
    "failure": ["report", "report of all", "doctor"],
    "baselines": ["doctor"],
    "finished stage": ["doctor"],
    "unneeded stage": ["doctor", "clean", "clean --remove"],
    "lease": ["doctor", "clean", "clean --remove", "sync"],
}


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (kind, command)
        for kind, commands in READERS.items()
        for command in commands
        if (kind, command) != ("plan", "generate of a trial")  # which needs no plan
    ],
)
def test_every_command_says_so_in_one_sentence_and_leaves_the_file(
    kind: str, command: str, place: Storage, run: Callable[..., str]
) -> None:
    if kind == "lease":
        _add_lease(place)
    name = NEWER[kind]
    data = _raise_format(place, name)
    printed = run(*(word.format(place=place.root) for word in COMMANDS[command]))
    # The doctor gives what is to be done after what was found.
    sentence = _sentence(name) if command != "doctor" or kind == "lease" else _sentence(name).partition(";")[0]
    assert printed.count(sentence) == 1, printed
    assert place.read(name) == data
    assert place.exists("stages/madev0b0/weights.safetensors")


@pytest.mark.parametrize("kind", ["record", "cost", "failure"])
def test_the_mirror_says_so(kind: str, place: Storage) -> None:
    trials = Results.read(place, "made").trial_specs
    _raise_format(place, NEWER[kind])
    with pytest.raises(NewerFormat, match=_sentence(NEWER[kind])):
        for spec in trials:
            stored_trial(Records(place), spec.stages, over=True, listing=Listing(place))


def test_a_trial_says_so_of_its_baselines(place: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    data = _raise_format(place, NEWER["baselines"])
    monkeypatch.setattr(trial, "baselines_key", lambda run: "s1")
    with pytest.raises(NewerFormat) as error:
        trial._baselines(Records(place), None, (), {})
    assert trial._reason(error.value, False) == _sentence(NEWER["baselines"]) + "."
    assert not trial._again(error.value, False)
    assert place.read(NEWER["baselines"]) == data


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["record", "cost", "failure"])
def test_sync_says_so_and_goes_on_with_other_studies(
    kind: str, place: Storage, run: Callable[..., str], database: Path
) -> None:
    shutil.copy(database, Path(place.root) / "mlflow.db")
    made_study(Path(place.root), {"16": [{"set/frechet": 1.0}]}, name="other")
    data = _raise_format(place, NEWER[kind])
    printed = run("sync", place.root)
    assert printed.count(f"made: {_sentence(NEWER[kind])}.") == 1
    assert "other: " in printed and "1 trial, " in printed
    assert place.read(NEWER[kind]) == data


def test_a_stage_of_a_newer_format_is_neither_read_nor_done_again(place: Storage) -> None:
    data = _raise_format(place, NEWER["finished stage"])
    spec = TrialSpec(Variant("vae_nn", {}, {}, "d"), Block(0, 0), {"vae": "madev0b0"})
    stored = StoredFiles(place, spec, "vae")
    with pytest.raises(NewerFormat) as error:
        stored.read("weights.safetensors")
    assert not isinstance(error.value, DamagedStage) and str(error.value) == _sentence(NEWER["finished stage"]) + "."
    assert Records(place).stages.done("madev0b0")
    stored.write("weights.safetensors", b"other")
    assert place.read(NEWER["finished stage"]) == data and place.read("stages/madev0b0/weights.safetensors") == b"w"


def test_nothing_replaces_or_removes_a_document_of_a_newer_format(place: Storage) -> None:
    records = Records(place)
    kept = {kind: _raise_format(place, NEWER[kind]) for kind in ("plan", "record", "cost", "failure", "baselines")}
    writes: list[Callable[[], None]] = [
        lambda: records.plans.put("studies/made/e", made_plan()),
        lambda: records.put("madem0b0", made_record({}), made_cost(), {}),
        lambda: records.put_failure("madem1b1", "again", "log", again=True),
        lambda: records.forget_failure("madem1b1"),
        lambda: records.put_baselines("s1", Baselines(values={})),
    ]
    for write in writes:
        with pytest.raises(NewerFormat):
            write()
    assert {kind: place.read(NEWER[kind]) for kind in kept} == kept
    assert place.read("trials/madem1b1/failed.log") == b"it failed"


def test_damage_is_not_taken_for_a_newer_format(place: Storage) -> None:
    name = NEWER["record"]
    place.write(name, place.read(name).replace(b'"format": 1', b'"format": 9'))
    records = Records(place)
    assert records.get("madem0b0") is None
    assert records.damage == {name: "it is not what was written"}


@pytest.fixture
def study(tmp_path: Path, song_folder: Path) -> tuple[Study, list[str], StudyRun]:
    """A study, the options to run it in a storage of its own, and its run, whose plan is written."""
    study = Study(
        name="q", system="vae_nn", space={"latent_dim": Grid(2, 3)}, control={"latent_dim": 2}, blocks=1,
        objective="frechet", question="?",
    )  # fmt: skip
    words = ["--data", f"midi:{song_folder}", "--storage", str(tmp_path / "own"), "--in-process"]
    design = design_of(study, parse_options("?", words))
    running = StudyRun(design, Records(Storage(str(tmp_path / "own"))))
    PlanFile(running).write()
    return study, words, running


@pytest.mark.parametrize("kind", ["plan", "plan of another edition", "record", "failure", "lease"])
def test_a_new_run_says_so_before_anything_is_trained(
    kind: str,
    study: tuple[Study, list[str], StudyRun],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, words, running = study
    records, storage, folder = running.records, running.records.storage, running.design.folder
    key = running.trial_specs[0].key
    records.put_failure(key, "it failed", "log", again=False)
    plan = records.plans.get(folder)
    other = dataclasses.replace(plan, edition="other")
    records.plans.put("studies/q/other", other)
    records.put("another", made_record({}), made_cost(), {})
    with Lease(storage, "elsewhere").take() as held:
        storage.write(f"{folder}/runner/0.json", storage.read(held.name))
    if kind != "lease":
        storage.remove(f"{folder}/runner/0.json")
    if kind == "record":
        records.put(key, made_record({"set/frechet": 1.0}, key=key), made_cost(), {})
    name = {
        "plan": f"{folder}/plan.json",
        "plan of another edition": "studies/q/other/plan.json",
        "record": f"trials/{key}/record.json",
        "failure": f"trials/{key}/failed.json",
        "lease": f"{folder}/runner/0.json",
    }[kind]
    data = _raise_format(storage, name)
    monkeypatch.setattr(InProcess, "run", lambda *_: pytest.fail("a trial was started"))
    with pytest.raises(SystemExit) as ended:
        asked.main(words)
    assert ended.value.code in (1, 2)
    assert capsys.readouterr().err.count(_sentence(name)) == 1
    assert storage.read(name) == data


def test_a_plan_that_is_written_again_keeps_what_it_does_not_know(study: tuple[Study, list[str], StudyRun]) -> None:
    _, _, running = study
    plans, folder = running.records.plans, running.design.folder
    plans.put(folder, dataclasses.replace(plans.get(folder), extra={"invented": 1}))
    PlanFile(running).write()
    assert plans.get(folder).extra == {"invented": 1}
