"""A worker that is not what the plan asks for fails the trial, with a sentence and without a retry."""

from pathlib import Path

import pytest

from musiclab.design.trials import TrialSpec, Variant
from musiclab.execution.trial import TrialRunner
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.training.runtime import Runtime
from musiclab.training.streams import Block


@pytest.mark.parametrize(
    ("runtime", "reason"),
    [
        (Runtime.here("cuda"), "The plan asks for a GPU, and this worker has none; give it one, or plan with "),
        (Runtime("1.0"), "The plan asks for PyTorch 1.0, and this worker has 2."),
    ],
    ids=["no GPU", "another torch"],
)
def test_a_worker_of_another_runtime_fails_the_trial(
    runtime: Runtime, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    spec = TrialSpec(Variant("vae_nn", {}, {}, "no windows"), Block(0, 0), {"vae": "v", "measure": "m"}, runtime)
    TrialRunner(str(tmp_path), "no lease")(spec.to_json())
    records = Records(Storage(str(tmp_path)))
    assert records.get("m") is None
    failure = records.failure("m")
    assert failure.reason.startswith(reason)
    assert not failure.again  # another try on this worker would end the same way
    assert "WrongRuntime" in failure.log
    assert not records.storage.exists("stages/v")
