"""What there is to hear of a study: its trials' samples, and real music that goes on from the same start windows."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from musiclab.analysis.results import Results
from musiclab.data.store import SongRow, WindowStore, open_store
from musiclab.errors import UserError
from musiclab.rendering.midi import from_midi, to_midi
from musiclab.rendering.sound import Player
from musiclab.storage.records import Records
from musiclab.training.windows import block_windows

_NAME = re.compile(r"start-([1-9]\d*)\.mid")


class Place(NamedTuple):
    """A block, and the number of one of its start windows as in the samples' file names, from 1."""

    block: int
    start: int


@dataclass(frozen=True)
class Sample:
    """A roll `(track, time, pitch)` bool, whose first `start_steps` are a start window, and its sound if there is one.

    `resolution` is in steps a beat, `tempo` in beats a minute.
    """

    roll: np.ndarray
    resolution: int
    tempo: float
    start_steps: int
    mp3: bytes | None


class Samples:
    """A study's samples by variant and place."""

    def __init__(self, results: Results) -> None:
        self._results, self._records = results, Records(results.storage)
        self._cells = {(cell.variant.name, cell.block.index): cell for cell in results.trial_specs}
        self.variants = list(dict.fromkeys(cell.variant.name for cell in results.trial_specs))

    def places(self) -> dict[Place, int]:
        """Where there are samples, with how many variants have one there."""
        records = [(cell, self._results.records.get(cell.key)) for cell in self._results.trial_specs]
        return Counter(
            Place(cell.block.index, int(found[1]))
            for cell, record in records
            for name in (record.samples if record else ())
            if (found := _NAME.fullmatch(name))
        )

    def get(self, variant: str, place: Place) -> Sample | str:
        """What a variant has at a place, or the sentence that says why it has nothing there."""
        cell = self._cells.get((variant, place.block))
        if cell is None or cell.key not in self._results.records:
            failed = cell is not None and cell.key in self._results.failures
            return "This trial failed." if failed else "This trial has not finished."
        name = f"start-{place.start}"
        if f"{name}.mid" not in self._results.records[cell.key].samples:
            return "This trial left no such sample."
        midi = self._records.sample(cell.key, f"{name}.mid")
        if midi is None:
            return "This sample is no longer in the storage."
        try:
            roll, resolution, tempo = from_midi(midi)
        except ValueError:
            return "This sample is damaged."
        config = cell.variant.config
        start_steps = roll.shape[1] - config["continuation"] * config["steps"]  # what is not continuation is start
        return Sample(roll, resolution, tempo, start_steps, self._records.sample(cell.key, f"{name}.mp3"))


class RealMusic:
    """What follows the start windows of a study's trials in the songs that they are from.

    UserError where it is not to be had: variants cut songs differently, or the windows are not in the storage.
    """

    def __init__(self, results: Results, samples: Samples) -> None:
        self._samples, self._player = samples, Player()
        self._store = _store(results)
        self._continuation = max(cell.variant.config["continuation"] for cell in results.trial_specs)
        # All variants of a block continue the same starts; the last one of each block here has the most of them.
        cells = sorted(results.trial_specs, key=lambda cell: cell.variant.config["starts"])
        self._cells = {cell.block.index: cell for cell in cells}
        self._starts: dict[int, np.ndarray] = {}

    def title(self, place: Place) -> str:
        """The song that the start is from."""
        song = self._song(self._start(place))
        return " – ".join(filter(None, (song.artist, song.title))) or song.id

    def get(self, place: Place) -> Sample | str:
        """The start and as many windows after it as the longest continuation has, or as its song still has.

        A sentence where no trial's sample is there, or shows that the start was another one: how starts are drawn may
        have changed since.
        """
        first = self._start(place)
        song, spec = self._song(first), self._store.spec
        last = min(first + self._continuation, song.first + song.count - 1)
        roll = np.concatenate(list(self._store.batch(np.arange(first, last + 1))), axis=1)
        beside = self._beside(place)
        if beside is None:
            return "There is no sample to set it beside."
        if beside.start_steps and not np.array_equal(beside.roll[:, : spec.steps], roll[:, : spec.steps]):
            return "The trials started from something else."
        midi = to_midi(roll, spec.resolution, beside.tempo)
        return Sample(roll, spec.resolution, beside.tempo, spec.steps, self._player.mp3(midi))

    def _start(self, place: Place) -> int:
        """The index of the start window in the store."""
        if place.block not in self._starts:
            cell = self._cells[place.block]
            limits = (cell.variant.config[name] for name in ("max_train", "max_eval", "starts"))
            self._starts[place.block] = block_windows(self._store, cell.block, *limits).starts[:, 0]
        return int(self._starts[place.block][place.start - 1])

    def _song(self, window: int) -> SongRow:
        return self._store.songs[self._store.song_numbers(np.array([window]))[0]]

    def _beside(self, place: Place) -> Sample | None:
        """A variant's sample at a place, one with a start if there is one."""
        found = None
        for variant in self._samples.variants:
            sample = self._samples.get(variant, place)
            if isinstance(sample, Sample) and (found is None or sample.start_steps):
                found = sample
                if found.start_steps:
                    break
        return found


def _store(results: Results) -> WindowStore:
    """The store that all variants' windows are from."""
    names = {cell.variant.data for cell in results.trial_specs}
    if len(names) > 1:
        raise UserError("the variants cut songs into different windows, so their starts are not the same")
    folder = f"data/{names.pop()}"
    if not results.storage.exists(folder):
        raise UserError("the windows of its songs are not in the storage any more")
    return open_store(results.storage.local(folder))
