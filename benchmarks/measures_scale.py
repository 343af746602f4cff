#!/usr/bin/env python
"""How long and how much memory do all measures take, of 2,000 generated windows against 20,000 real ones?

    python benchmarks/measures_scale.py [--data chorales] [--generated 2000] [--reference 20000] [--training 20000]

Windows are drawn with repetition from those of `--data`, and a few cells of each are changed, so that no two are the
same. Real windows of other songs take the place of generated ones. Each group runs in a process of its own, on one
thread as in a trial; its peak memory is that of the whole process, windows included. `all` is one process that does
what a block's first trial does, baselines too. The second table compares the usual methods with ours, on a sample small
enough for them. If other programs run on the machine, read the CPU seconds.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

RESOLUTION, STEPS, PIANO = 2, 32, 1
MUSPY_WINDOWS, CDIST_WINDOWS = 200, 400


def windows_like(store_folder: Path, count: int, third: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` windows of a third of the songs (number 0, 1 or 2), packed, with a few cells changed; and their songs."""
    from musiclab.data.store import open_store

    store, rng = open_store(store_folder), np.random.default_rng(third)
    own = np.concatenate([np.arange(song.first, song.first + song.count) for song in store.songs[third::3]])
    drawn = own[rng.integers(len(own), size=count)]
    packed, every = store.windows[drawn], np.arange(count)
    for _ in range(3):
        step, pitch = rng.integers(STEPS, size=count), 40 + rng.integers(40, size=count)
        packed[every, PIANO, step, pitch // 8] ^= (128 >> pitch % 8).astype(np.uint8)
    return packed, store.song_numbers(drawn)


def groups(store: Path, generated: int, reference: int, training: int) -> dict[str, Callable[[], object]]:
    """The work that is timed, by name. Windows are made before; training windows come in blocks, as in a trial."""
    from musiclab.data.windows import unpack
    from musiclab.measures import baselines, suite, window_set
    from musiclab.measures.originality import TrainingWindows

    def drawn_set(count: int, third: int) -> window_set.WindowSet:
        packed, songs = windows_like(store, count, third)
        rolls = unpack(packed)
        pieces = [np.concatenate(list(rolls[first : first + 8]), axis=1) for first in range(0, min(count, 2000), 8)]
        return window_set.WindowSet(rolls, songs, RESOLUTION, pieces)

    fake, real = drawn_set(generated, 0), drawn_set(reference, 1)
    starts = generated // 4
    continuations = fake.rolls[: 4 * starts].reshape(starts, 1, 4, *fake.rolls.shape[1:])

    packed = windows_like(store, training, 2)[0]

    def trained() -> TrainingWindows:
        return TrainingWindows(unpack(packed[first : first + 1024]) for first in range(0, training, 1024))

    def first_trial() -> None:
        of_training = trained()
        scale = baselines.baseline_measures(fake, real, of_training, np.random.default_rng(0))
        suite.music_measures(fake.rolls, RESOLUTION)
        suite.structure_measures(list(fake.pieces), RESOLUTION)
        suite.set_measures(continuations, real, generated)
        suite.training_measures(of_training.likeness(fake.rolls), scale[baselines.COPIED_FROM])

    return {
        "music, generated": lambda: suite.music_measures(fake.rolls, RESOLUTION),
        "music, reference": lambda: suite.music_measures(real.rolls, RESOLUTION),
        "structure": lambda: suite.structure_measures(list(fake.pieces), RESOLUTION),
        "set": lambda: suite.set_measures(continuations, real, generated),
        "training": lambda: trained().likeness(fake.rolls),
        "all": first_trial,
    }


def naive(store: Path) -> dict[str, tuple[float, float]]:
    """CPU seconds of the usual method and of ours for the same work, by its name."""
    import muspy
    from scipy.spatial.distance import cdist

    from musiclab.data.windows import unpack
    from musiclab.measures.fidelity import fidelity
    from musiclab.measures.music import note_density, used_pitch_classes
    from musiclab.measures.originality import TrainingWindows
    from musiclab.measures.pairs import pairs
    from musiclab.measures.tonality import pitch_class_entropy, polyphony, scale_consistency

    rolls = unpack(windows_like(store, CDIST_WINDOWS, 0)[0])
    few = rolls[:MUSPY_WINDOWS]

    def by_muspy() -> None:
        for roll in few:
            for track in roll[1:]:
                music = muspy.from_pianoroll_representation(track * np.uint8(100), resolution=RESOLUTION)
                if music.tracks[0].notes:
                    muspy.pitch_class_entropy(music), muspy.scale_consistency(music), muspy.polyphony(music)
                    muspy.n_pitch_classes_used(music)

    def ours() -> None:
        for measure in (pitch_class_entropy, scale_consistency, polyphony):
            measure(few)
        used_pitch_classes(few, RESOLUTION), note_density(few, RESOLUTION)

    flat = rolls.reshape(len(rolls), -1)

    def by_rotation() -> None:
        chroma = rolls[:, 1:].any(axis=1)[:50]
        folded = np.stack([chroma[..., pitch_class::12].any(axis=-1) for pitch_class in range(12)], axis=-1)
        for up in range(12):
            cdist(np.roll(folded, up, axis=-1).reshape(50, -1), folded.reshape(50, -1), "jaccard")

    vectors = np.random.default_rng(0).normal(size=(2, 2000, 46))

    def by_rows() -> None:
        apart = [np.sort(np.linalg.norm(vectors[1] - row, axis=1)) for row in vectors[1]]
        reach = np.array([row[5] for row in apart])
        [np.linalg.norm(vectors[1] - row, axis=1) <= reach for row in vectors[0]]

    compared = {
        f"4 measures of {MUSPY_WINDOWS} windows: MusPy, a window and track at a time": (by_muspy, ours),
        f"Jaccard distances of {CDIST_WINDOWS} windows: scipy cdist": (
            lambda: cdist(flat, flat, "jaccard"),
            lambda: pairs(rolls),
        ),
        "likeness of 50 windows to 50 in 12 keys: scipy cdist": (
            by_rotation,
            lambda: TrainingWindows([rolls[:50]]).likeness(rolls[:50]),
        ),
        "neighbours of 2,000 windows: a row at a time": (by_rows, lambda: fidelity(*vectors)),
    }
    return {name: (_seconds(theirs)[1], _seconds(own)[1]) for name, (theirs, own) in compared.items()}


def _seconds(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock, and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="chorales")
    for name, count in (("generated", 2000), ("reference", 20_000), ("training", 20_000)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--group", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = options.generated, options.reference, options.training
    if options.group == "naive":
        print(json.dumps(naive(options.store)))
        return
    if options.group:
        run = groups(options.store, *sizes)[options.group]
        seconds = _seconds(run)
        print(json.dumps([*seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024]))
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [Path(sys.executable).with_name("musiclab"), "data", "build", options.data, "--storage", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (store,) = (each for each in (Path(folder) / "data").iterdir() if each.is_dir())
        print("{:,} generated windows, {:,} reference, {:,} training windows; {}".format(*sizes, options.data))
        print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n\n{'':<20}{'seconds':>9}{'CPU s':>9}{'MiB':>9}")
        for name in ("music, generated", "music, reference", "structure", "set", "training", "all"):
            seconds, cpu, peak = _in_a_process(store, name, sizes)
            print(f"{name:<20}{seconds:>9.1f}{cpu:>9.1f}{peak:>9,.0f}")
        print(f"\n{'':<62}{'usual s':>9}{'ours s':>9}{'ratio':>8}")
        for name, (theirs, ours) in _in_a_process(store, "naive", sizes).items():
            print(f"{name:<62}{theirs:>9.2f}{ours:>9.3f}{theirs / ours:>8.0f}")


def _in_a_process(store: Path, group: str, sizes: tuple[int, int, int]) -> object:
    generated, reference, training = map(str, sizes)
    command = [sys.executable, __file__, "--store", store, "--group", group]
    command += ["--generated", generated, "--reference", reference, "--training", training]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


if __name__ == "__main__":
    main()
