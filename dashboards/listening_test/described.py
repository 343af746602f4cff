"""A listening test in words: what it would ask, of whom, and how many listeners it takes."""

from musiclab.design.listening import PAIRS, VARIANT, ListeningTest
from musiclab.wording import counted, listing


def described(test: ListeningTest) -> list[str]:
    """Lines for a terminal."""
    variants = [condition.name for condition in test.conditions if condition.kind == VARIANT]
    others = [condition.name for condition in test.conditions if condition.kind != VARIANT]
    noun = "pair" if test.protocol == PAIRS else "piece"
    items = len(test.items)
    return [
        f"question: {test.question}",
        f"heard: {listing(variants)}; hidden among them {listing(others)}",
        f"starts: {len(test.places)}, of which {counted(test.start_bars, 'bar')} are heard, and "
        f"{counted(test.bars, 'bar')} of each continuation",
        f"a session: {counted(test.warm_ups, 'warm-up')}, {counted(test.presentations, noun)} of the {items} that "
        f"there are on each start, and {test.repeats} of them once more",
    ]
