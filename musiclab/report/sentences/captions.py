"""The notes below the report's plots and tables, and the descriptions for readers who cannot see them."""

BLOCKS_PLOT = "A row for each variant: a dot for each block, a diamond for the mean, a bar for its 95 % interval."
BLOCKS = (
    "A circle is a block. Thin lines join the variants of a block if they are few. A diamond is the mean over blocks, "
    "the bar its 95 % interval, the dashed line the control's mean."
)
SHARES_PLOT = "A row for each variant: a diamond for its share of votes, a bar for the 95 % interval."
SHARES = (
    "A diamond is the share of votes that a variant would win against all others, each heard equally often. The bar is "
    "its 95 % interval, the thin dashed line the control's share. The lines with bands are the real continuation (the "
    "ceiling) and shuffled tracks (the floor), with their intervals."
)
RESPONSE = "Markers are means over blocks, bars their 95 % intervals."
RESPONSE_BLOCKS = "Circles are blocks."
UNBOUNDED = "[unbounded]: too few blocks. A difference needs 6, its 90 % interval 5."
SHARED_TRAINING = "One line for all variants, because they share this training."


def some_of(variants: int) -> str:
    """That a plot has not all variants."""
    return f"Of {variants} variants only the controls and the best are shown; the table has all."


def aim(better: str) -> str:
    """Which way is better, beside the name of the objective."""
    return "closest to real music is best" if better == "real" else f"{better} is better"


def curves(ends: list[tuple[str, str, str]]) -> str:
    """How learning curves run; `ends` has each line's name, first value and last value."""
    phrases = [f"{name}: {first} at first, {last} at last" for name, first, last in ends]
    return f"By epoch. {'; '.join(phrases)}."


def distribution(real: str, means: list[tuple[str, str]]) -> str:
    """What a plot of a distribution shows; `means` has each variant's name and mean."""
    phrases = [f"{name} {mean}" for name, mean in means]
    return f"Share of windows by value. Means: real music {real}; {'; '.join(phrases)}."


CHOSEN = "confirmed on fresh blocks, with its number; here with its score in the search"
HISTORY = (
    "Each dot is a proposal's score on the search's one block; the line is the best so far. The best of many scores "
    "with noise is partly luck: the table above has what was left of it on fresh blocks."
)
CROWDED = "A mark may stand for several proposals whose marks would cover each other; search.csv has them all."
PARALLEL_TITLE = "Parallel coordinates of the proposals that finished"
PAIR = (
    "The better the finished proposals of a cell ranked on average, the deeper its shade; cells without any are blank. "
    "Proposals without a score are shown too, because where they lie says something."
)
RUNGS_TITLE = "Progress at the rungs, lower is better"
RUNGS = (
    "A line joins a trial's values of its system's progress at the rungs, where it may end. Solid lines finished, "
    "dashed ones did not."
)
FRONT_MEMBER = "on the front: no other is better by one objective and no worse by the rest"
FRONT = "Scores are those of the search's one block."
FRONT_HEARD = "Scores are those of the search's one block. A click on a large square plays that proposal."
IMPORTANCE = (
    "By PED-ANOVA: how far the values of the best tenth lie from those of all that finished. It describes what this "
    "search has tried, on one block. It tests nothing: a sampler tries more of what looked good early, and a field may "
    "look important by chance. A field that applies to some proposals only is judged among those."
)
FULL_TRIALS = "if each of those had cost what a finished one did on average"
FULL_GRID = (
    "with 5 values of each numeric field, all values of the others, and conditional fields only where they apply, each "
    "at the mean of a finished one, and without its confirmation"
)
RANKING = (
    "The search's ranking beside the confirmed one. Overstated is by how much the search made a proposal look better "
    "than its mean on fresh blocks; below 0 it looked worse. The control was not chosen for its score, so what it "
    "shows is the difference between the blocks. Only the confirmed means enter verdicts."
)


def history(finished: int, steps: list[tuple[int, str]]) -> str:
    """How the best so far went; `steps` has the proposals that improved it, with their scores."""
    shown = steps if len(steps) <= 8 else [*steps[:3], *steps[-5:]]
    phrases = "; ".join(f"{score} at proposal {number}" for number, score in shown)
    return f"{finished} proposals have a score. Best so far: {phrases or 'none'}."


def parallel(best: list[tuple[int, str, str]]) -> str:
    """The best proposals with values and scores."""
    phrases = "; ".join(f"proposal {number}: {values}: {score}" for number, values, score in best)
    return f"A line is a proposal. Best: {phrases}."


def parallel_note(best: int, others: int, finished: int) -> str:
    """What the lines of parallel coordinates are."""
    some = (
        f"{others} of the other {finished - best}, evenly spread over the ranking"
        if others < finished - best
        else "all others"
    )
    return (
        f"A line is a proposal that finished. Strong: the best {best} of {finished} in the search. Dashed, ending in a "
        f"diamond: those confirmed. Pale: {some}."
    )


def slice_of(name: str, points: int, best: str) -> str:
    """What a slice shows."""
    return f"The score of {points} proposals by {name}; the search's first has {best}."


def pair(names: tuple[str, str], finished: int) -> str:
    """What a plot of two fields shows."""
    return f"{finished} finished proposals by {names[0]}, across, and {names[1]}, upwards."


def rungs(counts: list[tuple[str, int]]) -> str:
    """How many trials came to a rung, by how they ended."""
    return f"Trials that came to a rung: {', '.join(f'{count} {words}' for words, count in counts)}."


def thinned(most: int) -> str:
    """That not all lines are shown."""
    return f"Of each kind {most} are shown, evenly spread by their values."


def front(members: int, points: int) -> str:
    """How large a front is."""
    return f"{members} of {points} finished proposals are on the front."


def few_for_importance(finished: int) -> str:
    """How little importance says about few trials; empty if they are enough."""
    if finished >= 50:
        return ""
    best = -(-finished // 10)
    return f"With {finished} finished proposals the best tenth is {best}, so this is hardly more than chance."


STRENGTHS = (
    "Strengths are those of Bradley and Terry, as the share of votes that each would win if all were heard equally "
    "often against one another. Against its control: the share of votes that the variant would win of those two, 50 % "
    "being no difference. Votes that call both equal are half a vote for each."
)
RATED = (
    "Mean ratings from 1 to 5 with 95 % intervals, and below them how each variant is rated against its control. The "
    "differences leave out how high each listener rates on the whole, so they may differ from those of the means."
)
BESIDE_EARS = (
    "How often a measure scores the winner of a vote better than the loser, on the block that was heard (50 % is "
    "chance; votes that call both equal are left out), and the rank correlation (Kendall's tau) of the variants' mean "
    "scores with their strengths by ear (0 is chance), with 95 % intervals from resampled listeners and blocks."
)
