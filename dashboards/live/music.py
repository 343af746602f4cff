"""Samples as they arrive: the variants side by side on the same start, and the sounds that a page asks for."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from musiclab.analysis.search import Tried
from musiclab.dashboards.live.follower import Follower
from musiclab.dashboards.live.searching import leaders, search_so_far
from musiclab.design.listening import Place
from musiclab.design.search import SEARCH_BLOCK
from musiclab.design.trials import TrialSpec
from musiclab.errors import UserError
from musiclab.report.html.listening import Shown, draw_rank, frame_of, shown
from musiclab.report.samples import Sample, sample_of
from musiclab.report.sentences import missing
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.storage.trial_documents import TrialRecord

MOST_ROWS = 24
NO_SAMPLE = "No sample yet."
_MOST_PROPOSALS = 8
_MOST_DRAWN = 400  # cells that are kept
_MOST_SOUNDS = 64


@dataclass(frozen=True)
class Cell:
    """A row at a place: its name and a note on it, its drawing, and the address of its sound; None if it has none."""

    name: str
    note: str
    shown: Shown
    sound: str | None


def places_of(follower: Follower) -> list[Place]:
    """All start windows whose continuations trials leave, in the order that the edition draws, as in the report.

    How many a block has is known once a trial has finished. A search is on block 0 until its best are confirmed.
    """
    if follower.plan is None:
        return []
    if not follower.records:
        ended = follower.search is not None and any(each.state == "finished" for each in follower.search.ends.values())
        return [Place(SEARCH_BLOCK, 1)] if ended else []
    starts = max(sum(name.endswith(".mid") for name in record.samples) for record in follower.records.values())
    blocks = dict.fromkeys(spec.block.index for spec in follower.trial_specs)
    places = [Place(block, start) for block in blocks for start in range(1, starts + 1)]
    seed = follower.plan.edition
    return sorted(places, key=lambda place: draw_rank(place, seed))


def blocks_heard(follower: Follower) -> set[int]:
    """The blocks of which a trial has left samples."""
    if not follower.records:
        return {SEARCH_BLOCK}
    return {follower.all_specs[key].block.index for key in follower.records}


class Sounds:
    """Sounds that were asked for; the latest are kept."""

    def __init__(self) -> None:
        self._sounds: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: Hashable, sample: Callable[[], Sample | str]) -> bytes:
        """The sound of that name, which is played now if it is not kept; UserError if the sample is but a sentence."""
        with self._lock:  # one at a time, because a second visitor most likely wants the same
            if name not in self._sounds:
                played = sample()
                if not isinstance(played, Sample):
                    raise UserError(played)
                self._sounds[name] = played.mp3
                while len(self._sounds) > _MOST_SOUNDS:
                    self._sounds.popitem(last=False)
            return self._sounds[name]


class Music:
    """The samples of a study's trials; drawings and sounds are kept once they were made."""

    def __init__(self, storage: Storage, address: str) -> None:
        """`address` is where the page asks for sounds."""
        self._records, self._address = Records(storage, notes_newer=True), address
        self._drawn: OrderedDict[tuple[str, int], Shown] = OrderedDict()
        self._sounds = Sounds()

    def record(self, key: str) -> TrialRecord | None:
        """A record as the storage has it, or None."""
        return self._records.get(key)

    def cells(self, follower: Follower, place: Place) -> list[Cell]:
        """A row for each variant on a start window, the controls first; of many variants, those with a sample.

        Of a search that has confirmed nothing yet, the best proposals.
        """
        if follower.plan is None:
            return []
        if not follower.records and (search := search_so_far(follower)):
            return [cell for each in leaders(search)[:_MOST_PROPOSALS] for cell in self._proposal(each, place)]
        controls = set(follower.plan.controls.values())
        on_block = [spec for spec in follower.trial_specs if spec.block.index == place.block]
        if len(on_block) > MOST_ROWS:
            on_block.sort(key=lambda spec: (spec.variant.name not in controls, spec.key not in follower.records))
            on_block = on_block[:MOST_ROWS]
        frame = frame_of(follower.trial_specs)
        notes = dict.fromkeys(controls, "control")
        return [self._cell(follower, spec, place, frame, notes.get(spec.variant.name, "")) for spec in on_block]

    def _cell(
        self, follower: Follower, spec: TrialSpec, place: Place, frame: tuple[int, int] | None, note: str
    ) -> Cell:
        name, record = spec.variant.name, follower.records.get(spec.key)
        label = f"{name}, block {place.block}, start {place.start}"
        if record is None:
            failed = spec.key in follower.failures
            return Cell(name, note, Shown(label, missing.TRIAL_FAILED if failed else NO_SAMPLE), None)
        drawing = self.drawing(record, place.start, label, frame)
        sound = None if drawing.lack else f"{self._address}/{spec.key}/{place.start}.mp3"
        return Cell(name, note, drawing, sound)

    def _proposal(self, tried: Tried, place: Place) -> list[Cell]:
        """The row of a proposal; none if its record is gone."""
        name, key = f"proposal {tried.number}", tried.proposal.key
        label = f"{name}, block {place.block}, start {place.start}"
        if (key, place.start) in self._drawn:
            drawing = self._drawn[key, place.start]
        elif record := self.record(key):
            drawing = self.drawing(record, place.start, label, None)
        else:
            return []
        return [Cell(name, "", drawing, None if drawing.lack else f"{self._address}/{key}/{place.start}.mp3")]

    def drawing(self, record: TrialRecord, start: int, label: str, frame: tuple[int, int] | None) -> Shown:
        """A trial's sample of a start window, without its sound."""
        key = (record.key, start)
        if key not in self._drawn:
            sample = sample_of(self._records, record, start)
            self._drawn[key] = shown(label, sample, frame, is_silent=True)
            while len(self._drawn) > _MOST_DRAWN:
                self._drawn.popitem(last=False)
        return self._drawn[key]

    def sound(self, record: TrialRecord, start: int) -> bytes:
        """The sound of a trial's sample; it is played now if the trial has not kept it.

        Raises:
            UserError: if there is no such sample.
        """
        return self._sounds.get((record.key, start), lambda: sample_of(self._records, record, start))
