"""Musiclab: studies of symbolic-music generators, from real songs to an answer with error bars and sound.

The names in `__all__` are public.
"""

# ruff: noqa: E402 - before anything else is imported
from musiclab.process.import_order import put_libraries_first

put_libraries_first()

from pathlib import Path
from typing import TYPE_CHECKING

from musiclab.on_demand import on_demand

if TYPE_CHECKING:
    from musiclab.design.claims import Claim, Expect
    from musiclab.design.search import Budget, Categorical, Float, Int, Search
    from musiclab.design.space import Ablation, Grid
    from musiclab.errors import UserError
    from musiclab.study.results import StudyResults, open_results
    from musiclab.study.study import Study

__version__ = "0.1.0"
ROOT = Path(__file__).parent  # the package's folder

__all__ = [
    "Ablation",
    "Budget",
    "Categorical",
    "Claim",
    "Expect",
    "Float",
    "Grid",
    "Int",
    "Search",
    "Study",
    "StudyResults",
    "UserError",
    "__version__",
    "open_results",
]

# Imported when asked for, so that a worker that needs one module does not pay for what a study needs.
__getattr__, __dir__ = on_demand(
    __name__,
    {
        "musiclab.design.claims": ["Claim", "Expect"],
        "musiclab.design.search": ["Budget", "Categorical", "Float", "Int", "Search"],
        "musiclab.design.space": ["Ablation", "Grid"],
        "musiclab.errors": ["UserError"],
        "musiclab.study.results": ["StudyResults", "open_results"],
        "musiclab.study.study": ["Study"],
    },
)
