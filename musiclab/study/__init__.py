"""Studies: a question about a system, asked as a design over its fields and answered with error bars and sound."""

from typing import TYPE_CHECKING

from musiclab.on_demand import on_demand

if TYPE_CHECKING:
    from musiclab.design.claims import Claim, Expect
    from musiclab.design.space import Ablation, Grid
    from musiclab.study.results import open_results
    from musiclab.study.study import Study

__all__ = ["Ablation", "Claim", "Expect", "Grid", "Study", "open_results"]

__getattr__, __dir__ = on_demand(__name__, {"musiclab": __all__})
