"""Optuna's study of a search, in memory: made again from proposals and ends at every start.

Each ask has a sampler of its own, seeded by the search's seed and the proposal's number, so it depends on what had been
told and on nothing else. Samplers that keep a state of their own (CMA-ES, NSGA-II, QMC) are asked again in the
same order when the study is made again, so nothing of theirs is kept in files, where CMA-ES would need a pickle.
"""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from musiclab.design.search import ONLY_FINISHED, Categorical, Dimension, Float, Int, Search
from musiclab.hashing import content_hash
from musiclab.storage.search_documents import End, Proposal

optuna.logging.set_verbosity(optuna.logging.ERROR)

# A population that a search of a hundred trials renews several times; Optuna's own default is 50.
_POPULATION = 16
_FEWEST_FOR_IMPORTANCE = 10
_KEEP_STATE = ("cmaes", "nsga2", "qmc")
# These learn from what they were asked for, and from nothing that was only added.
_LEARN_FROM_ASKED = ("cmaes", "nsga2")
_OBJECTS_THAT_DO = (optuna.samplers.CmaEsSampler, optuna.samplers.NSGAIISampler, optuna.samplers.NSGAIIISampler)
# TPE notes with a running trial what it drew for fields that do not matter there, and keeps away from that, too.
_NOTES = "tpe:"


class _KnownSpace:
    """A sampler that is told its space. Optuna's own, made afresh, work it out from all trials at every ask.

    Attributes:
        space: the fields that always matter and that the sampler can learn about.
    """

    space: Mapping[str, BaseDistribution]

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return dict(self.space)


class _CmaEs(_KnownSpace, optuna.samplers.CmaEsSampler): ...


class _Nsga2(_KnownSpace, optuna.samplers.NSGAIISampler): ...


class Asked(NamedTuple):
    """What a sampler proposes: the values of the fields that matter, and its notes, texts by name."""

    values: dict[str, Any]
    notes: dict[str, Any]


class OptunaSearch:
    """The sampler's side of a search.

    Args:
        search: what is searched.
        higher: for each objective whether higher is better.
        seed: of the search.

    Attributes:
        unlike: numbers of proposals that a sampler, asked again, did not make again, because another sampler made
            them, or another version of Optuna or cmaes. It goes on from them as from starting points.
    """

    def __init__(self, search: Search, higher: Iterable[bool], seed: int) -> None:
        self._search, self._seed = search, seed
        self._directions: list[Literal["maximize", "minimize"]]
        self._directions = ["maximize" if each else "minimize" for each in higher]
        # A storage of its own, in which ids of trials are their numbers, which NSGA-II relies on.
        self._study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), directions=self._directions)
        self._numbers: dict[int, int] = {}  # of Optuna's trials by the proposals'
        own = search.sampler if not isinstance(search.sampler, str) else None
        self._learns_from_asked = search.sampler in _LEARN_FROM_ASKED or isinstance(own, _OBJECTS_THAT_DO)
        self.unlike: list[int] = []

    @property
    def learns_from_pruned(self) -> bool:
        """Whether a trial that diverged can be told as one that was ended early; else it needs a bad value."""
        return self._search.sampler not in ONLY_FINISHED

    def ask(self, number: int, start: Mapping[str, Any] | None = None) -> Asked:
        """Propose the values of the fields that matter, given all that was told so far."""
        if start is not None:
            self._study.enqueue_trial(dict(start))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of experimental arguments, and of fields left to chance, as --plan says
            self._study.sampler = self._sampler(number)
            trial = self._study.ask()
            if self._learns_from_asked:
                trial.relative_params  # noqa: B018 - Optuna would not ask the sampler if all values are given
            values = _suggested(trial, self._search)
        self._numbers[number] = trial.number
        attributes = self._study.get_trials(deepcopy=False)[trial.number].system_attrs
        return Asked(values, {name: value for name, value in attributes.items() if name.startswith(_NOTES)})

    def replay(self, proposal: Proposal) -> None:
        """Take up a proposal of an earlier run; the ends that came before it must have been told."""
        if not isinstance(self._search.sampler, str):
            self._search.sampler.reseed_rng()  # else it would draw what it drew before
        if self._search.sampler in _KEEP_STATE and proposal.source != "found":
            start = proposal.values if proposal.source == "start" else None
            if self.ask(proposal.number, start).values == proposal.values:
                return
            self.unlike.append(proposal.number)
            self._study.tell(self._numbers.pop(proposal.number), state=TrialState.FAIL)
        self.add(proposal)

    def add(self, proposal: Proposal) -> None:
        """Add a proposal that the sampler did not make."""
        if self._learns_from_asked:
            self.ask(proposal.number, proposal.values)
            return
        names = proposal.values.keys() & self._search.space.keys()
        trial = optuna.create_trial(
            state=TrialState.RUNNING,
            params={name: proposal.values[name] for name in self._search.space if name in names},
            distributions={
                name: distribution(dimension) for name, dimension in self._search.space.items() if name in names
            },
            system_attrs=proposal.notes,
        )
        self._study.add_trial(trial)
        self._numbers[proposal.number] = len(self._study.get_trials(deepcopy=False)) - 1

    def tell(self, end: End) -> None:
        """Tell how a proposal ended."""
        number = self._numbers[end.number]
        several = len(self._directions) > 1
        if end.told is not None:
            self._study.tell(number, list(end.told))
        elif end.state == "failed":
            self._study.tell(number, state=TrialState.FAIL)
        else:
            if not several:  # of several objectives Optuna has no intermediate values
                sign = -1 if self._directions == ["maximize"] else 1
                trial = optuna.Trial(self._study, number)
                for rung, value in enumerate(end.rungs):
                    if math.isfinite(value):
                        trial.report(sign * value, rung)
            self._study.tell(number, state=TrialState.PRUNED)

    def _sampler(self, number: int) -> BaseSampler:
        name, seed = self._search.sampler, _seed(self._seed, number)
        if not isinstance(name, str):
            return cast(BaseSampler, name)
        chance = optuna.samplers.RandomSampler(seed=seed)
        always = {field: distribution(each) for field, each in sorted(self._search.space.items()) if not each.when}
        match name:
            case "random":
                return chance
            case "qmc":
                return optuna.samplers.QMCSampler(
                    scramble=True, seed=_seed(self._seed, "scramble"), independent_sampler=chance
                )
            case "tpe":
                return optuna.samplers.TPESampler(multivariate=True, group=True, seed=seed)
            case "gp":
                return optuna.samplers.GPSampler(seed=seed)
            case "cmaes":
                cmaes = _CmaEs(seed=seed, independent_sampler=chance)
                cmaes.space = {
                    name: each for name, each in always.items() if not isinstance(each, CategoricalDistribution)
                }
                return cmaes
        nsga2 = _Nsga2(population_size=_POPULATION, seed=seed)
        nsga2.space = always
        return nsga2


def importance(
    search: Search, higher: Sequence[bool], scores: Iterable[tuple[Mapping[str, Any], tuple[float, ...]]]
) -> dict[str, float]:
    """How much of being among the best tenth hangs together with each field, as shares of 1, largest first.

    By PED-ANOVA (Watanabe et al. 2023): how far the values of the best lie from those of all. A field that applies to
    some proposals only is judged among those. Of several objectives, the best are those nearest to the front.

    Args:
        search: what is searched.
        higher: for each objective whether higher is better.
        scores: the values that matter and the objectives' scores, of each trial that finished.

    Returns:
        Empty if there are fewer than 10 trials, of which the best tenth is a single one or none.
    """
    study = optuna.create_study(directions=["maximize" if each else "minimize" for each in higher])
    for values, objectives in scores:
        names = [name for name in search.space if name in values]
        distributions = {name: distribution(search.space[name]) for name in names}
        params = {name: values[name] for name in names}
        study.add_trial(optuna.create_trial(params=params, distributions=distributions, values=list(objectives)))
    if len(study.get_trials(deepcopy=False)) < _FEWEST_FOR_IMPORTANCE:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that all are equally important, which the shares say
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in shares.items()}


def distribution(dimension: Dimension) -> BaseDistribution:
    """The range of a field as Optuna has it."""
    if isinstance(dimension, Int):
        return IntDistribution(dimension.low, dimension.high, log=dimension.log)
    if isinstance(dimension, Float):
        return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    assert isinstance(dimension, Categorical), "there are no other kinds"
    return CategoricalDistribution(dimension.values)


def _suggested(trial: optuna.Trial, search: Search) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, dimension in search.space.items():
        if dimension.applies(values):
            values[name] = _suggest(trial, name, dimension)
    return values


def _suggest(trial: optuna.Trial, name: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Int):
        return trial.suggest_int(name, dimension.low, dimension.high, log=dimension.log)
    if isinstance(dimension, Float):
        return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
    assert isinstance(dimension, Categorical), "there are no other kinds"
    return trial.suggest_categorical(name, dimension.values)


def _seed(*parts: Any) -> int:
    """A seed of 32 bits, the size that all samplers take."""
    return int(content_hash(list(parts), 8), 16)
