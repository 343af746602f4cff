"""A listening test in words: what it would ask, and how many listeners it takes."""

from collections.abc import Iterator

from musiclab.analysis.listening_power import SHARES, listeners_needed
from musiclab.design.listening import PAIRS, VARIANT, ListeningTest
from musiclab.report.sentences.by_ear import NOTHING_COMPARED
from musiclab.wording import counted, listing


def described(test: ListeningTest) -> Iterator[str]:
    """Lines for a terminal; those on listeners take some seconds each, because studies are simulated for them."""
    variants = [condition.name for condition in test.conditions if condition.kind == VARIANT]
    others = [condition.name for condition in test.conditions if condition.kind != VARIANT]
    noun = "pair" if test.protocol == PAIRS else "piece"
    yield f"question: {test.question}"
    yield f"heard: {listing(variants)}; hidden among them {listing(others)}"
    yield (
        f"starts: {len(test.places)}; {counted(test.start_bars, 'bar')} of each are heard, and then "
        f"{counted(test.bars, 'bar')} of {'two continuations' if test.protocol == PAIRS else 'a continuation'}"
    )
    yield (
        f"a session: {counted(test.warm_ups, 'warm-up')}, {counted(test.presentations, noun)} out of "
        f"{len(test.items) * len(test.places)}, and {test.repeats} of them once more"
    )
    if test.protocol != PAIRS:
        return
    if all(name == control for name, control in test.controls.items()):
        yield NOTHING_COMPARED
        return
    for share in SHARES:
        needed = listeners_needed(test, share)
        odds = f"{100 * share:.0f}:{100 * (1 - share):.0f}"
        if needed.listeners is None:
            yield (
                f"a difference of {odds} to the control: no number of listeners shows it in 80 % of studies (the most "
                f"that were tried do in {100 * needed.power:.0f} %); run more blocks"
            )
        else:
            yield (
                f"a difference of {odds} to the control: {needed.listeners} listeners, who answer "
                f"{needed.answers:,} pairs, show it in {100 * needed.power:.0f} % of studies"
            )
