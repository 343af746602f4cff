"""Strips: what all pictures of a roll have in common, one strip a track, cropped to the register it plays in."""

import numpy as np

BEATS_PER_BAR = 4
COLORS = {"Drums": "#333333", "Piano": "#08519c", "Guitar": "#b34700", "Bass": "#006d2c", "Strings": "#54278f"}
# At least two octaves of each track are shown, around the register it plays in.
_SMALLEST_SPAN = 24


def register(cells: np.ndarray) -> tuple[int, int]:
    """Lowest and highest pitch to show of a track's cells `(time, pitch)` bool.

    What is played and some margin, two octaves at least, within 0 to 127.
    """
    played = np.flatnonzero(cells.any(axis=0))
    low, high = (int(played[0]), int(played[-1])) if played.size else (48, 72)
    margin = max(2, -(-(_SMALLEST_SPAN - (high - low)) // 2))
    low = max(low - margin, 0)
    return low, min(max(high + margin, low + _SMALLEST_SPAN), cells.shape[1] - 1)
