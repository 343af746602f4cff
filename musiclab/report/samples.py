"""Music to listen to: the samples of a study's trials, and the real songs that their start windows come from."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from musiclab.data.store import SongRow, WindowStore, open_store
from musiclab.data.transposition import moved_rolls
from musiclab.data.windows import WindowSpec
from musiclab.design.listening import Place
from musiclab.design.trials import TrialSpec
from musiclab.errors import UserError
from musiclab.rendering.midi import from_midi, to_midi
from musiclab.rendering.sound import player
from musiclab.rendering.strips import BEATS_PER_BAR
from musiclab.report.sentences import missing
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.storage.trial_documents import Failure, TrialRecord
from musiclab.training.windows import block_windows

_NAME = re.compile(r"start-([1-9]\d*)\.mid")


@dataclass(frozen=True)
class Sample:
    """A piece of music and its sound.

    Attributes:
        roll: `(track, time, pitch)` bool.
        resolution: steps a beat.
        tempo: beats a minute.
        start_steps: how many steps at its beginning are a start window.
        midi: the roll as a MIDI file.
        kept_mp3: the sound in the storage; None if there is none.
    """

    roll: np.ndarray
    resolution: int
    tempo: float
    start_steps: int
    midi: bytes
    kept_mp3: bytes | None = None

    @property
    def mp3(self) -> bytes:
        """The sound; it is played now if it is not kept, because a trial plays few of its samples."""
        return self.kept_mp3 or player().mp3(self.midi)


class Trials(Protocol):
    """A study's trials and what they have left: `Results`, or what a page that follows the study has read so far."""

    @property
    def storage(self) -> Storage: ...

    @property
    def trial_specs(self) -> Sequence[TrialSpec]: ...

    @property
    def records(self) -> Mapping[str, TrialRecord]: ...

    @property
    def failures(self) -> Mapping[str, Failure]: ...


class Samples:
    """A study's samples by variant and place."""

    def __init__(self, trials: Trials) -> None:
        self._study, self._records = trials, Records(trials.storage)
        self._trials = {(trial.variant.name, trial.block.index): trial for trial in trials.trial_specs}
        self.variants = list(dict.fromkeys(trial.variant.name for trial in trials.trial_specs))

    def places(self) -> dict[Place, int]:
        """How many variants have a sample, by place."""
        variants_by_place: Counter[Place] = Counter()
        for trial in self._study.trial_specs:
            record = self._study.records.get(trial.key)
            for name in record.samples if record else ():
                if match := _NAME.fullmatch(name):
                    variants_by_place[Place(trial.block.index, int(match[1]))] += 1
        return variants_by_place

    def get(self, variant: str, place: Place) -> Sample | str:
        """A variant's sample at a place, or the sentence that says why there is none."""
        trial = self._trials.get((variant, place.block))
        if trial is None or trial.key not in self._study.records:
            failed = trial is not None and trial.key in self._study.failures
            return missing.TRIAL_FAILED if failed else missing.TRIAL_UNFINISHED
        return sample_of(self._records, self._study.records[trial.key], place.start)


def sample_of(records: Records, record: TrialRecord, start: int) -> Sample | str:
    """A trial's sample of a start window, which counts from 1, or the sentence that says why there is none."""
    name = f"start-{start}"
    if f"{name}.mid" not in record.samples:
        return missing.SAMPLE_NEVER_MADE
    midi = records.sample(record.key, f"{name}.mid")
    if midi is None:
        return missing.SAMPLE_GONE
    try:
        roll, resolution, tempo = from_midi(midi)
    except ValueError:
        return missing.SAMPLE_DAMAGED
    # What is not continuation is start.
    start_steps = roll.shape[1] - record.config["continuation"] * record.config["steps"]
    return Sample(roll, resolution, tempo, start_steps, midi, records.sample(record.key, f"{name}.mp3"))


class RealMusic:
    """Continuations of the start windows in the songs that they come from.

    Raises:
        UserError: if the variants cut songs differently, or if the windows are not in the storage.
    """

    def __init__(self, trials: Trials, samples: Samples) -> None:
        self._samples = samples
        self._store = _store(trials)
        self._continuation = max(trial.variant.config["continuation"] for trial in trials.trial_specs)
        # All variants of a block continue the same starts; the last one of each block here has the most of them.
        by_starts = sorted(trials.trial_specs, key=lambda trial: trial.variant.config["starts"])
        self._trials = {trial.block.index: trial for trial in by_starts}
        self._starts: dict[int, np.ndarray] = {}

    def title(self, place: Place) -> str:
        """The song that the start window comes from."""
        song = self._song(self._start(place))
        return " – ".join(filter(None, (song.artist, song.title))) or song.id

    def get(self, place: Place) -> Sample | str:
        """The start window and what follows it in its song, up to the length of the longest continuation.

        A sentence instead, if no trial has a sample there, or if the samples began with another window, because starts
        may have been drawn in another way then.
        """
        start, continuation = self.start_and_continuation(place)
        sample = self._sample_of_a_variant(place)
        if sample is None:
            return missing.REAL_MUSIC_ALONE
        if sample.start_steps and not np.array_equal(sample.roll[:, : self.spec.steps], start):
            return missing.REAL_MUSIC_DIFFERS
        roll = np.concatenate([start, continuation], axis=1)
        midi = to_midi(roll, self.spec.resolution, sample.tempo)
        return Sample(roll, self.spec.resolution, sample.tempo, self.spec.steps, midi)

    @property
    def spec(self) -> WindowSpec:
        """How the songs are cut into windows."""
        return self._store.spec

    @property
    def bar(self) -> int:
        """Steps a bar."""
        return BEATS_PER_BAR * self.spec.resolution

    def elsewhere(self, place: Place, windows: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Stretches of so many windows in other songs than the place's, each bool `(track, time, pitch)`.

        Each is from a song of its own, and none begins with its song's first window. They come in the order that `rng`
        draws.
        """
        works = {self._song(self._start(place)).work}
        for number in rng.permutation(len(self._store.songs)):
            song = self._store.songs[number]
            if song.work not in works and song.count > windows:
                works.add(song.work)
                first = song.first + int(rng.integers(1, song.count - windows + 1))
                yield np.concatenate(list(self._heard(song, first, first + windows - 1)), axis=1)

    def start_and_continuation(self, place: Place) -> tuple[np.ndarray, np.ndarray]:
        """The start window, and what follows it in its song, at most as long as the longest continuation.

        Both bool `(track, time, pitch)`, in the song's own key, in which samples are heard too.
        """
        first = self._start(place)
        song = self._song(first)
        last = min(first + self._continuation, song.first + song.count - 1)
        start, *following = self._heard(song, first, last)
        return start, np.concatenate(following, axis=1)

    def _heard(self, song: SongRow, first: int, last: int) -> np.ndarray:
        """The windows of a song from `first` to `last` in the store, in the song's own key."""
        return moved_rolls(self._store.batch(np.arange(first, last + 1)), -song.transposed)

    def _start(self, place: Place) -> int:
        """The index of the start window in the store."""
        if place.block not in self._starts:
            trial = self._trials[place.block]
            limits = (trial.variant.config[name] for name in ("max_train", "max_eval", "starts"))
            self._starts[place.block] = block_windows(self._store, trial.block, *limits).starts[:, 0]
        return int(self._starts[place.block][place.start - 1])

    def _song(self, window: int) -> SongRow:
        song: SongRow = self._store.songs[self._store.song_numbers(np.array([window]))[0]]
        return song

    def _sample_of_a_variant(self, place: Place) -> Sample | None:
        """The first variant's sample at a place that has a start; if none has one, the first sample."""
        without_start = None
        for variant in self._samples.variants:
            sample = self._samples.get(variant, place)
            if isinstance(sample, Sample):
                if sample.start_steps:
                    return sample
                without_start = without_start or sample
        return without_start


def _store(trials: Trials) -> WindowStore:
    """The store of all variants' windows."""
    names = {trial.variant.data for trial in trials.trial_specs}
    if len(names) > 1:
        raise UserError(missing.STARTS_DIFFER)
    folder = f"data/{names.pop()}"
    if not trials.storage.exists(f"{folder}/songs.json"):
        raise UserError(missing.WINDOWS_GONE)
    return open_store(trials.storage.local(folder))
