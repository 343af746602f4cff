"""`musiclab listen`: what it refuses in one sentence, the plan that it fixes, and the answers that it takes in."""

import json
import re
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from musiclab.analysis.results import Results
from musiclab.cli.main import run
from musiclab.dashboards.listening_test.fixed import FixedTest, fixed, planned
from musiclab.dashboards.listening_test.imported import FIRST_NUMBER, LARGEST_FILE, import_file
from musiclab.design.listening import PAIRS, RATINGS
from musiclab.errors import UserError
from musiclab.storage.files import Storage
from tests.support.listeners import RATING, STUDY, storage_of
from tests.support.study_processes import Run, files

pytestmark = pytest.mark.slow  # needs a study that has run


@pytest.fixture
def storage(finished: Run, tmp_path: Path) -> Path:
    return storage_of(finished, tmp_path / "storage")


@pytest.fixture
def results(storage: Path) -> Results:
    return Results.read(Storage(str(storage)), STUDY)


def refused(*arguments: str) -> str:
    """The one sentence with which a command line is refused."""
    with pytest.raises(UserError) as error:
        run(["listen", *arguments])
    sentence = str(error.value)
    assert "\n" not in sentence and sentence.endswith(".")
    return sentence


def test_a_place_without_the_study_is_refused(storage: Path, tmp_path: Path) -> None:
    assert "PLACE must be STORAGE/STUDY" in refused(str(tmp_path / "nowhere"))
    assert "PLACE must be STORAGE/STUDY" in refused(f"{storage}/other")
    (tmp_path / "a file").write_text("x")
    assert "PLACE must be STORAGE/STUDY" in refused(str(tmp_path / "a file"))
    assert not (tmp_path / "nowhere").exists()


def test_a_storage_of_two_studies_must_say_which(storage: Path) -> None:
    (storage / "studies" / "other").mkdir()
    assert refused(str(storage)) == (
        f"PLACE must name one study; '{storage}' has latent_dim and other, so name one of them: {storage}/STUDY."
    )


def test_a_port_in_use_is_refused(storage: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"--port {port} is in use" in refused(f"{storage}/{STUDY}", "--port", str(port))


def test_other_machines_are_let_in_with_a_token_only(storage: Path) -> None:
    assert "--token-file" in refused(f"{storage}/{STUDY}", "--host", "192.0.2.1")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda r: replace(r, records={}, failures={}), "latent_dim has no samples to listen to; run it first."),
        (
            lambda r: replace(r, records={r.trial_specs[0].key: r.records[r.trial_specs[0].key]}),
            "latent_dim has no trial of .* that has finished; run the study to its end first.",
        ),
        (
            lambda r: replace(r, trial_specs=r.trial_specs[:1]),
            "A listening test compares 2 variants or more; latent_dim has samples of latent_dim=8 only.",
        ),
    ],
    ids=["no samples", "unfinished", "one variant"],
)
def test_a_study_with_too_little_to_hear_is_refused(
    change: Callable[[Results], Results], sentence: str, results: Results
) -> None:
    with pytest.raises(UserError, match=f"^{sentence}$"):
        planned(change(results), PAIRS)


def test_a_variant_that_failed_is_left_out_unless_it_is_the_control(results: Results) -> None:
    by_name = {trial.variant.name: trial for trial in results.trial_specs}
    failure: Any = object()

    def without(name: str) -> Results:
        key = by_name[name].key
        records = {other: record for other, record in results.records.items() if other != key}
        return replace(results, records=records, failures={key: failure})

    names = [condition.name for condition in planned(without("latent_dim=8"), PAIRS).conditions]
    assert names == ["latent_dim=16", "latent_dim=32", "latent_dim=64", "real continuation", "shuffled tracks"]
    with pytest.raises(UserError, match=r"^All trials of the control latent_dim=16 failed"):
        planned(without("latent_dim=16"), PAIRS)


def test_a_plan_is_fixed_once_and_says_nothing_of_what_came_later(storage: Path, results: Results) -> None:
    first = fixed(results.storage, STUDY, PAIRS)
    again = fixed(Storage(str(storage)), STUDY, PAIRS)
    assert first.plan == again.plan
    assert first.plan.test == planned(results, PAIRS)
    other = fixed(results.storage, STUDY, RATINGS)
    assert other.plan.test.protocol == RATINGS and other.plan.key != first.plan.key


def test_a_sample_that_is_gone_is_named_before_anybody_listens(storage: Path, results: Results) -> None:
    test = fixed(results.storage, STUDY, PAIRS)
    start = test.plan.test.places[0].start
    key = results.trial_specs[0].key
    (sample,) = storage.glob(f"trials/{key}/**/start-{start}.mid")
    sample.unlink()
    assert f"bars of latent_dim=8 at block 0, start {start}: This sample is no longer" in refused(f"{storage}/{STUDY}")


def test_the_plan_option_starts_and_writes_nothing(
    storage: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(storage)
    assert run(["listen", f"{storage}/{STUDY}", "--ratings", "--plan"]) == 0
    assert files(storage) == before
    printed = capsys.readouterr().out
    assert "question: How good is this continuation of the start?" in printed
    assert "latent_dim=8, latent_dim=16, latent_dim=32 and latent_dim=64; hidden among them" in printed
    assert "a session: 3 warm-ups, 30 pieces out of 24, and 5 of them once more" in printed


# Answers from elsewhere.


def saved(test: FixedTest, count: int = 3, **fields: Any) -> dict[str, Any]:
    """What an offline test saves."""
    answer: Any = "equal" if test.plan.test.protocol == PAIRS else RATING
    return {
        "format": 1,
        "plan": test.plan.key,
        "session": {"id": "a" * 32, "number": FIRST_NUMBER + 2, "began": 1.7e9, "training": "trained"},
        "answers": [
            {"number": number, "answer": answer, "seconds": 3.5, "time": 1.7e9 + number} for number in range(count)
        ],
        "withdrawn": False,
    } | fields


@pytest.fixture
def imported(tmp_path: Path) -> Callable[[FixedTest, Any], str]:
    def take_in(test: FixedTest, content: Any) -> str:
        file = tmp_path / "answers.json"
        file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return import_file(test, file)

    return take_in


@pytest.mark.parametrize("protocol", [PAIRS, RATINGS])
def test_answers_from_elsewhere_count_once(
    protocol: str, listening_test: Callable[..., FixedTest], imported: Callable[[FixedTest, Any], str]
) -> None:
    test = listening_test(protocol)
    id = "a" * 32
    assert imported(test, saved(test)) == f"session {id} has 3 answers, 3 of them new"
    assert imported(test, saved(test)) == f"session {id} has 3 answers, 0 of them new"
    assert imported(test, saved(test, 5)) == f"session {id} has 5 answers, 2 of them new"
    (session,) = test.ballots.sessions()
    assert (session.session.via, session.session.training, len(session.ballots)) == ("file", "trained", 5)
    plan = test.plan.session_plan(FIRST_NUMBER + 2)
    assert [ballot.shown for ballot in session.ballots.values()] == list(plan[:5])
    assert imported(test, saved(test, 5, withdrawn=True)) == f"session {id} is withdrawn, so its answers do not count"
    assert imported(test, saved(test, 9)) == f"session {id} is withdrawn, so its answers do not count"
    (session,) = test.ballots.sessions()
    assert session.withdrawn and len(session.ballots) == 5


SESSION = {"id": "a" * 32, "number": FIRST_NUMBER, "began": 1.7e9, "training": "none"}
ANSWER = {"number": 0, "answer": "equal", "seconds": 1.0, "time": 1.7e9}
HOSTILE: dict[str, Any] = {
    "no JSON": b"\xff\x00{",
    "nested without end": b"[" * 100_000,
    "a list": b"[]",
    "larger than a megabyte": b" " * (LARGEST_FILE + 1),
    "another format": {"format": 2},
    "another test": {"plan": "0" * 64},
    "no session": {"session": None},
    "an id that names a folder": {"session": SESSION | {"id": "../../../../etc/passwd"}},
    "an id in capitals": {"session": SESSION | {"id": "A" * 32}},
    "a number of a page": {"session": SESSION | {"number": 0}},
    "a huge number": {"session": SESSION | {"number": 10**300}},
    "a training that nobody has": {"session": SESSION | {"training": "<script>"}},
    "a time that never was": {"session": SESSION | {"began": -1.0}},
    "no time": {"session": SESSION | {"began": float("nan")}},
    "answers without a list": {"answers": {"0": ANSWER}},
    "more answers than questions": {"answers": [ANSWER | {"number": number} for number in range(99)]},
    "a gap": {"answers": [ANSWER, ANSWER | {"number": 2}]},
    "one twice": {"answers": [ANSWER, ANSWER]},
    "a grade that is none": {"answers": [ANSWER | {"answer": "b_very_much"}]},
    "ratings instead of a grade": {"answers": [ANSWER | {"answer": RATING}]},
    "no seconds": {"answers": [ANSWER | {"seconds": float("inf")}]},
    "more seconds than a float holds": {"answers": [ANSWER | {"seconds": 10**400}]},
    "fewer than no seconds": {"answers": [ANSWER | {"seconds": -1.0}]},
    "true as a number": {"answers": [ANSWER | {"number": True}]},
}


def test_hostile_files_are_refused_whole_in_one_sentence(
    listening_test: Callable[..., FixedTest], imported: Callable[[FixedTest, Any], str], tmp_path: Path
) -> None:
    test = listening_test()
    before = files(tmp_path / "storage")
    for name, content in HOSTILE.items():
        with pytest.raises(UserError) as error:
            imported(test, content if isinstance(content, bytes) else saved(test, **content))
        assert re.fullmatch(r"it [^\n]{10,300}\.", str(error.value)), name
    assert files(tmp_path / "storage") == before
    assert test.ballots.sessions() == []


def test_other_answers_of_a_session_that_is_there_change_nothing(
    listening_test: Callable[..., FixedTest], imported: Callable[[FixedTest, Any], str]
) -> None:
    test = listening_test()
    imported(test, saved(test))
    with pytest.raises(UserError, match="no answer is changed"):
        imported(test, saved(test, answers=[ANSWER | {"answer": "a_much"}]))
    with pytest.raises(UserError, match="There is another session of the id"):
        imported(test, saved(test, session=SESSION))
    assert {ballot.answer for ballot in test.ballots.sessions()[0].ballots.values()} == {"equal"}


def test_one_file_that_is_refused_does_not_keep_others_out(
    listening_test: Callable[..., FixedTest], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = listening_test()
    bad, good = tmp_path / "bad.json", tmp_path / "good.json"
    bad.write_text("{}")
    good.write_text(json.dumps(saved(test)))
    sentence = refused(f"{tmp_path / 'storage'}/{STUDY}", "--import", str(bad), str(tmp_path / "none"), str(good))
    assert f"{bad}: it is no file of answers to this test: it has no 'format'." in sentence
    assert f"{tmp_path / 'none'}: it cannot be read: No such file or directory." in sentence
    assert "3 answers, 3 of them new" in capsys.readouterr().out


def test_an_offline_file_that_cannot_be_written_is_refused(storage: Path, tmp_path: Path) -> None:
    assert "cannot be written" in refused(f"{storage}/{STUDY}", "--offline", str(tmp_path / "none" / "test.html"))
    assert "cannot be written" in refused(f"{storage}/{STUDY}", "--offline", str(tmp_path))
