"""Storages on a real S3 server: what a call costs in requests, what errors say, and commands on a study there.

`test_files.py` has what every kind of storage does.
"""

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from musiclab.cli.main import run as command
from musiclab.dashboards.live.app import opened
from musiclab.dashboards.live.watcher import Watcher
from musiclab.errors import UserError
from musiclab.execution.trial import TrialRunner
from musiclab.storage import files, remote
from musiclab.storage.documents import Documents
from musiclab.storage.files import Probe, Storage, StorageFailed
from musiclab.storage.leases import Lease
from musiclab.storage.plans import Plans
from musiclab.storage.search_documents import SearchSession
from musiclab.tracking.reconcile import Reconciler
from tests.support.s3_servers import S3Server
from tests.support.study_processes import Run, free_port

_BUSY = "AWS Error SLOW_DOWN during PutObject operation: Please reduce your request rate"
_DOWN = "AWS Error NETWORK_CONNECTION during PutObject operation: curlCode: 7, Could not connect to server"
_DENIED = "AWS Error ACCESS_DENIED during PutObject operation: no"


@pytest.fixture
def place(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """An empty storage on the server, and a cache of this machine that has nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Storage(s3.root())


# What it costs.


def test_each_call_is_as_few_requests_as_there_can_be(s3: S3Server, place: Storage) -> None:
    def asked(act: object, *arguments: object) -> dict[str, int]:
        begin = s3.log.stat().st_size
        act(*arguments)
        return dict(Counter(method for method, _ in s3.requests(begin).elements()))

    large = b"x" * 3_000_000
    assert asked(place.write, "a/b", b"1") == {"PUT": 1}
    assert asked(place.write, "a/large", large) == {"PUT": 1}
    assert asked(place.read, "a/b") == asked(place.read, "a/large") == {"HEAD": 1, "GET": 1}
    assert asked(place.exists, "a/b") == asked(place.exists, "a/none") == {"HEAD": 1}
    assert asked(place.names, "a") == asked(place.files, "a") == asked(place.names, "none") == {"LIST": 1}
    # The last one is pyarrow's, which notes the folder so that it does not disappear with its last file.
    assert asked(place.remove, "a/b") == {"HEAD": 1, "DELETE": 1, "PUT": 1}
    assert asked(Storage, place.root) == {"PUT": 2, "HEAD": 1, "DELETE": 1}
    assert asked(Storage, place.root, "look") == {"HEAD": 1}
    assert asked(Storage, place.root, "none") == {}


# What may go wrong.


@pytest.mark.parametrize(
    ("place", "variables", "said"),
    [
        ("s3://nowhere/x", {}, "there is no bucket 'nowhere'"),
        ("s3://music/x", {"AWS_SECRET_ACCESS_KEY": "no"}, "the server refuses the credentials (AWS_ACCESS_KEY_ID and "),
        ("s3://music/x", {"AWS_ACCESS_KEY_ID": "NOBODY"}, "the server refuses the credentials (AWS_ACCESS_KEY_ID and "),
    ],
)
def test_a_place_that_cannot_be_used_is_one_sentence(
    s3: S3Server, place: str, variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for probe, verb in (("write", "written to"), ("look", "read")):
        with pytest.raises(UserError) as error:
            Storage(place, probe)
        assert str(error.value).startswith(f"--storage {place!r} cannot be {verb}: {said}")
        assert str(error.value).endswith("; name a folder or URI that can.")
        assert error.value.exit_code == 2


def test_a_server_that_is_not_there_is_one_sentence(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{endpoint}")
    with pytest.raises(UserError) as error:  # pyarrow itself tries three times, which takes some seconds
        Storage("s3://music/x")
    assert str(error.value) == (
        f"--storage 's3://music/x' cannot be written to: no server answers at http://{endpoint}; name a folder or URI "
        "that can."
    )
    named = f"s3://music/x?scheme=http&endpoint_override={endpoint}"
    assert remote.reason(OSError(_DOWN), named) == f"no server answers at {endpoint}"
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert remote.reason(OSError(_DOWN), "s3://music/x") == "no server answers at the address of the bucket"


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UserError, match="--storage must not hold a password") as error:
        Storage("s3://KEY:SECRET@music/x")
    assert "SECRET" not in str(error.value).replace("AWS_SECRET_ACCESS_KEY", "")
    assert error.value.exit_code == 2


@pytest.mark.parametrize("probe", ["write", "look", "none"])
def test_an_address_without_a_bucket_is_refused(probe: Probe) -> None:
    with pytest.raises(UserError, match=r"--storage must name a bucket, such as s3://bucket/folder; got 's3:///x'\."):
        Storage("s3:///x", probe)


def test_a_server_that_is_busy_or_away_for_a_moment_is_asked_again(
    place: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0))
    put, errors = Storage._put, [_BUSY, _DOWN]

    def fail(*given: object) -> None:
        if errors:
            raise OSError(errors.pop())
        put(*given)

    monkeypatch.setattr(Storage, "_put", fail)
    place.write("a", b"1")
    assert place.read("a") == b"1"
    errors += [_DOWN] * 3
    with pytest.raises(StorageFailed, match=r"cannot be used any more: no server answers at http://127.*nothing fini"):
        place.write("a", b"2")
    assert not errors


def test_a_server_that_refuses_is_not_asked_again(place: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [_DENIED] * 2
    monkeypatch.setattr(files.remote, "read", lambda *_: (_ for _ in ()).throw(OSError(errors.pop())))
    with pytest.raises(StorageFailed, match="cannot be used any more: the server refuses the credentials"):
        place.read("a")
    assert len(errors) == 1


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(
    place: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = SearchSession(began=1.0, last=2.0)
    Documents(place).write("a.json", session)
    read, cut = remote.read, [1]
    monkeypatch.setattr(remote, "read", lambda *given: read(*given)[: -cut.pop() * 20 if cut else None])
    documents = Documents(place)
    assert documents.read("a.json", SearchSession) == session
    assert documents.damage == {}
    cut += [1, 1]
    assert documents.read("a.json", SearchSession) is None
    assert list(documents.damage) == ["a.json"]


# A study.


@pytest.fixture
def study(finished: Run, place: Storage) -> Storage:
    """The finished study, on the server."""
    for file in finished.storage.rglob("*"):
        name = file.relative_to(finished.storage).as_posix()
        if file.is_file() and not name.startswith("mlflow"):
            place.write(name, file.read_bytes())
    return place


def test_a_trial_s_record_is_the_same_and_its_requests_are_few(finished: Run, place: Storage, s3: S3Server) -> None:
    local = Storage(str(finished.storage))
    (folder,) = [f"studies/latent_dim/{edition}" for edition in local.names("studies/latent_dim")]
    plan = Plans(Documents(local)).get(folder)
    spec = plan.trial_specs[0]
    windows = f"data/{spec.variant.data}"
    place.upload(local.local(windows), windows, last="songs.json")
    with Lease(place, f"{folder}/runner").take() as lease:
        place.local(windows)  # a worker's first trial copies them
        runner = TrialRunner(place.root, lease.name)
        begin = s3.log.stat().st_size
        runner(spec.to_json())
        asked = s3.requests(begin)
    assert place.read(f"trials/{spec.key}/record.json") == finished.records[spec.key]
    # Without the heartbeats of the lease, whose number depends on time.
    of_trial = Counter({asking: times for asking, times in asked.items() if "/runner" not in asking[1]})
    kinds: Counter[str] = Counter()
    for (method, _), times in of_trial.items():
        kinds[method] += times
    assert kinds == {"HEAD": 54, "GET": 16, "PUT": 33, "LIST": 4, "DELETE": 2}
    # Weights are read once to be checked when their stage is finished, and once by all later stages together.
    weights = [times for (method, key), times in of_trial.items() if method == "GET" and "weights" in key]
    assert sum(weights) == 5


def test_every_command_works_on_it(
    finished: Run, study: Storage, tmp_path: Path, database: Path, capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    root = study.root
    assert command(["report", f"{root}/latent_dim?region=us-east-1"]) == 0
    assert re.search(rf"latent_dim: {root}/studies/latent_dim/\w+/report.html\?region=", capsys.readouterr().out)
    assert command(["generate", "vae_nn", "--storage", root, "--samples", "1", "--out", str(tmp_path / "new")]) == 0
    assert {file.suffix for file in (tmp_path / "new").iterdir()} == {".mid", ".png", ".mp3"}
    monkeypatch.setattr(
        "musiclab.maintenance.doctor.services.cluster", lambda *places: iter(())
    )  # Ray would be started
    command(["doctor", root, "--tracking-uri", f"sqlite:///{database}"])
    said = capsys.readouterr().out
    assert f"{root} can be written to" in said
    assert "cannot be checked" not in said and "damaged" not in said
    key = next(iter(finished.records))
    study.write("stages/old/weights.safetensors", b"1")
    assert command(["clean", root, "--remove"]) == 0
    assert "stages/old/" in capsys.readouterr().out
    assert study.names("stages/old") == []
    assert study.read(f"trials/{key}/record.json") == finished.records[key]
    watcher = Watcher(opened(root))
    while not watcher.look():
        pass
    assert watcher.trouble == ""
    assert watcher.views["latent_dim"].progress
    shutil.copy(database, tmp_path / "mlflow.db")
    (edition,) = study.names("studies/latent_dim")
    mirror = Reconciler(study, f"studies/latent_dim/{edition}", f"sqlite:///{tmp_path / 'mlflow.db'}")
    links, behind = mirror.round(last=True)
    assert (len(links), behind) == (3, "")
    assert mirror.in_sync == finished.records.keys()
