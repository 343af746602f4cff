"""That `benchmarks/on_gpu.py` is ready for a GPU: its small version runs on the CPU, part by part."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture
def script(benchmark: Any) -> Any:
    return benchmark("on_gpu")


def test_without_a_gpu_it_says_so(script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["on_gpu.py"])
    assert script.main() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "There is no GPU here, so nothing was measured; --cpu-check tries the script itself.\n"


def test_losses_differ_by_the_largest_share_of_their_value(script: Any) -> None:
    losses = {"train/loss.Piano": 101.0, "val/loss.Bass": 8.0, "train/d_loss": 1.0, "train/kl.Bass": 9.0}
    others = {"train/loss.Piano": 100.0, "val/loss.Bass": 10.0, "train/d_loss": 1.0, "train/kl.Bass": 1.0}
    assert script.largest_difference(losses, others) == pytest.approx(0.2)


@pytest.mark.long
def test_the_small_version_does_every_part(
    script: Any,
    song_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    out = tmp_path / "numbers.json"
    monkeypatch.setattr("sys.argv", ["on_gpu.py", "--cpu-check", "--data", f"midi:{song_folder}", "--out", str(out)])
    assert script.main() == 0
    printed, numbers = capsys.readouterr().out, json.loads(out.read_text())
    assert [row["members"] for row in numbers["members"]] == [1, 5]
    assert all(row["steps_a_second"] > 0 for row in numbers["members"] + numbers["training"])
    # The same device twice: the same losses to the bit.
    assert [(row["system"], row["scale"], row["loss_difference"]) for row in numbers["training"]] == [
        ("vae_nn", "demo", 0.0), ("gan", "demo", 0.0), ("transformer_xl", "demo", 0.0)
    ]  # fmt: skip
    assert [(row["trials_a_card"], row["done"]) for row in numbers["trials"]] == [(2, 4)]
    assert all(name in printed for name in ("VAEs in one batch", "transformer_xl, demo", "trials of latent_dim"))
    assert "TOO MUCH" not in printed
