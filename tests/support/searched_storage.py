"""A search that runs as a test wants it, without training anything: proposals, decisions at rungs, ends, records."""

import json
import math
from pathlib import Path
from typing import Any

from musiclab.design.search import Categorical, Float, Int, Search
from musiclab.design.space import described
from musiclab.storage.files import Storage
from musiclab.storage.plans import StudyPlan
from musiclab.storage.records import Records
from musiclab.storage.search_documents import (
    Conclusion,
    Confirmation,
    Decision,
    End,
    Proposal,
    SearchFiles,
    Source,
    State,
)
from musiclab.storage.stages import CurvePoint
from musiclab.training.streams import Block
from tests.support.made_records import made_cost, made_plan, made_record

SPACE = {
    "lr": Float(1e-4, 1e-1, log=True),
    "latent_dim": Int(2, 64, log=True),
    "peaks": Categorical(-1, 0),
    "spread": Float(0, 1, when={"peaks": -1}),
}
BEGAN = 1_700_000_000.0
STUDY, EDITION = "made", "e"
FOLDER = f"studies/{STUDY}/{EDITION}"
SAMPLES = {"start-1.mp3": b"ID3 sound", "start-1.png": b"\x89PNG picture", "start-2.png": b"\x89PNG another"}


class MadeSearch:
    """A search in `folder` whose proposals come and end as a test wants it.

    Args:
        folder: of the storage.
        also: measures that are searched for beside the objective.
        objective: full name of the objective.
    """

    def __init__(self, folder: Path, also: tuple[str, ...] = (), objective: str = "set/frechet", **plan: Any) -> None:
        self.storage = Storage(str(folder))
        self.records, self.files = Records(self.storage), SearchFiles(self.storage, FOLDER)
        self.objectives = (objective, *also)
        self._ended = 0
        search = Search(SPACE, scheduler="asha", budget=40, also=also)
        written = {"study": STUDY, "edition": EDITION, "design": described(search), "objective": objective}
        self.records.plans.put(FOLDER, made_plan(**(written | plan)))

    def propose(self, number: int, source: Source = "sampler", key: str = "") -> Proposal:
        """A proposal whose trial begins."""
        values = {"lr": 1e-4 * 1.03 ** (number % 200), "latent_dim": 2 + number % 60, "peaks": -(number % 2)}
        values |= {"spread": number % 7 / 7} if number % 2 else {}
        key = key or f"{number:020x}"
        stages = {} if source == "misfit" else {"vae": f"a{key}", "measure": key}
        proposal = Proposal(
            number=number, values=values, source=source, key=key, told=self._ended, time=BEGAN + number, stages=stages
        )
        self.files.put(proposal)
        return proposal

    def train(self, number: int, epochs: int = 3) -> None:
        """The curve of its first stage."""
        stages = self.proposal(number).stages
        points = [CurvePoint("train/loss", step, 9.0 - step, BEGAN + number + step) for step in range(epochs)]
        data = json.dumps([vars(point) for point in points]).encode()
        self.storage.write(f"stages/{stages['vae']}/curves.json", data)

    def decide(self, number: int, rung: int, value: float | None, go_on: bool) -> None:
        """What its worker decided at a rung."""
        key = self.proposal(number).key
        self.files.put_decision(rung, Decision(key=key, value=value, beside=3, go_on=go_on))

    def end(self, number: int, state: State, score: float = math.nan, rungs: tuple[float, ...] = ()) -> End:
        """How it ended; a finished one has a record with `score` as its objective, and samples."""
        proposal, time = self.proposal(number), BEGAN + number + 5.5
        scores = {name: score + place for place, name in enumerate(self.objectives)}
        if state == "finished":
            measures = scores | {"music/empty_bars": 0.25, "music/empty_bars.Bass": 0.5, "set/precision": math.nan}
            record = made_record(measures, key=proposal.key, config=proposal.values, block=Block(0, 0))
            cost = made_cost(began=proposal.time, ended=time)
            self.records.put(proposal.key, record, cost, SAMPLES)
        reason = {"diverged": "the loss is not finite", "failed": "out of memory"}.get(state, "")
        if reason:
            self.records.put_failure(proposal.key, reason, reason, again=False, diverged=state == "diverged")
        end = End(
            number=number, state=state, scores=scores, told=tuple(scores.values()) if state == "finished" else None,
            rungs=rungs, reason=reason, order=self._ended, seconds=4.5, time=time,
        )  # fmt: skip
        self._ended += 1
        self.files.put(end)
        return end

    def pass_over(self, number: int) -> None:
        """A proposal whose fields do not fit together."""
        time = self.propose(number, "misfit").time
        scores, reason = dict.fromkeys(self.objectives, math.nan), "resolution must be a divisor of 24; got 5."
        self.files.put(End(number=number, state="failed", scores=scores, told=(300.0,), reason=reason,
                           order=self._ended, time=time))  # fmt: skip
        self._ended += 1

    def one_of_each(self) -> None:
        """Six proposals: finished, pruned, diverged, failed, again the first, and one that runs."""
        for number in range(4):
            self.propose(number, "start" if number == 0 else "sampler")
            self.train(number)
        self.end(0, "finished", 3.5, (0.9, 0.5))
        self.decide(1, 0, 1.5, go_on=False)
        self.end(1, "pruned", rungs=(1.5,))
        self.end(2, "diverged")
        self.end(3, "failed")
        self.propose(4, "again", self.proposal(0).key)
        self.end(4, "finished", 3.5, (0.9, 0.5))
        self.propose(5)
        self.train(5)
        self.decide(5, 0, 0.25, go_on=True)

    def confirm(self, *numbers: int) -> None:
        """The search is over; these were chosen for confirmation."""
        self.files.put_confirmation(Confirmation(numbers=numbers))
        budget = self.plan.design["budget"]
        self.files.put_conclusion(Conclusion(budget=budget, proposals=len(self.files.proposals())))

    @property
    def plan(self) -> StudyPlan:
        """Its plan as it stands now."""
        plan = self.records.plans.get(FOLDER)
        assert plan, "it was written first"
        return plan

    def proposal(self, number: int) -> Proposal:
        """The proposal of that number."""
        return next(each for each in self.files.proposals() if each.number == number)
