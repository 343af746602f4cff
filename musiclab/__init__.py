"""Musiclab: studies of symbolic-music generators, from real songs to an answer with error bars and sound."""

# ruff: noqa: E402 - before anything else is imported
from musiclab.process.import_order import put_libraries_first

put_libraries_first()

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    "ROOT",
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
_PUBLIC = {
    "Ablation": "musiclab.design.space",
    "Budget": "musiclab.design.search",
    "Categorical": "musiclab.design.search",
    "Claim": "musiclab.design.claims",
    "Expect": "musiclab.design.claims",
    "Float": "musiclab.design.search",
    "Grid": "musiclab.design.space",
    "Int": "musiclab.design.search",
    "Search": "musiclab.design.search",
    "Study": "musiclab.study.study",
    "StudyResults": "musiclab.study.results",
    "UserError": "musiclab.errors",
    "open_results": "musiclab.study.results",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
