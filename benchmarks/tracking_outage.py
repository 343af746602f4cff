#!/usr/bin/env python
"""What ten minutes without the tracking server cost a study: the seconds of each trial, with and without the outage.

    python benchmarks/tracking_outage.py [--minutes 10] [--blocks 7]

Two equal studies run side by side, each with an MLflow server of its own. Once the first points show, one server is
frozen (it accepts and never answers) for the first half of the time, then killed, and started again when the time is
over. At the end `musiclab sync` brings MLflow up to date, and each run and point is counted.

How long a trial takes depends on what else the machine does. On a shared machine that varies more than the cost of an
outage. So the table also shows the seconds in which a trial neither computed nor waited for a processor: it waited for
a disk or, perhaps, for a server. If there are more of them with the outage than without, that is its cost.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.support.mlflow_contents import faults, logged  # noqa: E402 - after the path to them, as below
from tests.support.mlflow_servers import MlflowServer  # noqa: E402
from tests.support.study_processes import start_study, wait_for  # noqa: E402

STUDY = "latent_dim"
FIELDS = "width=4 vae_epochs=80 latent_epochs=2 max_train=400 max_eval=32 starts=8 continuation=2"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--blocks", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        undisturbed, outage = (Path(folder) / name for name in ("undisturbed", "outage"))
        _windows(undisturbed)
        shutil.copytree(undisturbed, outage)
        servers = [_server(Path(folder) / f"server-{place.name}") for place in (undisturbed, outage)]
        try:
            studies = [
                _study(storage, server, options.blocks)
                for storage, server in zip((undisturbed, outage), servers, strict=True)
            ]
            busy = [_Busy(study.pid) for study in studies]
            wait_for(lambda: logged(servers[1].uri, STUDY), 600, "the first points of a curve")
            cut = threading.Thread(target=_cut_off, args=(servers[1], 60 * options.minutes))
            cut.start()
            output = ["".join(study.communicate()) for study in studies][1]
            cut.join()
            _print_seconds(_seconds(undisturbed, busy[0]), _seconds(outage, busy[1]))
            print("MLflow in the end, undisturbed:", dict(faults(servers[0].database, STUDY, undisturbed)) or "in sync")
            for line in [line for line in output.splitlines() if "MLflow at" in line]:
                print("the study with the outage printed:", line)
            print("after the study:", dict(faults(servers[1].database, STUDY, outage)) or "in sync")
            _sync(outage)
            print("after sync:", dict(faults(servers[1].database, STUDY, outage)) or "nothing missing, nothing doubled")
        finally:
            for server in servers:
                server.end()


def _windows(storage: Path) -> None:
    musiclab = Path(sys.executable).with_name("musiclab")
    build = [musiclab, "data", "build", "chorales", "--storage", storage]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _server(folder: Path) -> MlflowServer:
    server = MlflowServer(folder, f"sqlite:///{folder / 'mlflow.db'}")
    server.start()
    return server


def _study(storage: Path, server: MlflowServer, blocks: int) -> subprocess.Popen:
    fields = [word for field in FIELDS.split() for word in ("--set", field)]
    options = ["--in-process", "--blocks", str(blocks), "--tracking-uri", server.uri, *fields]
    return start_study(*options, storage=storage)


def _cut_off(server: MlflowServer, seconds: float) -> None:
    """Freeze the server for half of the time, then kill it, and start it again at the end."""
    server.freeze()
    time.sleep(seconds / 2)
    server.kill()
    time.sleep(seconds / 2)
    server.start()


class _Busy(threading.Thread):
    """Records how long the main thread of a process has computed or waited for a processor."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._file = Path(f"/proc/{pid}/task/{pid}/schedstat")
        self._at, self._busy = [], []
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # until it has ended
            while True:
                computed, waited, _ = map(int, self._file.read_text().split())
                self._at.append(time.time())
                self._busy.append((computed + waited) / 1e9)
                time.sleep(0.05)

    def asleep(self, began: float, ended: float) -> float:
        """The seconds between `began` and `ended` in which it did neither."""
        busy = np.interp([began, ended], self._at, self._busy)
        return ended - began - float(busy[1] - busy[0])


def _seconds(storage: Path, busy: _Busy) -> dict[str, tuple[float, float]]:
    """Seconds of each trial, and of those the seconds asleep; by key, in the order in which trials ran."""
    runs = {file.parent.name: json.loads(file.read_text()) for file in storage.glob("trials/*/run.json")}
    return {
        key: (run["ended"] - run["began"], busy.asleep(run["began"], run["ended"]))
        for key, run in sorted(runs.items(), key=lambda run: run[1]["began"])
    }


def _print_seconds(undisturbed: dict[str, tuple[float, float]], outage: dict[str, tuple[float, float]]) -> None:
    print("trial                 undisturbed  asleep  outage  asleep  ratio  cost")
    ratios, costs = [], []
    for key, (seconds, asleep) in undisturbed.items():
        ratios.append(outage[key][0] / seconds)
        costs.append((outage[key][1] - asleep) / seconds)
        print(
            f"{key:<22}{seconds:11.2f}{asleep:8.2f}{outage[key][0]:8.2f}{outage[key][1]:8.2f}{ratios[-1]:7.2f}"
            f"{costs[-1]:+6.3f}"
        )
    totals = [sum(seconds for seconds, _ in trials.values()) for trials in (outage, undisturbed)]
    print(
        f"{len(ratios)} trials: {totals[1]:.0f} s undisturbed, {totals[0]:.0f} s with the outage, ratio of the sums "
        f"{totals[0] / totals[1]:.3f}, median ratio {statistics.median(ratios):.3f}, {min(ratios):.2f} to "
        f"{max(ratios):.2f}\nthe outage cost a trial {min(costs):+.1%} to {max(costs):+.1%} of its seconds"
    )


def _sync(storage: Path) -> None:
    command = [Path(sys.executable).with_name("musiclab"), "sync", storage]
    for _ in range(2):  # the second time changes nothing
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        print("musiclab sync:", ended.stdout.strip())


if __name__ == "__main__":
    main()
