#!/usr/bin/env python
"""What one GPU is worth to these models: step rates, many VAEs in one batch of products, trials that share the card.

    python benchmarks/on_gpu.py [--out on_gpu.json] [--data chorales]

It takes at most 8 minutes on one card and prints a table; --out has the same numbers as JSON.

- Steps a second and the card's peak memory of 1, 5, 20 and 80 VAEs in one batch of products.
- The same of the VAEs, the GAN and the transformer while they train on songs as in a trial, validation included. At
  demo scale the CPU's rate (one thread) and its losses of the first epoch stand beside. All draws are the CPU's, so the
  losses should agree but for rounding, which training multiplies: to TOLERANCE of their value.
- The 28 trials of `latent_dim`, shortened, with 8, 4, 2 and 1 trials a card at a time. What does not end in its share
  of the time is stopped, and the table says how many trials were done.

Without a GPU it says so and exits with 2. --cpu-check does a small version of all of it on the CPU, which tests this
script and measures nothing.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import torch
from choose_presets import Kept
from torch.optim.optimizer import register_optimizer_step_post_hook

from musiclab.data.sources import open_source
from musiclab.data.store import WindowStore, build
from musiclab.systems import find_system
from musiclab.systems.base import StageRun
from musiclab.systems.vae_nn.config import VaeNNConfig
from musiclab.systems.vae_nn.networks import ConvVAE, VaeStack
from musiclab.training.files import CURVES
from musiclab.training.memory import keep_freed_memory
from musiclab.training.streams import Block
from musiclab.training.windows import block_windows

STUDY = Path(__file__).parents[1] / "studies" / "latent_dim.py"
TOLERANCE = 0.01
BATCH = 32
# System, its stage that trains, and the field that says how long.
STAGES = (("vae_nn", "vae", "vae_epochs"), ("gan", "train", "epochs"), ("transformer_xl", "train", "epochs"))


@dataclass(frozen=True)
class Size:
    """How much is measured: on a GPU, or in the small version of --cpu-check.

    Attributes:
        seconds: of all parts together.
        members: how many VAEs share a batch of products.
        widths: of these VAEs.
        timed: seconds that each step rate is taken over.
        fields: of the training at demo scale.
        scales: that are trained on the device.
        trials_a_card: how many trials run at a time.
        study: more options of the study.
    """

    seconds: float
    members: tuple[int, ...]
    widths: tuple[int, ...]
    timed: float
    fields: dict[str, dict[str, Any]]
    scales: tuple[str, ...]
    trials_a_card: tuple[int, ...]
    study: tuple[str, ...]


_FEWER = {"max_train": 256, "max_eval": 64}
_TINY = {"max_train": 16, "max_eval": 8}
GPU = Size(
    seconds=450.0,
    members=(1, 5, 20, 80),
    widths=(16, 64),
    timed=3.0,
    fields=dict.fromkeys(("vae_nn", "gan", "transformer_xl"), _FEWER),
    scales=("demo", "article"),
    trials_a_card=(8, 4, 2, 1),
    study=("--blocks", "7", "--set", "vae_epochs=4", "--set", "latent_epochs=4"),
)
CHECK = Size(
    seconds=400.0,
    members=(1, 5),
    widths=(2,),
    timed=0.05,
    fields={
        "vae_nn": {"width": 2} | _TINY,
        "gan": {"width": 1, "batch": 8} | _TINY,
        "transformer_xl": {"d_model": 8, "layers": 1, "heads": 1, "memory": 8, "segment": 16} | _TINY,
    },
    scales=("demo",),
    trials_a_card=(2,),
    study=(
        "--blocks", "1", "--set", "width=2", "--set", "vae_epochs=1", "--set", "latent_epochs=1", "--set", "starts=4",
        "--set", "max_train=16", "--set", "max_eval=8",
    ),
)  # fmt: skip


def members_rate(members: int, width: int, device: torch.device, seconds: float) -> dict[str, float]:
    """Steps a second of so many VAEs in one batch of products, and the peak memory in MiB."""
    torch.manual_seed(0)
    config = VaeNNConfig(width=width)
    stack = VaeStack([ConvVAE(config, 0.1).to(device) for _ in range(members)])
    adam = torch.optim.Adam(stack.parameters(), fused=True)
    x = (torch.rand(members, BATCH, config.steps * 128, device=device) < 0.03).float()
    noise = torch.randn(members, BATCH, config.latent_dim, device=device)

    def step() -> None:
        nll, kl = stack.terms(x, noise, sampled_kl=False)
        adam.zero_grad()
        (nll + kl).sum().backward()
        adam.step()

    with peak_memory(device) as peak:
        for _ in range(3):
            step()  # the first steps pay for memory and kernels
        began, steps = synchronized(device), 0
        while steps == 0 or synchronized(device) - began < seconds:
            for _ in range(5):
                step()
            steps += 5
        rate = steps / (synchronized(device) - began)
    return {"members": members, "width": width, "steps_a_second": rate, "peak_mib": peak[0]}


class _Enough(Exception):
    """The training was timed for long enough."""


def training(
    name: str, stage: str, config: Any, store: WindowStore, device: torch.device, seconds: float
) -> dict[str, Any]:
    """Steps a second of a stage that trains, from its first epoch's end on; that epoch's losses; the peak memory."""
    block, files = Block(0, 0), Kept({}, stage)
    windows = block_windows(store, block, config.max_train, config.max_eval, config.starts)
    steps: Counter[int] = Counter()  # by optimiser; a step of training has one step of each
    ends: list[tuple[float, float]] = []

    def after_epoch() -> None:
        ends.append((synchronized(device), steps.total() / len(steps)))
        if len(ends) > 1 and ends[-1][0] - ends[0][0] >= seconds:
            raise _Enough

    hook = register_optimizer_step_post_hook(lambda optimizer, *_: steps.update([id(optimizer)]))
    try:
        with peak_memory(device) as peak, contextlib.suppress(_Enough):
            find_system(name).train(stage, StageRun(config, block, windows, files, device, after_epoch=after_epoch))
    finally:
        hook.remove()
    (began, before), (ended, after) = ends[0], ends[-1]
    losses = {point["name"]: point["value"] for point in json.loads(files.read(CURVES)) if point["step"] == 1}
    return {"steps_a_second": (after - before) / (ended - began), "peak_mib": peak[0], "losses": losses}


def trainings(size: Size, store: WindowStore, device: torch.device) -> list[dict[str, Any]]:
    """All stages on the device, those at demo scale beside the CPU."""
    rows = []
    for name, stage, epochs in STAGES:
        for scale in size.scales:
            system = find_system(name)
            fields = system.scales[scale] | system.forms["mended"] | {epochs: 100}
            fields |= size.fields[name] if scale == "demo" else _FEWER
            config = system.config().with_values(fields)
            row = training(name, stage, config, store, device, size.timed)
            losses = row.pop("losses")
            row = {"system": name, "stage": stage, "scale": scale} | row
            if scale == "demo":
                on_cpu = training(name, stage, config, store, torch.device("cpu"), size.timed)
                row["cpu_steps_a_second"] = on_cpu["steps_a_second"]
                row["loss_difference"] = largest_difference(losses, on_cpu["losses"])
            rows.append(row)
    return rows


def largest_difference(losses: dict[str, float], others: dict[str, float]) -> float:
    """The largest difference of two runs' losses, as a share of their value."""
    names = [name for name in others if name.startswith(("train/", "val/")) and "loss" in name]
    return max(abs(losses[name] - others[name]) / max(abs(others[name]), 1e-6) for name in names)


def shared_card(trials: int, size: Size, data: str, storage: Path, gpu: bool, seconds: float) -> dict[str, Any]:
    """Run the study with so many trials at a time; its seconds, trials done, and the card's memory at most."""
    command = [sys.executable, str(STUDY), "--storage", str(storage), "--data", data, "--workers", str(trials)]
    command += ["--gpus-per-trial", str(1 / trials if gpu else 0), *size.study]
    began = time.perf_counter()
    with card_memory(gpu) as peak, (storage / "output.txt").open("w") as output:
        study = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            study.wait(seconds)
        except subprocess.TimeoutExpired:
            study.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                study.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(study.pid, signal.SIGKILL)  # what it started, too
            study.wait()
    return {
        "trials_a_card": trials,
        "seconds": time.perf_counter() - began,
        "done": len([*storage.glob("trials/*/record.json")]),
        "peak_mib": peak[0],
    }


def synchronized(device: torch.device) -> float:
    """The time, once the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@contextlib.contextmanager
def peak_memory(device: torch.device) -> Iterator[list[float]]:
    """In its one item, after the context: the most memory that tensors took on the GPU, in MiB; 0 on the CPU."""
    peak = [0.0]
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    yield peak
    if device.type == "cuda":
        peak[0] = torch.cuda.max_memory_allocated(device) / 2**20


@contextlib.contextmanager
def card_memory(gpu: bool) -> Iterator[list[float]]:
    """In its one item, after the context: the most memory of all processes on the card, in MiB; 0 on the CPU."""
    peak, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            free, total = torch.cuda.mem_get_info()
            peak[0] = max(peak[0], (total - free) / 2**20)

    watcher = threading.Thread(target=watch, daemon=True)
    if gpu:
        watcher.start()
    yield peak
    ended.set()
    if gpu:
        watcher.join()


def measured(size: Size, data: str, device: torch.device, say: Callable[[str], None]) -> dict[str, Any]:
    """All of it, with a line of the table as soon as it is known."""
    gpu, began = device.type == "cuda", time.perf_counter()
    result: dict[str, Any] = {"device": torch.cuda.get_device_name() if gpu else "cpu", "torch": torch.__version__}
    say(f"{result['device']}, PyTorch {result['torch']}, {os.cpu_count()} CPUs")
    say(f"\n{'VAEs in one batch of products':<34}{'steps/s':>9}{'VAE steps/s':>13}{'MiB':>9}")
    result["members"] = []
    for width in size.widths:
        for members in size.members:
            row = members_rate(members, width, device, size.timed)
            result["members"].append(row)
            rate = row["steps_a_second"]
            say(f"{f'width {width}, {members}':<34}{rate:>9.1f}{members * rate:>13.1f}{row['peak_mib']:>9.0f}")
    with tempfile.TemporaryDirectory() as folder:
        windows = Path(folder) / "data"
        windows.mkdir()
        store = build(open_source(data), VaeNNConfig().window_spec, windows, workers=2)
        say(f"\n{'training':<34}{'steps/s':>9}{'CPU':>13}{'MiB':>9}{'losses differ by':>18}")
        result["training"] = trainings(size, store, device)
        for row in result["training"]:
            on_cpu = f"{row['cpu_steps_a_second']:.1f}" if "cpu_steps_a_second" in row else "-"
            differ = f"{row['loss_difference']:.1e}" if "loss_difference" in row else "-"
            differ += " TOO MUCH" if row.get("loss_difference", 0) > TOLERANCE else ""
            name = f"{row['system']}, {row['scale']}"
            say(f"{name:<34}{row['steps_a_second']:>9.1f}{on_cpu:>13}{row['peak_mib']:>9.0f}{differ:>18}")
        say(f"\n{'trials of latent_dim at a time':<34}{'seconds':>9}{'done':>13}{'MiB':>9}{'seconds a trial':>18}")
        result["trials"] = []
        for at, trials in enumerate(size.trials_a_card):
            storage = Path(folder) / f"{trials}"
            shutil.copytree(windows, storage / "data")
            left = size.seconds - (time.perf_counter() - began)
            share = max(10.0, left / (len(size.trials_a_card) - at))
            row = shared_card(trials, size, data, storage, gpu, share)
            result["trials"].append(row)
            each = f"{row['seconds'] / row['done']:.2f}" if row["done"] else "-"
            say(f"{trials:<34}{row['seconds']:>9.1f}{row['done']:>13}{row['peak_mib']:>9.0f}{each:>18}")
            if not row["done"]:
                say((storage / "output.txt").read_text()[-2000:])
    result["seconds"] = time.perf_counter() - began
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a file for the numbers as JSON")
    parser.add_argument("--data", default="chorales", help="the songs, as for any study")
    parser.add_argument("--cpu-check", action="store_true", help="try the script itself, on the CPU")
    options = parser.parse_args()
    if not (options.cpu_check or torch.cuda.is_available()):
        print("There is no GPU here, so nothing was measured; --cpu-check tries the script itself.", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    keep_freed_memory()
    device = torch.device("cpu" if options.cpu_check else "cuda")
    result = measured(CHECK if options.cpu_check else GPU, options.data, device, lambda line: print(line, flush=True))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{result['seconds']:.0f} seconds; losses may differ by {TOLERANCE:.0%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
