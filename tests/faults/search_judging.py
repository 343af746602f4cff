"""What a search that was killed again and again has come to: its files against one another, its sampler, MLflow."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from musiclab.design.search import Search, dimension_from_json
from musiclab.measures.registry import find_measure
from musiclab.storage.files import Storage
from musiclab.storage.plans import StudyPlan
from musiclab.storage.records import Records
from musiclab.storage.search_documents import Decision, End, Proposal, SearchFiles
from tests.faults.judging import STUDY, Truth, Watch, faults_of_files, records_in
from tests.support import mlflow_contents
from tests.support.asked_again import asked_again


@dataclass(frozen=True)
class Ended:
    """A search that has ended, as its storage has it; `decisions` are those of each trial, by key, rung by rung.

    `folder` is that of its edition.
    """

    folder: str
    plan: StudyPlan
    search: Search
    proposals: list[Proposal]
    ends: dict[int, End]
    decisions: dict[str, list[Decision]]
    confirmed: tuple[int, ...]

    @classmethod
    def read(cls, storage: Path) -> "Ended":
        """The only search of a storage."""
        (folder,) = (str(each.relative_to(storage)) for each in storage.glob("studies/*/*"))
        opened = Storage(str(storage))
        plan, files = Records(opened).plans.get(folder), SearchFiles(opened, folder)
        assert plan, "the study has a plan"
        space = {name: dimension_from_json(field) for name, field in plan.design["fields"].items()}
        search = Search(space, plan.design["sampler"], plan.design["scheduler"], plan.design["budget"]["trials"])
        decisions: dict[str, list[Decision]] = {}
        for rung in range(len(search.rungs)):
            for decision in files.decisions(rung):
                decisions.setdefault(decision.key, []).append(decision)
        confirmation = files.confirmation()
        numbers = confirmation.numbers if confirmation else ()
        return cls(folder, plan, search, files.proposals(), files.ends(), decisions, numbers)

    @property
    def keys(self) -> set[str]:
        """Of all trials that must have a record."""
        finished = {number for number, end in self.ends.items() if end.state == "finished"}
        return {trial.key for trial in self.plan.trial_specs} | {
            proposal.key for proposal in self.proposals if proposal.number in finished
        }


def search_faults(truth: Truth, storage: Path, uri: str, watch: Watch, in_process: bool) -> Counter[str]:
    """What is wrong with a search that has ended; empty where nothing is.

    On Ray trials end in another order than in the undisturbed search `truth`, so other proposals may follow. A trial
    that both have has the same record.
    """
    search = Ended.read(storage)
    found = faults_of_files(storage, watch, in_process) + faults_of_search(search, truth, storage, watch)
    return +(found + _mlflow_faults(uri, storage, search))


def faults_of_search(search: Ended, truth: Truth, storage: Path, watch: Watch) -> Counter[str]:
    """The same of its files alone."""
    found, records = _counts(search) + _stories(search, Storage(str(storage))), records_in(storage)
    found["records lost"] = len(watch.lost | (search.keys - records.keys()))
    found["records of nothing"] = len(records.keys() - search.keys)
    found["records changed"] = sum(truth.records.get(key, data) != data for key, data in records.items())
    found["search files lost"] = sum(not Path(name).exists() for name in watch.once)
    found["search files changed"] = len(watch.changed)
    found["proposals not reproduced"] = len(_not_reproduced(search))
    return +found


def _counts(search: Ended) -> Counter[str]:
    """Whether each proposal is there once, each has one end, and the best were chosen."""
    found, budget = Counter[str](), search.search.limits.trials or 0
    counted = [proposal for proposal in search.proposals if proposal.counts]
    numbers, orders = {proposal.number for proposal in search.proposals}, [end.order for end in search.ends.values()]
    found["proposals lost"] = len(set(range(max(numbers) + 1)) - numbers) + max(0, budget - len(counted))
    found["proposals doubled"] = max(len(counted) - len({each.key for each in counted}), len(counted) - budget)
    found["ends lost"] = len(numbers - search.ends.keys()) + len(set(range(len(orders))) - set(orders))
    found["ends doubled"] = len(orders) - len(set(orders)) + len(search.ends.keys() - numbers)
    found["confirmed ones lost"] = len(search.plan.trial_specs) != len(search.confirmed) + 1 or not search.confirmed
    return found


def _stories(search: Ended, storage: Storage) -> Counter[str]:
    """Whether records, decisions, ends and what the sampler was told tell the same of every trial."""
    found, records = Counter[str](), Records(storage)
    for proposal in search.proposals:
        end = search.ends.get(proposal.number)
        record, decisions = records.get(proposal.key), search.decisions.get(proposal.key, [])
        goes_on = [decision.go_on for decision in decisions]
        found["decisions doubled"] += False in goes_on[:-1] or len(decisions) > len(search.search.rungs)
        found["decisions lost"] += end is not None and end.rungs != tuple(decision.value for decision in decisions)
        state = "finished" if record else "pruned" if goes_on and not goes_on[-1] else "neither"
        scores = {name: record.measures[name] for name in end.scores} if record and end else {}
        told = tuple(scores.values()) or None
        found["states told otherwise"] += end is not None and (end.state, end.told) != (state, told)
        found["told before it was proposed"] += end is not None and end.order < proposal.told
    found["decisions on nothing"] = len(search.decisions.keys() - {proposal.key for proposal in search.proposals})
    return found


def _not_reproduced(search: Ended) -> list[int]:
    """The numbers of the proposals that the sampler, told what it had been told before each, does not make again."""
    seed, higher = search.plan.trial_specs[0].block.seed, [find_measure(search.plan.objective).sign > 0]
    return [
        proposal.number
        for proposal in search.proposals
        if proposal.values != asked_again(search.search, higher, seed, search.proposals, search.ends, proposal.number)
    ]


def _mlflow_faults(uri: str, storage: Path, search: Ended) -> Counter[str]:
    """How MLflow's runs differ from what the search and its confirmation say there should be."""
    found = mlflow_contents.faults(uri, STUDY, storage)
    _, runs = mlflow_contents.study_runs(uri, STUDY)
    there = {(run.data.tags["musiclab.role"], run.data.tags["musiclab.key"]): run for run in runs}
    expected = {("trial", trial.key) for trial in search.plan.trial_specs}
    expected |= {("proposal", proposal.key) for proposal in search.proposals}
    trials = {name for name in there if name[0] in ("trial", "proposal")}
    roles = {role for role, _ in there}
    found["runs missing"] += len(expected - trials) + len({"study", "search"} - roles)
    found["runs of nothing"] += len(trials - expected)
    for proposal in search.proposals:
        if run := there.get(("proposal", proposal.key)):
            shown = (run.data.tags.get("musiclab.proposal"), run.data.tags.get("musiclab.state"))
            end = search.ends.get(proposal.number)
            found["runs in a wrong state"] += shown != (str(proposal.number), end and end.state)
    return found
