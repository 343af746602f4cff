"""The plan file: what a run of a study will do, written before anything runs, for reports and MLflow."""

import contextlib
import platform
import subprocess
import time
from collections.abc import Sequence

from musiclab import ROOT, __version__
from musiclab.design.space import described
from musiclab.storage.plans import StudyPlan
from musiclab.study.run import StudyRun
from musiclab.tracking import masked


class PlanFile:
    """The plan of `run`, which a search replaces once it knows what is to be confirmed.

    `tracking` is the MLflow address that the user has named; "" stands for the storage's own. `command` is the command
    line of the run; it is empty if the study was run from Python.
    """

    def __init__(self, study_run: StudyRun, tracking: str = "", command: Sequence[str] = ()) -> None:
        self.run, self._tracking, self._command, self._began = study_run, tracking, command, time.time()

    def write(self) -> None:
        """Write the plan as it is now; it changes when blocks are added."""
        study_run, design, records = self.run, self.run.design, self.run.records
        spec = design.spec
        plans = records.plans.of_study(spec.name)
        others = [plan for folder, plan in plans.items() if folder != design.folder]
        before = plans.get(design.folder)
        # The newest plan is the one that began last, even if the clock has been set back since the others.
        self._began = max([self._began, *(plan.began + 0.001 for plan in others)])
        plan = StudyPlan(
            study=spec.name,
            question=spec.question,
            edition=design.edition,
            base=design.base() | {"data": design.source.spec, "seed": spec.seed},
            design=described(spec.space) | {"aliases": design.aliases},
            controls=design.controls,
            objective=design.objective.full_name,
            measures=study_run.criteria.own,
            margin=study_run.criteria.margin,
            sequential=study_run.criteria.sequential,
            claims=tuple(spec.claims),
            scale=design.scale,
            form=design.form,
            blocks=study_run.blocks,
            trial_specs=tuple(study_run.trial_specs),
            began=self._began,
            songs=design.source.fingerprint(),
            code={name: code.identity for system in design.systems for name, code in design.code(system).items()},
            command=tuple(masked(word) for word in self._command),
            tracking=masked(self._tracking),
            environment={
                "musiclab": __version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "commit": checkout_commit(),
            },
            extra=before.extra if before else {},
        )
        records.plans.put(design.folder, plan)


def checkout_commit() -> str:
    """The checkout's commit; "" outside a checkout."""
    with contextlib.suppress(OSError):
        git = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        return git.stdout.strip()
    return ""
