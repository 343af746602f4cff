"""Studies: a question about a system, asked as a design over its fields and answered with error bars and sound."""

from typing import TYPE_CHECKING, Any

import musiclab

if TYPE_CHECKING:
    from musiclab.design.claims import Claim, Expect
    from musiclab.design.space import Ablation, Grid
    from musiclab.study.results import open_results
    from musiclab.study.study import Study

__all__ = ["Ablation", "Claim", "Expect", "Grid", "Study", "open_results"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(musiclab, name)
