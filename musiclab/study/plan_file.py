"""The plan file: what a run of a study is to do, written before anything runs, for reports and MLflow to follow."""

import contextlib
import platform
import subprocess
import sys
import time

from musiclab import ROOT, __version__
from musiclab.design.space import described
from musiclab.storage.plans import StudyPlan
from musiclab.study.run import StudyRun
from musiclab.tracking import masked


class PlanFile:
    """The plan of a run; `tracking` is the MLflow address that a user has named, empty if it is the storage's own."""

    def __init__(self, running: StudyRun, tracking: str = "") -> None:
        self._running, self._tracking, self._began = running, tracking, time.time()

    def write(self) -> None:
        """Write the plan as it stands now; more blocks change it."""
        running, design, records = self._running, self._running.design, self._running.records
        spec = design.spec
        plans = records.plans.of_study(spec.name)
        others = [plan for folder, plan in plans.items() if folder != design.folder]
        before = plans.get(design.folder)
        # The newest plan is known by this, whatever the clock has been set to.
        self._began = max([self._began, *(plan.began + 0.001 for plan in others)])
        plan = StudyPlan(
            study=spec.name,
            question=spec.question,
            edition=design.edition,
            base=design.base() | {"data": design.source.spec, "seed": spec.seed},
            design=described(spec.space) | {"aliases": design.aliases},
            controls=design.controls,
            objective=design.objective.full_name,
            margin=running.criteria.margin,
            sequential=running.criteria.sequential,
            claims=tuple(spec.claims),
            scale=design.scale,
            blocks=running.blocks,
            trial_specs=tuple(running.trial_specs),
            began=self._began,
            songs=design.source.fingerprint(),
            code={name: code.identity for system in design.systems for name, code in design.code(system).items()},
            command=tuple(masked(word) for word in sys.argv),
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
    """The checkout's commit, or nothing outside one."""
    with contextlib.suppress(OSError):
        found = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        return found.stdout.strip()
    return ""
