#!/usr/bin/env python
"""What nine noise values cost, compared with one value and with nine separate trainings.

    python benchmarks/shared_stages.py [--blocks 1]

Both studies run in one process on the default data. The times are those of whole commands on windows that are already
cut: start-up, training, generating, measuring, samples and MLflow included.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from musiclab.wording import counted

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

STUDY = Path(__file__).parents[1] / "studies" / "noise_sd.py"
ONE = """
import runpy
from musiclab import Grid, Study

if __name__ == "__main__":
    study = runpy.run_path({study!r})["study"]
    values = {{name: getattr(study, name) for name in ("system", "control", "fixed", "blocks", "objective")}}
    Study(name="one", question="One noise value.", space={{"noise_sd": Grid(0.5)}}, **values).main()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=1)
    blocks = parser.parse_args().blocks
    with tempfile.TemporaryDirectory() as folder:
        one_file, storages = Path(folder) / "one.py", [Path(folder) / name for name in ("one", "nine")]
        one_file.write_text(ONE.format(study=str(STUDY)))
        for storage in storages:
            musiclab = Path(sys.executable).with_name("musiclab")
            subprocess.run(
                [musiclab, "data", "build", "chorales", "--storage", storage], check=True, stdout=subprocess.DEVNULL
            )
        one = _timed(one_file, storages[0], blocks)
        nine = _timed(STUDY, storages[1], blocks)
        trainings = [_trainings(storage) for storage in storages]
    print(f"{counted(blocks, 'block')} of noise_sd at demo scale   trainings  seconds  ratio")
    for name, times, seconds in (
        ("one noise value", trainings[0], one),
        ("nine noise values", trainings[1], nine),
        ("nine, each trained anew (nine times the first)", 9 * trainings[0], 9 * one),
    ):
        print(f"{name:<48}{times:>5}  {seconds:7.1f}  {seconds / one:5.2f}")


def _timed(study: Path, storage: Path, blocks: int) -> float:
    """Run a study; the seconds of the whole command."""
    command = [sys.executable, study, "--storage", storage, "--blocks", str(blocks), "--in-process"]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _trainings(storage: Path) -> int:
    """How often the VAEs were trained, according to the costs of the trials."""
    costs = [json.loads(file.read_text()) for file in storage.glob("trials/*/run.json")]
    return sum("vae" in cost["seconds"] for cost in costs)


if __name__ == "__main__":
    main()
