"""The listening section: variants below one another, start windows side by side, each cell a roll that plays.

Starts and variants are drawn at random, not picked. The first row is real music, which continues the same starts.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from markupsafe import Markup

from musiclab.analysis.results import Results
from musiclab.data.songs import TRACKS
from musiclab.design.listening import Place
from musiclab.design.trials import TrialSpec
from musiclab.errors import UserError
from musiclab.hashing import content_hash
from musiclab.rendering.roll_svg import HEIGHT, to_svg
from musiclab.rendering.strips import BEATS_PER_BAR
from musiclab.report.html.templates import template
from musiclab.report.samples import RealMusic, Sample, Samples

LISTENING_CSS, LISTENING_JS = (
    Markup(Path(__file__).with_name(name).read_text(encoding="utf-8")) for name in ("listening.css", "listening.js")
)

COLUMNS = 4
# Bytes. A page must stay below 25 MB, so that it can be mailed; the rest is for all that is not music.
LARGEST = 20_000_000


@dataclass(frozen=True)
class Row:
    """A variant or real music. `get` gives its sample at a place, or the sentence that says why there is none."""

    name: str
    note: str
    get: Callable[[Place], Sample | str]


@dataclass(frozen=True)
class Shown:
    """A sample on the page: drawing, sound in base64, and what the player must know (times in seconds)."""

    label: str
    lack: str = ""
    svg: Markup | str = ""
    sound: Markup | str = ""
    steps: int = 0
    seconds: float = 0.0
    bar: float = 0.0
    has_start: bool = True

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.svg) + len(self.sound)


def listening(results: Results, largest: int = LARGEST) -> Markup:
    """The section as HTML, with at most `largest` bytes of drawings and sounds. It needs LISTENING_CSS and _JS."""
    seed, samples = results.plan.edition, Samples(results)
    places = drawn(samples, seed)
    candidates = places[:COLUMNS]
    variants = [Row(name, _note(results, name), partial(samples.get, name)) for name in samples.variants]
    real, songs, no_real = [], {}, ""
    try:
        if candidates:
            music = RealMusic(results, samples)
            songs = {place: music.title(place) for place in candidates}
            real = [Row("Real music", "the same start, and how its song goes on", music.get)]
    except UserError as error:
        no_real = str(error).rstrip(".")
    frame = frame_of(results.trial_specs) if candidates else None
    columns = _columns([*real, *_by_weight(variants, results, seed)], candidates, frame, largest)
    shown = next(iter(columns.values()), {})
    return Markup(
        template("listening.html.j2").render(
            seed=seed,
            variants=variants,
            rows=[row for row in (*real, *variants) if row in shown],
            columns=dict(sorted(columns.items())),
            songs=songs,
            no_real=no_real,
            same_starts=frame is not None,
            drawn_from=len(places),
            variants_there=samples.places()[places[0]] if places else 0,
            lacking_rows=[row.name for row in variants if row not in shown],
            lacking_places=sorted(place for place in candidates if place not in columns),
            largest=largest,
            tracks=TRACKS,
            height=HEIGHT,
        )
    )


def drawn(samples: Samples, seed: str) -> list[Place]:
    """The places where most variants have a sample, in the order that the seed draws.

    A place's rank is its hash with the seed, so that anyone can repeat the draw, and more blocks only add places.
    """
    variants_at = samples.places()
    most = max(variants_at.values(), default=0)
    places = [place for place, variants in variants_at.items() if variants == most]
    return sorted(places, key=lambda place: draw_rank(place, seed))


def draw_rank(place: Place, seed: str) -> str:
    """What places are sorted by to draw from them without picking."""
    return content_hash([seed, *place])


def _by_weight(variants: list[Row], results: Results, seed: str) -> list[Row]:
    """The order in which a page that cannot hold all variants takes them: controls, then as the seed draws."""
    controls = set(results.answer.controls.values())
    return sorted(variants, key=lambda row: (row.name not in controls, content_hash([seed, row.name])))


def _note(results: Results, variant: str) -> str:
    return "control" if variant in results.answer.controls.values() else ""


def frame_of(trial_specs: Sequence[TrialSpec]) -> tuple[int, int] | None:
    """The steps of a start and of the longest continuation, so that the bars of a column are aligned.

    None if variants cut songs into different windows.
    """
    if len({trial.variant.data for trial in trial_specs}) > 1:
        return None
    configs = [trial.variant.config for trial in trial_specs]
    steps = configs[0]["steps"]
    return steps, steps * max(config["continuation"] for config in configs)


def _columns(
    rows: list[Row], places: list[Place], frame: tuple[int, int] | None, largest: int
) -> dict[Place, dict[Row, Shown]]:
    """The whole columns that fit into `largest` bytes; if not even the first one fits, the rows of it that do."""
    columns: dict[Place, dict[Row, Shown]] = {}
    for place in places:
        cells: dict[Row, Shown] = {}
        for row in rows:
            cell = shown(f"{row.name}, block {place.block}, start {place.start}", row.get(place), frame)
            if cell.size > largest:
                break
            cells[row] = cell
            largest -= cell.size
        if len(cells) < len(rows):
            return columns or ({place: cells} if cells else {})
        columns[place] = cells
    return columns


def shown(label: str, sample: Sample | str, frame: tuple[int, int] | None = None, is_silent: bool = False) -> Shown:
    """A sample as the page has it, or the sentence that says why there is none.

    Args:
        label: what it is, for those who cannot see it.
        sample: the sample, or the sentence.
        frame: as `frame_of` gives it.
        is_silent: whether its sound is left out, because the page asks a server for it.
    """
    if isinstance(sample, str):
        return Shown(label, lack=sample)
    first, last = 0, sample.roll.shape[1]
    if frame:
        first, last = sample.start_steps - frame[0], sample.start_steps + frame[1]
    beat = 60 / sample.tempo
    return Shown(
        label=label,
        svg=Markup(to_svg(sample.roll, sample.resolution, label, sample.start_steps, first, last)),
        sound="" if is_silent else Markup(base64.b64encode(sample.mp3).decode()),
        steps=sample.roll.shape[1],
        seconds=sample.roll.shape[1] / sample.resolution * beat,
        bar=BEATS_PER_BAR * beat,
        has_start=sample.start_steps > 0,
    )
