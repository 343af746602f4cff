"""What music and models measure: pure functions from rolls and latents to numbers, each with its rule for NaN.

The names in `__all__` are public: with `measure` a function becomes a measure of one's own.
"""

from typing import TYPE_CHECKING

from musiclab.on_demand import on_demand

if TYPE_CHECKING:
    from musiclab.measures.declaring import measure

__all__ = ["measure"]

# Raised whenever the numbers of any measure change, so that trials are measured anew; see `musiclab.code_lock`.
REVISION = 2

__getattr__, __dir__ = on_demand(__name__, {"musiclab.measures.declaring": ["measure"]})
