"""The notes below the report's plots and tables, and the descriptions for readers who cannot see them."""

BLOCKS_PLOT = "A row for each variant: a dot for each block, a diamond for the mean, a bar for its 95 % interval."
BLOCKS = (
    "A circle is a block. Thin lines join the variants of a block if they are few. A diamond is the mean over blocks, "
    "the bar its 95 % interval, the dashed line the control's mean."
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
