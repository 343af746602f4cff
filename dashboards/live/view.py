"""A study's page in parts, each rendered again only if what it shows has changed."""

import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from musiclab.dashboards.live.board import Board, Change, Clock
from musiclab.dashboards.live.follower import Follower
from musiclab.dashboards.live.music import Music, blocks_heard, places_of
from musiclab.dashboards.live.plots import curves_so_far, objective_so_far
from musiclab.dashboards.live.real_music import RealMusicRow
from musiclab.dashboards.live.searching import (
    best_proposal,
    search_so_far,
    search_view,
    seconds_left,
)
from musiclab.dashboards.live.states import LOOKS, TrialState
from musiclab.dashboards.live.timing import Timer, Timing
from musiclab.dashboards.live.words import MARKS, best_text, progress_of, standing
from musiclab.data.songs import TRACKS
from musiclab.design.listening import Place
from musiclab.report.formatting import moment
from musiclab.report.html.search_marks import mark_swatch
from musiclab.report.html.templates import templates_in
from musiclab.storage.files import Storage
from musiclab.storage.listing import Listing
from musiclab.storage.trial_documents import TrialRecord
from musiclab.wording import counted

_template = templates_in(Path(__file__).parent)
_LOG_LINES = 15  # of a failure's log
_MOST_FAILURES = 20
_MOST_PLACES = 8  # start windows whose samples are kept ready
_PATIENCE_S = 0.2  # for which a page waits for the watcher
_READING_S = 1.0  # between two looks of a page whose study is being read for the first time
_ASKED_S = 60.0  # for so long after a visitor plots are kept up to date


@dataclass(frozen=True)
class FailureRow:
    """A failed trial: its id on the page, its name, why, and the end of its log."""

    name: str
    anchor: str
    reason: str
    log: str
    is_retried: bool


@dataclass(frozen=True)
class WorkerRow:
    """A worker and what it does, in words."""

    who: str
    device: str
    trial: str
    doing: str
    since: str
    finished: int


class StudyView:
    """The page of a study. All its methods may be called from any thread.

    Attributes:
        study: its name.
        clock: the version of the page.
    """

    def __init__(self, storage: Storage, study: str) -> None:
        self.study, self.clock = study, Clock()
        self.address = f"/studies/{quote(study, safe='')}"
        self._follower = Follower(storage, study)
        self._board, self._music_boards = Board(self.clock), dict[Place, Board]()
        self.music, self.real_music = Music(storage, f"{self.address}/sound"), RealMusicRow(f"{self.address}/real")
        self._lock = threading.RLock()
        self._rendered, self._drawn, self._asked_at = -1, -1, float("-inf")
        self._drawn_until, self._rendered_at = 0.0, float("-inf")
        self.standing, self.timing = standing(self._follower), Timing(0.0, None, 0)
        self._timer = Timer(self._follower)
        self.progress, self._places = (0, 0), list[Place]()
        self._drawn_place: Place | None = None
        self._best = ""
        self._render()

    # What the watcher calls.

    def poll(self, listing: Listing, until: float) -> bool:
        """Read what is new until then, and render what has changed; whether all was read."""
        with self._lock:
            self._follower.poll(listing, until)
            self._render()
        if time.monotonic() - self._asked_at < _ASKED_S:
            self._draw()
        return self._follower.is_whole or self._follower.plan is None

    # What a visitor asks for.

    def page(self, place: Place | None) -> dict[str, Any]:
        """What the template of the page is filled with; it hardly waits for the watcher, because events follow."""
        self._asked_at = time.monotonic()
        version, chosen, samples = self.clock.now, place or self._drawn_place, ""
        if self._lock.acquire(timeout=_PATIENCE_S):
            try:
                chosen = self._chosen(place)
                samples = self._music(chosen).html("samples") if chosen else ""
            finally:
                self._lock.release()
        plan = self._follower.plan
        return {
            "study": self.study,
            "address": self.address,
            "question": plan.question if plan else "",
            "version": version,
            "part": lambda name: Markup(self._board.html(name)),
            "samples": Markup(samples),
            "place": chosen,
            "places": sorted(self._places),
            "is_search": self._follower.search is not None,
            "looks": LOOKS,
        }

    def changes(self, since: int, place: Place | None) -> list[Change]:
        """The parts of the page that have changed after a version."""
        with self._lock, self.clock.lock:
            self._asked_at = time.monotonic()
            chosen = self._chosen(place)
            return self._board.since(since) + (self._music(chosen).since(since) if chosen else [])

    def _chosen(self, place: Place | None) -> Place | None:
        """The place whose samples a visitor sees: the one asked for, else one that is drawn and kept; None if none."""
        if place in self._places:
            return place
        if self._drawn_place not in self._places:
            heard = blocks_heard(self._follower)
            self._drawn_place = next((each for each in self._places if each.block in heard), None)
        return self._drawn_place

    def lease(self) -> str | None:
        """The lease of the process that runs the study; None if none does."""
        with self._lock:
            runner = self._follower.runner
            return runner.name if runner and runner.alive else None

    def record(self, key: str) -> TrialRecord | None:
        """The record of a finished trial of the study, or None."""
        with self._lock:
            if record := self._follower.records.get(key):
                return record
            search = self._follower.search
            return self.music.record(key) if search and search.has_ended(key) else None

    @property
    def question(self) -> str:
        """What the study asks, its first line."""
        plan = self._follower.plan
        return (plan.question.splitlines() or [""])[0] if plan else ""

    @property
    def folder(self) -> str:
        """The folder of the newest edition."""
        return self._follower.folder

    # Rendering.

    def _render(self) -> None:
        """Render the parts that are cheap, if anything has changed."""
        follower = self._follower
        now = time.monotonic()
        if self._rendered == follower.version or (not follower.is_whole and now < self._rendered_at + _READING_S):
            return
        self._rendered, self._rendered_at = follower.version, now
        self.standing = standing(follower)
        self._places = places_of(follower)
        search = search_so_far(follower)
        self.timing = self._timer.now(seconds_left(search) if search else 0.0)
        self._best = best_text(follower) or (best_proposal(search) if search else "")
        self.progress = progress_of(follower)
        parts, put = _parts(), self._board.put
        put("state", str(parts.state(self.standing, MARKS[self.standing.word])))
        put("facts", str(parts.facts(self._facts())))
        runner = follower.runner
        can_stop = bool(runner and runner.alive and not follower.asked_to_stop)
        put("stop", str(parts.stop(runner.name if can_stop and runner else "")))
        put("caution", str(parts.caution(self.standing.word == "over")))
        self._render_grid()
        put("workers", str(parts.workers(self._workers())))
        failures, left_out = self._failures()
        put("failures", str(parts.failures(failures, left_out)))
        if follower.search:
            self._render_proposals()

    def _render_grid(self) -> None:
        """The grid of variants and blocks, each cell a part of its own."""
        follower, parts = self._follower, _parts()
        blocks = list(dict.fromkeys(spec.block.index for spec in follower.trial_specs))
        rows: dict[str, dict[int, str]] = {}
        for place, spec in enumerate(follower.trial_specs):
            cell = _cell("td", f"c{place}", follower.states.get(spec.key), _anchor(spec.key))
            self._board.put(f"c{place}", cell)
            rows.setdefault(spec.variant.name, {})[spec.block.index] = cell
        controls = set(follower.plan.controls.values()) if follower.plan else set()

        def grid() -> str:
            table = [
                (name, name in controls, [Markup(by_block.get(block, "<td></td>")) for block in blocks])
                for name, by_block in rows.items()
            ]
            return str(parts.grid(blocks, table))

        # The cells are parts too, so the grid is sent whole only if its rows or columns are others.
        self._board.put("grid", grid, (tuple(rows), tuple(blocks)))

    def _render_proposals(self) -> None:
        """The proposals of a search, each a part of its own."""
        parts, states = _parts(), self._follower.proposal_states
        cells = {}
        for number, state in sorted(states.items()):
            cells[number] = _cell("li", f"p{number}", state, _anchor(f"proposal-{number}"), f"{number} ")
            self._board.put(f"p{number}", cells[number], parent="proposals")

        def proposals() -> str:
            return str(parts.proposals([Markup(cell) for cell in cells.values()]))

        self._board.put("all-proposals", proposals, bool(cells))

    def _draw(self) -> None:
        """Draw the plots and the samples, which take longer, at most a fifth of the time.

        Only the watcher's thread does so. It changes nothing that others change, so they need not wait for a plot.
        """
        if self._drawn == self._follower.version or time.monotonic() < self._drawn_until:
            return
        began = time.monotonic()
        self._drawn = self._follower.version
        parts, follower = _parts(), self._follower
        if search := search_so_far(follower):
            self._board.put("search", _styled(parts.search(search_view(follower, search), mark_swatch)))
        self._board.put("objective", _styled(parts.objective(objective_so_far(follower))))
        self._board.put("curves", _styled(parts.curves(curves_so_far(follower))))
        for place in list(self._music_boards):
            self.real_music.draw(follower, place)
            with self._lock:
                if place in self._music_boards:  # while real music was drawn, a visitor may have taken its room
                    self._render_music(place)
        now = time.monotonic()
        self._drawn_until = now + 4 * (now - began)

    def _music(self, place: Place) -> Board:
        """The samples at a place."""
        if place not in self._music_boards:
            self._music_boards[place] = Board(self.clock)
            for old in list(self._music_boards)[:-_MOST_PLACES]:
                del self._music_boards[old]
            self._render_music(place)
            self._drawn = -1  # so that real music is drawn there
        return self._music_boards[place]

    def _render_music(self, place: Place) -> None:
        parts, board = _parts(), self._music_boards[place]
        real, variants = self.real_music.cells(self._follower, place), self.music.cells(self._follower, place)
        names = [*("real" for _ in real), *(f"s{number}" for number in range(len(variants)))]
        cells = [*real, *variants]
        rows = [Markup(parts.sample(name, cell, TRACKS)) for name, cell in zip(names, cells, strict=True)]
        for name, cell, row in zip(names, cells, rows, strict=True):
            board.put(name, str(row), (cell.name, cell.sound, cell.shown.lack))
        table = str(parts.samples(place, rows))
        board.put("samples", table, (place, tuple(cell.name for cell in cells)))

    def _facts(self) -> list[tuple[str, str]]:
        """Facts with their names: progress, what is best so far, time and price."""
        follower, plan = self._follower, self._follower.plan
        if plan is None:
            return []
        ended, total = self.progress
        variants = len({spec.variant.name for spec in follower.trial_specs})
        design = f"{counted(variants, 'variant')}, {counted(plan.blocks, 'block')}" if variants else ""
        if follower.search:
            design = f"search by {plan.design.get('sampler', '')}{', confirmed on ' * bool(design)}{design}"
        facts = [
            ("ended", f"{ended:,} of {total:,} trials" if total else "none yet"),
            ("best so far", f"{self._best} ({_caution(self.standing.word)})" if self._best else "none yet"),
            ("time left", self.timing.left_text),
            ("price", self.timing.price_text),
            ("design", f"{design}, scale {plan.scale}"),
            ("began", moment(plan.began)),
        ]
        if follower.mirrored:
            facts.append(("MLflow", f"{counted(follower.mirrored.in_sync, 'trial')} in sync"))
        if follower.runner and follower.runner.alive:
            facts.append(("run by", follower.runner.words))
        return facts

    def _workers(self) -> list[WorkerRow]:
        """What each worker does, by machine and device."""
        follower = self._follower
        finished = Counter((cost.host, cost.pid) for cost in follower.costs.values())
        rows = []
        for working in follower.working:
            worker = working.worker
            device = worker.device + (f" (GPU {worker.gpu})" if worker.gpu and worker.device != "cpu" else "")
            rows.append(
                WorkerRow(
                    who=f"{worker.host}, process {worker.pid}",
                    device=device,
                    trial=working.name,
                    doing=working.state.words,
                    since=moment(worker.began),
                    finished=finished[worker.host, worker.pid],
                )
            )
        return sorted(rows, key=lambda row: (row.device == "cpu", row.device, row.who))

    def _failures(self) -> tuple[list[FailureRow], int]:
        """Failed trials with the ends of their logs, the newest first, and how many more there are."""
        follower = self._follower
        failed = []
        for key, failure in follower.failures.items():
            spec = follower.all_specs[key]
            failed.append((failure, f"{spec.variant.name}, block {spec.block.index}", key))
        for number, failure in follower.search.failures.items() if follower.search else ():
            failed.append((failure, f"proposal {number}", f"proposal-{number}"))
        failed.sort(key=lambda each: -each[0].time)
        rows = []
        for failure, name, key in failed[:_MOST_FAILURES]:
            log = "\n".join(failure.log.rstrip().splitlines()[-_LOG_LINES:])
            rows.append(FailureRow(name, _anchor(key), failure.reason, log, key in follower.workers))
        return rows, len(failed) - len(rows)


def _caution(word: str) -> str:
    return "the verdict stands in the report" if word == "over" else "not yet a verdict"


def _parts() -> Any:
    """The macros that render parts of the page."""
    return _template("parts.html.j2").module


def _anchor(key: str) -> str:
    return f"fail-{key[:16]}"


def _cell(tag: str, name: str, state: TrialState | None, anchor: str, before: str = "") -> str:
    """A cell of a grid: its letter, with its epoch; the style sheet adds the shape."""
    if state is None:
        return f'<{tag} id="{name}"></{tag}>'
    look = LOOKS[state.state]
    text = f"{before}{look.letter}{f' {state.epoch_text}' if state.epoch else ''}"
    if state.state == "failed" and anchor:
        text = f'<a href="#{anchor}">{text}</a>'
    title = Markup(' title="{}"').format(state.words) if state.stage else ""
    return f'<{tag} id="{name}" class="{look.letter}"{title}>{text}</{tag}>'


def _styled(markup: Any) -> str:
    """Inline styles, which the content policy forbids, as data that the page's script sets."""
    return str(markup).replace(' style="', ' data-style="')
