"""What a listening test asks: fixed from a study's samples before anybody hears anything, and then never changed."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from musiclab.analysis.results import Results
from musiclab.design.listening import (
    CEILING,
    FLOOR,
    PAIRS,
    RATINGS,
    Condition,
    ListeningTest,
    Place,
    Presentation,
    spread_places,
)
from musiclab.errors import UserError
from musiclab.hashing import content_hash
from musiclab.report.excerpts import Excerpts, longest, real_music
from musiclab.report.samples import Samples
from musiclab.storage.ballot_documents import ListeningPlan
from musiclab.storage.ballots import Ballots, listening_folder
from musiclab.storage.files import Storage
from musiclab.wording import listing

QUESTIONS = {
    PAIRS: "Which one is the better continuation of the start?",
    RATINGS: "How good is this continuation of the start?",
}
# So many starts are drawn at most. Excerpts are shortened until enough starts are long enough.
_MOST_PLACES, _ENOUGH_PLACES = 12, 6
_MOST_BARS, _START_BARS = 8, 4


@dataclass(frozen=True)
class Heard:
    """A piece of sound of a test: a start, or a condition's continuation of it by the condition's index."""

    place: Place
    condition: int | None = None


@dataclass(frozen=True)
class FixedTest:
    """A listening test with all that it needs.

    Attributes:
        plan: what was fixed.
        ballots: where its answers go.
        excerpts: what is heard.
        left_out: the variants of the study that are not in the test.
    """

    plan: ListeningPlan
    ballots: Ballots
    excerpts: Excerpts
    left_out: tuple[str, ...] = ()

    @property
    def pieces(self) -> list[Heard]:
        """Everything that any session may hear."""
        test = self.plan.test
        conditions = range(len(test.conditions))
        starts = [Heard(place) for place in test.places] if test.start_bars else []
        return [*starts, *(Heard(place, condition) for place in test.places for condition in conditions)]

    @property
    def reference(self) -> Heard:
        """What listeners set their volume by: a start, or real music if no starts are heard."""
        test = self.plan.test
        return Heard(test.places[0], None if test.start_bars else test.conditions.index(CEILING))

    def of(self, presentation: Presentation) -> dict[str, Heard]:
        """What is heard in a presentation, by the names that a listener sees: `start`, `a` and, of a pair, `b`."""
        place = presentation.place
        heard = {"start": Heard(place)} if self.plan.test.start_bars else {}
        heard["a"] = Heard(place, presentation.first)
        if presentation.second is not None:
            heard["b"] = Heard(place, presentation.second)
        return heard

    def of_session(self, number: int) -> Iterator[Heard]:
        """Everything that session `number` hears, what comes first first."""
        seen = set()
        for presentation in self.plan.session_plan(number):
            for heard in self.of(presentation).values():
                if heard not in seen:
                    seen.add(heard)
                    yield heard


def fixed(storage: Storage, study: str, protocol: str) -> FixedTest:
    """The listening test of a study's newest edition: the one that was fixed before, or a new one.

    Raises:
        UserError: the study is not there, has too little to be heard, or lacks what the test needs.
    """
    results = Results.read(storage, study)
    ballots = Ballots(storage, listening_folder(results.folder, protocol))
    kept = ballots.plan()
    plan = kept or ListeningPlan(
        study=study, edition=results.plan.edition, test=planned(results, protocol), began=time.time()
    )
    heard_names = {condition.name for condition in plan.test.conditions}
    left_out = tuple(name for name in Samples(results).variants if name not in heard_names)
    fixed_test = FixedTest(plan, ballots, Excerpts(results, plan.test), left_out)
    for heard in fixed_test.pieces:  # so that a session never stops at a sample that is gone
        if heard.condition is not None:
            fixed_test.excerpts.continuation(heard.place, heard.condition)
    return fixed_test if kept else replace(fixed_test, plan=ballots.put_plan(plan))


def planned(results: Results, protocol: str) -> ListeningTest:
    """The test that a study's finished trials make possible; nothing is written.

    A variant of which every trial failed is left out. Starts are drawn by a hash, not picked.

    Raises:
        UserError: there is too little to be heard; the message says what is missing.
    """
    samples = Samples(results)
    variants = _variants(results, samples)
    music = real_music(results, samples)
    bars_by_place = longest(samples, music, variants)
    if not bars_by_place:
        raise UserError(
            f"{results.plan.study} has no start that {listing(variants)} all continue by a bar or more; run more "
            "blocks, or run it with a longer continuation."
        )
    bars = _bars(bars_by_place)
    seed = int(content_hash([results.plan.edition, protocol])[:8], 16)
    places = [place for place, most in bars_by_place.items() if most >= bars]
    window = music.spec.steps // music.bar
    return ListeningTest(
        protocol=protocol,
        question=QUESTIONS[protocol],
        conditions=(*(Condition(name) for name in variants), CEILING, FLOOR),
        controls={name: results.answer.controls[name] for name in variants},
        places=spread_places(places, _MOST_PLACES, seed),
        start_bars=min(_START_BARS, window),
        bars=bars,
        seed=seed,
    )


def _bars(bars_by_place: dict[Place, int]) -> int:
    """How many bars are heard: as many as enough starts have, the same number of each block; no block is given up."""
    by_block: dict[int, list[int]] = {}
    for place, bars in bars_by_place.items():
        by_block.setdefault(place.block, []).append(bars)
    of_each = -(-_ENOUGH_PLACES // len(by_block))  # rounded up
    shortest = [sorted(bars, reverse=True)[:of_each][-1] for bars in by_block.values()]
    return min(_MOST_BARS, *shortest)


def _variants(results: Results, samples: Samples) -> list[str]:
    """The variants that can be heard; UserError if they are too few, or if some trials are still to come."""
    study = results.plan.study
    made = {trial.variant.name for trial in results.trial_specs if _has_samples(results, trial.key)}
    waiting = {
        trial.variant.name
        for trial in results.trial_specs
        if trial.key not in results.records and trial.key not in results.failures
    }
    if not made:
        raise UserError(f"{study} has no samples to listen to; run it first.")
    if unfinished := [name for name in samples.variants if name in waiting - made]:
        raise UserError(
            f"{study} has no trial of {listing(unfinished)} that has finished; run the study to its end first."
        )
    variants = [name for name in samples.variants if name in made]
    if len(variants) < 2:
        raise UserError(
            f"A listening test compares 2 variants or more; {study} has samples of {listing(variants)} only."
        )
    if lacking := sorted({results.answer.controls[name] for name in variants} - made):
        raise UserError(f"All trials of the control {listing(lacking)} failed, so there is nothing to compare with.")
    return variants


def _has_samples(results: Results, key: str) -> bool:
    return key in results.records and bool(results.records[key].samples)
