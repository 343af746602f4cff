"""A study in the middle of its run as its storage tells it, without any training; this process holds its lease."""

import json
import time
from pathlib import Path

import numpy as np

from musiclab.design.trials import TrialSpec, Variant
from musiclab.rendering.midi import to_midi
from musiclab.storage.activity import Activity, MirrorState, WorkerState
from musiclab.storage.files import Storage
from musiclab.storage.leases import Lease
from musiclab.storage.records import Records
from musiclab.storage.stages import CurvePoint
from musiclab.training.streams import Block
from tests.support.made_records import made_cost, made_plan, made_record

DIMS, BLOCKS, EPOCHS = (8, 16, 32, 64), 3, 25
CONTROL = "latent_dim=16"
CONFIG = {"vae_epochs": EPOCHS, "latent_epochs": EPOCHS, "steps": 32, "continuation": 3, "starts": 2}
REASON = "MemoryError: out of memory"
LOG = "\n".join(["Traceback (most recent call last):", *(f"  step {number}" for number in range(40)), REASON])


class MadeLive:
    """A study of four variants on three blocks in `folder`, of which a test makes trials run and end.

    Attributes:
        specs: its trials by variant's number and block.
        folder: of its edition in the storage.
        lease: the name of this process's lease; "" before `begin`.
    """

    def __init__(self, folder: Path, name: str = "made", blocks: int = BLOCKS) -> None:
        self.storage, self.name, self.folder = Storage(str(folder)), name, f"studies/{name}/e"
        self.records, self.activity = Records(self.storage), Activity(self.storage, self.folder)
        self.began, self.lease = time.time(), ""
        self.specs = {
            (number, block): _spec(name, number, dim, block)
            for block in range(blocks)
            for number, dim in enumerate(DIMS)
        }
        self.records.plans.put(
            self.folder,
            made_plan(
                study=name, question="How large should the latent space be?\nClaim C1.", edition="e", blocks=blocks,
                controls={spec.variant.name: CONTROL for spec in self.specs.values()},
                trial_specs=tuple(self.specs.values()), began=self.began,
            ),
        )  # fmt: skip

    def begin(self) -> Lease:
        """Take the lease of the study's run, for as long as the context that it is lasts."""
        lease = Lease(self.storage, f"{self.folder}/runner").take()
        self.lease = lease.name
        return lease

    def train(self, number: int, block: int, epochs: int, earlier: int = 0, at: float | None = None) -> None:
        """The curves of a trial's first stage up to an epoch.

        The first `earlier` epochs were written an hour ago, the last one at a time, by default now.
        """
        end = time.time() if at is None else at
        times = {step: end - 0.01 * (epochs - step) - 3600 * (step <= earlier) for step in range(epochs + 1)}
        points = [
            CurvePoint(f"{part}/loss", step, 3 / step + 0.1 * number + 0.05 * block, times[step])
            for step in range(1, epochs + 1)
            for part in ("train", "val")
        ]
        key = self.specs[number, block].stages["vae"]
        self.storage.write(f"stages/{key}/curves.json", json.dumps([vars(point) for point in points]).encode())

    def work(self, number: int, block: int, pid: int, began: float | None = None, device: str = "cpu") -> None:
        """Let a worker have begun a trial, by default a second ago."""
        state = WorkerState(
            trial=self.specs[number, block].key, began=time.time() - 1 if began is None else began, lease=self.lease,
            host="kiln", pid=pid, device=device, gpu="0" if device != "cpu" else "",
        )  # fmt: skip
        self.activity.put_worker(state)

    def finish(self, number: int, block: int, score: float, ended: float | None = None, samples: int = 0) -> None:
        """Let a trial end well, with so many samples."""
        spec, ended = self.specs[number, block], time.time() if ended is None else ended
        for stage in ("vae", "latent", "generate"):
            self.storage.write(f"stages/{spec.stages[stage]}/done", b"")
        files = made_samples(samples, seed=10 * number + block)
        record = made_record(
            {"set/frechet": score}, {"set/frechet.floor": 0.5}, key=spec.key, config=spec.variant.config,
            block=spec.block, stages=spec.stages, samples=dict.fromkeys(files, "h"),
        )  # fmt: skip
        seconds = {"vae": 40.0, "latent": 10.0, "generate": 5.0, "measure": 5.0, "samples": 1.0}
        cost = made_cost(began=ended - 61, ended=ended, seconds=seconds, host="kiln", pid=100 + number, device="cpu")
        self.records.put(spec.key, record, cost, files)

    def fail(self, number: int, block: int, reason: str = REASON, log: str = LOG) -> None:
        """Let a trial fail."""
        self.records.put_failure(self.specs[number, block].key, reason, log, again=False)

    def mirrored(self, in_sync: int, behind: str = "") -> None:
        """Let the mirror say how far it is."""
        self.activity.put_mirror(MirrorState(in_sync=in_sync, behind=behind, time=time.time()))

    def in_the_middle(self) -> None:
        """Block 0 has ended, one trial of it before this run; of block 1 one has failed, and two run, one resumed."""
        for number in range(len(DIMS)):
            self.train(number, 0, EPOCHS)
            self.finish(number, 0, 3.0 + number, self.began - 60 if number == 0 else None, samples=2)
        self.fail(0, 1)
        self.finish(1, 1, 3.5, samples=2)
        self.work(2, 1, pid=2001)
        self.train(2, 1, 9, earlier=4)
        self.work(3, 1, pid=2002, device="NVIDIA H200")
        self.train(3, 1, 3)
        self.train(0, 2, 7)
        self.mirrored(4)


def made_samples(count: int, seed: int = 0) -> dict[str, bytes]:
    """MIDI files of samples: a start of 32 steps, and three times as much after it. Sounds are made if asked for."""
    rng = np.random.default_rng(seed)
    files = {}
    for number in range(1, count + 1):
        roll = np.zeros((5, 128, 128), bool)
        for track in range(5):
            for start in range(0, 128, 8):
                roll[track, start : start + 6, int(rng.integers(40, 80))] = True
        files[f"start-{number}.mid"] = to_midi(roll, 2, 120.0)
    return files


def _spec(study: str, number: int, dim: int, block: int) -> TrialSpec:
    variant = Variant("vae_nn", {"latent_dim": dim}, CONFIG | {"latent_dim": dim}, "data")
    names = ("vae", "latent", "generate", "measure")
    return TrialSpec(variant, Block(block, block), {stage: f"{study}-{stage}-{number}-{block}" for stage in names})
