"""Criteria: how a study is judged, stated before anything runs."""

from dataclasses import dataclass

from musiclab.measures.registry import MEASURES, Measure


@dataclass(frozen=True)
class Criteria:
    """How a study is judged; it stands in the plan before anything runs.

    Attributes:
        objective: the measure that decides.
        controls: the variant that each variant is compared with, by name; a control's control is itself.
        margin: differences up to this count as none, in the objective's unit; None if the study states none.
        sequential: whether the number of blocks depends on what was seen, so that tests must be anytime-valid.
        own: the measures that the study brings.
    """

    objective: Measure
    controls: dict[str, str]
    margin: float | None = None
    sequential: bool = False
    own: tuple[Measure, ...] = ()

    @property
    def measures(self) -> tuple[Measure, ...]:
        """All measures that a trial of the study may have, musiclab's first."""
        return (*MEASURES, *self.own)
