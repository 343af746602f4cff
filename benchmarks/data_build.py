#!/usr/bin/env python
"""How fast and how small is the window store?  Ours beside a plain reader, on one archive of LPD-5 files.

    python benchmarks/data_build.py PATH/lpd_5_sample.tar.gz

The plain reader is what a script does: unpack the archive, `pypianoroll.load` each file, `set_resolution`, and keep
float32 windows in memory. Each side runs in a process of its own, ours with two workers. Peak memory is that of the
largest process. The ratios are those of one run; the times depend on the machine and its load.
"""

import argparse
import json
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np

RESOLUTION, STEPS, WORKERS = 2, 32, 2


def build_ours(archive: Path, folder: Path) -> tuple[int, int, float]:
    """Build our store; the number of songs, of windows, and of bytes a window."""
    from musiclab.data.lpd5 import Lpd5
    from musiclab.data.store import build
    from musiclab.data.windows import WindowSpec

    store = build(Lpd5(archive), WindowSpec(RESOLUTION, STEPS, STEPS), folder, WORKERS)
    return len(store.songs), len(store.windows), store.windows.nbytes / len(store.windows)


def build_plainly(archive: Path, folder: Path) -> tuple[int, int, float]:
    """Do the same with a plain reader."""
    import pypianoroll

    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    songs = []
    for path in sorted(folder.rglob("*.npz")):
        multitrack = pypianoroll.load(path).set_resolution(RESOLUTION)
        length = max(len(track.pianoroll) for track in multitrack.tracks)
        roll = np.zeros((5, length - length % STEPS, 128), np.float32)
        for number, track in enumerate(multitrack.tracks):
            whole_windows = track.pianoroll[: roll.shape[1]]
            roll[number, : len(whole_windows)] = whole_windows / 127
        songs.append(roll.reshape(5, -1, STEPS, 128).transpose(1, 0, 2, 3))
    windows = np.concatenate(songs)
    return len(songs), len(windows), windows.nbytes / len(windows)


SIDES = {"ours": build_ours, "plain reader": build_plainly}


def measure(side: str, archive: Path) -> dict[str, float]:
    """Measure one side in this process."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        songs, windows, size = SIDES[side](archive, Path(folder))
        seconds = time.perf_counter() - start
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "songs": songs,
        "windows": windows,
        "seconds": seconds,
        "songs/s": songs / seconds,
        "peak MiB": peak / 1024,
        "bytes/window": size,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="an archive of LPD-5 files")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.archive)))
        return
    measured = {}
    for side in SIDES:
        command = [sys.executable, __file__, str(options.archive), "--side", side]
        measured[side] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    ours, plain = measured.values()
    print(f"{'':<14}{'ours':>14}{'plain reader':>16}{'ours / plain':>16}")
    for name in ours:
        print(f"{name:<14}{ours[name]:>14,.1f}{plain[name]:>16,.1f}{ours[name] / plain[name]:>16.3f}")


if __name__ == "__main__":
    main()
