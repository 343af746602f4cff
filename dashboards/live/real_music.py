"""Real music beside a study's samples: how the song of a start goes on, which is the first row of the report, too."""

from musiclab.dashboards.live.follower import Follower
from musiclab.dashboards.live.music import NO_SAMPLE, Cell, Sounds
from musiclab.design.listening import Place
from musiclab.errors import UserError
from musiclab.report.html.listening import Shown, frame_of, shown
from musiclab.report.samples import RealMusic, Sample, Samples
from musiclab.storage.plans import StudyPlan

NO_SOUND = "There is no such sound."
_NAME = "Real music"
_IS_REMOTE = "the windows of its songs would have to be copied to this machine first; the report has it"


class RealMusicRow:
    """The row of real music on each start. Only one thread draws it, because the windows of all songs are looked at."""

    def __init__(self, address: str) -> None:
        """`address` is where the page asks for sounds."""
        self._address = address
        self._plan: StudyPlan | None = None
        self._music: RealMusic | None = None
        self._cells: dict[Place, Cell] = {}
        self._sounds = Sounds()

    def cells(self, follower: Follower, place: Place) -> list[Cell]:
        """The row of a place, as far as it was drawn; none if the place is no start of a planned trial."""
        if all(spec.block.index != place.block for spec in follower.trial_specs):
            return []
        cell = self._cells.get(place) if self._plan is follower.plan else None
        return [cell or _without(place, NO_SAMPLE)]

    def draw(self, follower: Follower, place: Place) -> None:
        """Draw the row of a place once a trial has continued it, unless that was done."""
        if self._plan is not follower.plan:
            self._plan, self._music, self._cells, self._sounds = follower.plan, None, {}, Sounds()
        cell = self._cells.get(place)
        if (cell is None or cell.sound is None) and _is_continued(follower, place):
            self._cells[place] = self._drawn(follower, place)

    def _drawn(self, follower: Follower, place: Place) -> Cell:
        try:
            if not follower.storage.is_local:
                raise UserError(_IS_REMOTE)
            self._music = self._music or RealMusic(follower, Samples(follower))
            sample = self._music.get(place)
            title = self._music.title(place)
        except UserError as error:
            return _without(place, f"Left out, because {str(error).rstrip('.')}.")
        if not isinstance(sample, Sample):
            return _without(place, sample)
        drawing = shown(_label(place), sample, frame_of(follower.trial_specs), is_silent=True)
        return Cell(_NAME, title, drawing, f"{self._address}/{place.block}-{place.start}.mp3")

    def sound(self, place: Place) -> bytes:
        """The sound of a row that was drawn; UserError if there is none."""
        music, cell = self._music, self._cells.get(place)
        if music is None or cell is None or cell.sound is None:
            raise UserError(NO_SOUND)
        return self._sounds.get(place, lambda: music.get(place))


def _is_continued(follower: Follower, place: Place) -> bool:
    name, specs = f"start-{place.start}.mid", follower.all_specs
    return any(specs[key].block.index == place.block and name in record.samples
               for key, record in follower.records.items())  # fmt: skip


def _without(place: Place, lack: str) -> Cell:
    return Cell(_NAME, "", Shown(_label(place), lack), None)


def _label(place: Place) -> str:
    return f"{_NAME}, block {place.block}, start {place.start}"
