"""Studies: a question about a system, asked as a design over its fields and answered with error bars and sound."""

from musiclab.study.claims import Claim, Expect
from musiclab.study.space import Ablation, Grid
from musiclab.study.study import Study

__all__ = ["Ablation", "Claim", "Expect", "Grid", "Study"]
