"""What listeners say of a study's variants, in sentences: verdicts, who was heard, and which measures agree.

Whether listeners are simulated is said first, wherever there are any.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from musiclab.analysis.attendance import Attendance, counted_ballots
from musiclab.analysis.comparisons import Verdict
from musiclab.analysis.ears import BesideEars
from musiclab.analysis.listening import ListeningResults
from musiclab.analysis.preferences import Preferences
from musiclab.analysis.ratings import RatingResults
from musiclab.analysis.statistics import ALPHA, blocks_needed
from musiclab.analysis.two_way import RESAMPLES
from musiclab.design.listening import PAIRS, ListeningTest
from musiclab.report.formatting import percent, percent_bounds
from musiclab.report.sentences.phrases import LARGEST_NAMED, p_phrase
from musiclab.wording import counted, listing, rounded

ONLY_SIMULATED = (
    "All these listeners are simulated: no person has heard anything, so this says nothing about how the music sounds."
)
NOTHING_COMPARED = "nothing is compared, because each variant is its own control"
_WHO_CAN_TELL = "Intervals need at least 2 listeners and 2 blocks."


def judged_by_ear(listening: ListeningResults | None) -> list[str]:
    """What listeners say, for a printed answer; empty if nothing was answered."""
    if listening is None or not listening.has_ballots:
        return []
    return [*simulated(listening), *(verdicts(found) for found in listening.tests.values())]


def nobody(study: str) -> str:
    """That nobody has heard a study."""
    return f"No listener has heard this study: `musiclab listen STORAGE/{study}` lets people judge its variants, blind."


def simulated(listening: ListeningResults) -> list[str]:
    """That listeners are simulated, in one sentence; empty if all are people."""
    if not listening.simulated:
        return []
    if not listening.people:
        return [ONLY_SIMULATED]
    sessions = counted(listening.simulated + listening.people, "session")
    return [f"{listening.simulated} of {sessions} {_are(listening.simulated)} of simulated listeners, not of people."]


def pooled(studies: Sequence[str]) -> str:
    """Which studies are pooled."""
    named = listing(studies) if len(studies) <= LARGEST_NAMED else "all that listeners have heard"
    return f"Pooled over {len(studies)} {'study' if len(studies) == 1 else 'studies'}: {named}."


def pooled_simulated(studies: Sequence[str], beside_people: bool) -> str:
    """What simulated listeners mean for pooled studies, of which these have no others; empty if there are none."""
    if not studies:
        return ""
    if not beside_people:
        return ONLY_SIMULATED
    return f"Left out, because their listeners are simulated: {listing(studies)}."


def verdicts(found: Preferences | RatingResults) -> str:
    """The verdicts on all variants, control by control."""
    heard, test = found.attendance, found.plan.test
    by_what = "By ear" if test.protocol == PAIRS else "By ratings of single pieces"
    if not heard.counted:
        return f"{by_what}: no session counts, so nothing is compared."
    clauses = [clause for control in dict.fromkeys(test.controls.values()) for clause in _against(found, control)]
    opening = f"{by_what} ({_listeners(heard)}, {counted(heard.answers, _unit(test))})"
    return f"{opening}: {'; '.join(clauses) or NOTHING_COMPARED}."


@dataclass(frozen=True)
class _Compared:
    """A comparison of a variant with its control: what it is of, its verdict, and its numbers."""

    name: str
    verdict: Verdict
    number: str
    p: float

    def shown(self) -> str:
        """`k=1 (62 % of votes, p = 0.031)`; p only if it shows something."""
        p = f", {p_phrase(self.p)}" if self.verdict in ("better", "worse") else ""
        return f"{self.name} ({self.number}{p})"


def _compared(found: Preferences | RatingResults, control: str) -> list[_Compared]:
    """The comparisons with a control, of ratings on each scale."""
    controls = found.plan.test.controls
    if isinstance(found, Preferences):
        return [
            _Compared(name, each.verdict, f"{percent(each.share.mean)} of votes", each.p_holm)
            for name, each in found.comparisons.items()
            if controls[name] == control
        ]
    return [
        _Compared(f"{name} in {scale}", each.verdict, f"{each.difference.mean:+.2g}", each.p_holm)
        for name, by_scale in found.comparisons.items()
        for scale, each in by_scale.items()
        if controls[name] == control
    ]


def _against(found: Preferences | RatingResults, control: str) -> list[str]:
    """A clause for each verdict on what is compared with a control; the first one names the control."""
    compared = _compared(found, control)
    by_verdict: dict[Verdict, list[_Compared]] = {}
    for each in compared:
        by_verdict.setdefault(each.verdict, []).append(each)

    def named(verdict: Verdict) -> str:
        own = by_verdict[verdict]
        if len(own) > LARGEST_NAMED:
            return f"{len(own)} of {len(compared)} comparisons"
        return listing(each.name if verdict == "not compared" else each.shown() for each in own)

    phrases: dict[Verdict, str] = {
        "better": "better: {}",
        "worse": "worse: {}",
        "no difference shown": "no difference is shown for {}",
        "underpowered": "too few listeners or blocks to show anything for {}",
        "not compared": "not compared, because too little was heard: {}",
    }
    clauses = [phrase.format(named(verdict)) for verdict, phrase in phrases.items() if verdict in by_verdict]
    return [f"against {control}, {clauses[0]}", *clauses[1:]] if clauses else []


def attended(found: Preferences | RatingResults) -> list[str]:
    """Who was heard, how consistent they are, and which sessions do not count and why."""
    heard, test = found.attendance, found.plan.test
    sentences = []
    if heard.counted:
        gave = "gave" if test.protocol == PAIRS else "gave ratings of"
        blocks = counted(_blocks(found), "block")
        answers = counted(heard.answers, _unit(test))
        sentences.append(f"{_listeners(heard)} {gave} {answers} on {blocks}, {_heard_what(test)}.")
    if isinstance(found, Preferences) and heard.answers:
        sentences.append(
            f"{percent(found.equal)} of the votes call both equal, {percent(found.much)} call one much better. "
            "Much and slightly better are one vote alike."
        )
    if heard.counted:
        sentences.append(_consistency(heard, test))
    sentences.append(_excluded(heard, test))
    return sentences


def how_sure(found: Preferences | RatingResults) -> str:
    """What the verdicts by ear rest on, and that intervals may disagree with them."""
    if isinstance(found, Preferences):
        tests = [each for each in found.comparisons.values() if not math.isnan(each.p_holm)]
        family, no_difference = len(tests), "50 %"
        verdicts = [each.verdict for each in found.comparisons.values()]
    else:
        scales = [each for by_scale in found.comparisons.values() for each in by_scale.values()]
        family, no_difference = sum(not math.isnan(each.p_holm) for each in scales), "0"
        verdicts = [each.verdict for each in scales]
    if not family:
        return "Nothing could be compared by ear."
    sentences = [
        "Verdicts come from three tests: over listeners, over blocks, and over both at once. The largest p counts, at "
        f"{percent(ALPHA)}, corrected by Holm over {counted(family, 'comparison')}."
    ]
    if "underpowered" in verdicts:
        least = blocks_needed(family)
        sentences.append(f"At least {least} listeners and {least} blocks are needed to show anything.")
    sentences.append(
        f"Intervals are 95 % intervals from {RESAMPLES:,} resamples of listeners and blocks at once, without "
        f"correction. So an interval and a verdict may disagree: an interval may exclude {no_difference} although no "
        "difference is shown, or reach to it although one is."
    )
    if min(len(found.attendance.counted), _blocks(found)) < 2:
        sentences.append(_WHO_CAN_TELL)
    return " ".join(sentences)


def trusted(beside: Mapping[str, BesideEars]) -> list[str]:
    """Which measures pick what listeners prefer, by their intervals; empty if there are no votes between variants."""
    known = {name: each for name, each in beside.items() if not math.isnan(each.picked.mean)}
    if not known:
        return []
    bounded = {name: each for name, each in known.items() if not math.isnan(each.picked.low)}
    if not bounded:
        return [f"No measure can be told from chance yet. {_WHO_CAN_TELL}"]
    above = {name: each for name, each in bounded.items() if each.picked.low > 0.5}
    below = {name: each for name, each in bounded.items() if each.picked.high < 0.5}
    measures = counted(len(bounded), "measure")
    if not above and not below:
        return [f"No interval of {measures} excludes chance.", _by_luck(bounded)]
    sentences = []
    if above:
        sentences.append(
            f"Of {measures}, {len(above)} {'picks' if len(above) == 1 else 'pick'} the winner of a vote more often "
            f"than chance, by the interval: {_measures(above)}."
        )
    else:
        sentences.append(f"No interval of {measures} lies above chance.")
    if below:
        sentences.append(f"Less often than chance: {_measures(below)}. These prefer what listeners do not.")
    return [*sentences, _by_luck(bounded)]


def _measures(named: Mapping[str, BesideEars]) -> str:
    """Measures with how often they are right, the most certain ones if they are many."""
    surest = sorted(named, key=lambda name: -abs(named[name].picked.mean - 0.5))
    few = listing(
        f"{name} ({percent(named[name].picked.mean)} {percent_bounds(named[name].picked)})"
        for name in surest[:LARGEST_NAMED]
    )
    more = len(surest) - LARGEST_NAMED
    return f"{few}; {more} more are in the table" if more > 0 else few


def _by_luck(bounded: Mapping[str, BesideEars]) -> str:
    expected = rounded(len(bounded) * ALPHA / 2)
    return (
        f"Intervals are not corrected for the number of measures: if none of {len(bounded)} heard anything, about "
        f"{expected} would lie above chance by luck, and as many below."
    )


def _blocks(found: Preferences | RatingResults) -> int:
    return len({ballot.shown.place.block for each in found.attendance.counted for ballot in counted_ballots(each)})


def _listeners(heard: Attendance) -> str:
    return counted(len(heard.counted), "simulated listener" if heard.simulated else "listener")


def _unit(test: ListeningTest) -> str:
    return "vote" if test.protocol == PAIRS else "piece"


def _heard_what(test: ListeningTest) -> str:
    bars = counted(test.bars, "bar")
    pair = f"each between two continuations of {bars} of one start"
    return pair if test.protocol == PAIRS else f"each a continuation of {bars}"


def _consistency(heard: Attendance, test: ListeningTest) -> str:
    if not heard.repeats:
        return "No repeat was answered, so it is not known how consistent listeners are."
    what = "pairs heard again with A and B swapped" if test.protocol == PAIRS else "ratings given again"
    alike = "answered as before" if test.protocol == PAIRS else "at most 1 from before"
    return f"Consistency: of {heard.repeats} {what}, {percent(heard.consistency)} were {alike}."


def _excluded(heard: Attendance, test: ListeningTest) -> str:
    sessions = len(heard.counted) + len(heard.excluded)
    if not sessions:
        return "No session has begun."
    if not heard.excluded:
        return f"{'The one session counts' if sessions == 1 else f'All {sessions} sessions count'}; none is excluded."
    reasons = Counter(each.reason for each in heard.excluded)
    phrases = listing(f"{times} {_reason(reason, test)}" for reason, times in reasons.items())
    verb = "count" if len(heard.counted) > 1 else "counts"
    count = f"{len(heard.counted) or 'none'} {verb}"
    return f"Of {counted(sessions, 'session')} {count}. Excluded by rules that were fixed before: {phrases}."


def _reason(reason: str, test: ListeningTest) -> str:
    """Why sessions do not count, behind their number: `with fewer than 10 answers`."""
    rules, pairs = test.exclusions, test.protocol == PAIRS
    return {
        "withdrawn": "withdrawn by the listener",
        "simulated": "of simulated listeners, which never count beside people",
        "few answers": f"with fewer than {rules.least_answers} answers",
        "floor over ceiling": f"that put shuffled tracks above the real continuation in more than "
        f"{percent(rules.floor_over_ceiling)} of {'such pairs' if pairs else 'the scales'}",
        "contradictions": f"that contradicted the first answer in more than {percent(rules.contradictions)} of repeats",
    }[reason]


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
