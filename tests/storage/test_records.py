"""Records: there whole or not at all, and equal to what was written."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from musiclab.design.trials import TrialSpec, Variant
from musiclab.storage.documents import with_checksum
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.storage.stages import CurvePoint, StopRequested, StoredFiles
from musiclab.storage.trial_documents import Baselines
from musiclab.training.files import CHECKPOINT, CURVES, read_progress
from musiclab.training.fit import fit
from musiclab.training.streams import Block
from tests.support.made_records import made_cost, made_plan, made_record
from tests.support.small_learner import Small

RECORD = made_record({"set/frechet": 1.5, "latent/kl": math.nan}, {"a.floor": math.nan})
RUN = made_cost()
SAMPLES = {"start-1.mid": b"MThd", "start-1.png": b"\x89PNG"}


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(Storage(str(tmp_path)))


def _files(records: Records) -> StoredFiles:
    stages = {"vae": "v1", "latent": "l1", "measure": "m1"}
    return StoredFiles(records.storage, TrialSpec(Variant("vae_nn", {}, {}, "d"), Block(0, 0), stages), "vae")


def test_a_record_comes_back_as_it_was(records: Records) -> None:
    records.put("k", RECORD, RUN, SAMPLES)
    found = records.get("k")
    assert replace(found, measures={}, baselines={}) == replace(RECORD, measures={}, baselines={})
    assert found.measures["set/frechet"] == 1.5
    assert math.isnan(found.measures["latent/kl"])
    assert math.isnan(found.baselines["a.floor"])
    assert (records.run("k"), records.samples("k")) == (RUN, SAMPLES)
    assert b"NaN" not in records.storage.read("trials/k/record.json")  # which is no JSON
    assert math.isnan(RECORD.measures["latent/kl"])  # what was given is left alone


def test_equal_records_are_equal_bytes(records: Records) -> None:
    records.put("k", RECORD, RUN, {})
    records.put("other", replace(RECORD, measures=dict(reversed(RECORD.measures.items()))), RUN, {})
    read = records.storage.read
    assert read("trials/k/record.json") == read("trials/other/record.json")


def test_infinity_is_no_measure(records: Records) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.put("k", replace(RECORD, measures={"set/frechet": math.inf}), RUN, {})
    assert records.get("k") is None


@pytest.mark.parametrize("writes", range(4))
def test_a_record_that_was_cut_off_does_not_count(
    records: Records, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, write = [writes], Storage.write

    def limited(self: Storage, name: str, data: bytes) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write(self, name, data)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Storage, "write", limited)
        records.put("k", RECORD, RUN, SAMPLES)
    assert records.get("k") is None
    records.put("k", RECORD, RUN, SAMPLES)
    assert records.get("k")


def test_a_scale_comes_back_as_it_was_and_is_the_same_bytes_whoever_writes_it(records: Records) -> None:
    scale = Baselines(values={"set/frechet.floor": 4.5, "music/x": math.nan}, histograms={"tracks": [1, 2]})
    assert records.baselines("s") is None
    records.put_baselines("s", scale)
    found = records.baselines("s")
    assert math.isnan(found.values.pop("music/x"))
    assert found == Baselines(values={"set/frechet.floor": 4.5}, histograms={"tracks": [1, 2]})
    assert math.isnan(scale.values["music/x"])  # what was given is left alone
    written = records.storage.read("scales/s.json")
    assert b"NaN" not in written
    records.put_baselines("s", replace(scale, values=dict(reversed(scale.values.items()))))
    assert records.storage.read("scales/s.json") == written
    assert records.storage.names("scales") == ["s.json"]


def test_nothing_is_known_of_a_trial_that_never_ran(records: Records) -> None:
    assert records.get("k") is None
    assert records.failure("k") is None
    assert records.run("k") is None
    assert records.samples("k") == {}


def test_a_failure_stands_until_a_success(records: Records) -> None:
    records.put_failure("k", "diverged", "line\nline", again=False)
    failure = records.failure("k")
    assert (failure.reason, failure.log, failure.again) == ("diverged", "line\nline", False)
    assert records.storage.read("trials/k/failed.log") == b"line\nline"  # to be read by people
    assert records.get("k") is None
    records.put_failure("k", "another", "", again=True)
    assert (records.failure("k").reason, records.failure("k").again) == ("another", True)
    records.put("k", RECORD, RUN, SAMPLES)
    assert records.failure("k") is None
    assert records.get("k")
    assert records.storage.names("trials/k") == ["record.json", "run.json", "samples"]


def test_a_stage_counts_when_it_is_finished(records: Records) -> None:
    files = _files(records)
    files.write("weights", b"w")
    files.write(CHECKPOINT, b"c")
    assert not records.stages.done("v1")
    files.finish()
    assert records.stages.done("v1")
    assert files.read("weights") == b"w"
    assert records.storage.names("stages/v1") == ["done", "weights"]  # the checkpoint has served
    with pytest.raises(FileNotFoundError):
        files.read(CHECKPOINT)


def test_a_checkpoint_tells_how_many_whole_epochs_it_has(records: Records) -> None:
    files = _files(records)
    assert records.stages.epochs_kept("v1") is None
    fit(Small(Block(0, 0)), 2, files)
    assert records.stages.epochs_kept("v1") == 2

    def leave(rung: int, value: float) -> None:
        raise StopRequested

    with pytest.raises(StopRequested):
        fit(Small(Block(0, 0)), 5, files, rungs=(0.5,), at_rung=leave)
    assert records.stages.epochs_kept("v1") == 2
    with pytest.raises(StopRequested):
        fit(Small(Block(0, 0)), 5, files, rungs=(0.7,), at_rung=leave)
    assert records.stages.epochs_kept("v1") == 3
    files.finish()
    assert read_progress(files).keys() == {0.5, 0.7}


def test_who_still_works_on_a_stage_that_another_has_finished_changes_nothing_of_it(records: Records) -> None:
    """Two studies that share it; the slower one may be stopped in the middle."""
    slower, faster = _files(records), _files(records)
    slower.write(CURVES, b"[1]")
    faster.write(CURVES, b"[1, 2]")
    faster.write("weights", b"w")
    faster.finish()
    slower.write(CHECKPOINT, b"c")
    slower.write(CURVES, b"[1]")
    assert records.storage.names("stages/v1") == ["curves.json", "done", "weights"]
    assert records.storage.read(f"stages/v1/{CURVES}") == b"[1, 2]"
    slower.finish()
    records.stages.check("v1")
    assert records.damage == {}


def test_products_are_the_files_of_the_same_trial_s_stages(records: Records) -> None:
    _files(records).product("latent").write("weights", b"l")
    assert records.storage.read("stages/l1/weights") == b"l"
    assert _files(records).product("latent").product("vae").product("latent").read("weights") == b"l"


def test_curves_of_all_stages_one_after_another(records: Records) -> None:
    def points(name: str) -> list[CurvePoint]:
        return [CurvePoint(name, step, 0.5, 1.0) for step in (1, 2)]

    stages = {"vae": "v1", "latent": "l1", "generate": "g1"}
    assert records.stages.curves(stages) == []
    records.storage.write(f"stages/l1/{CURVES}", b'[{"name": "b", "step": 1, "value": 0.5, "time": 1.0}]')
    assert records.stages.curves(stages) == points("b")[:1]
    records.storage.write(f"stages/v1/{CURVES}", json.dumps([asdict(point) for point in points("a")]).encode())
    assert records.stages.curves(stages) == points("a") + points("b")[:1]


@pytest.mark.parametrize("key", ["../../elsewhere", "/etc", "a/b", "", 3, None])
def test_a_plan_s_keys_lead_nowhere_else(records: Records, key: Any) -> None:
    trial = TrialSpec(Variant("vae_nn", {}, {}, "d"), Block(0, 0), {"vae": "v1", "measure": "m1"})
    plan = made_plan(trial_specs=(trial,))
    records.plans.put("studies/s/e", plan)
    assert records.plans.get("studies/s/e") == plan
    value = plan.to_json()
    value["trials"][0]["stages"][1] = ["measure", key]
    records.storage.write("studies/s/e/plan.json", with_checksum(value))
    assert records.plans.get("studies/s/e") is None
    assert list(records.damage) == ["studies/s/e/plan.json"]
