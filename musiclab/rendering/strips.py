"""What all pictures of a roll have in common: one strip a track, cropped to the register that it plays in."""

import numpy as np
import numpy.typing as npt

BEATS_PER_BAR = 4
COLORS = {"Drums": "#333333", "Piano": "#08519c", "Guitar": "#b34700", "Bass": "#006d2c", "Strings": "#54278f"}
# In semitones: at least two octaves of each track are shown.
_SMALLEST_SPAN = 24


def register(cells: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Lowest and highest pitch to show of a track's cells `(time, pitch)` bool.

    These are the pitches that it plays and a margin: at least two octaves, within 0 to 127.
    """
    played = np.flatnonzero(cells.any(axis=0))
    low, high = (int(played[0]), int(played[-1])) if played.size else (48, 72)
    margin = max(2, -(-(_SMALLEST_SPAN - (high - low)) // 2))
    low = max(low - margin, 0)
    return low, min(max(high + margin, low + _SMALLEST_SPAN), cells.shape[1] - 1)
