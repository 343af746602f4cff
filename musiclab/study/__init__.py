"""Studies: a question about a system, asked as a design over its fields and answered with error bars and sound."""

from musiclab.study.space import Grid
from musiclab.study.study import Study

__all__ = ["Grid", "Study"]
