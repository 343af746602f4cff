#!/usr/bin/env python
"""Does a search find what its sampler finds without us, and does the confirmation say what is true?

    python benchmarks/search_yardstick.py [--seeds 20] [--trials 50] [--smac-seeds 5]

All functions but the conditional one are others': Hartmann's with fidelities (`pip install --no-deps mf-prior-bench`)
and BBOB's (`pip install ioh`). One rival is SMAC3 (`pip install smac`). What is not installed is left out and named.
`carps` has the same functions; what else it has needs downloads, or has several objectives.

- plain: Optuna's `study.optimize` with one sampler, and its own SuccessiveHalvingPruner.
- ours: `SearchRun`, with all its files and a fresh sampler for each proposal, 1 or 2 trials at a time on a virtual
  clock; `asha` with the decisions of `EarlyStopping` at a ninth and a third of the fidelity.

All get the same budget: `--trials` full trials, of which a trial that ends early has used a share. A cell is the
distance of the best found from the optimum, both without noise: the median over seeds, with the quartiles.

Noise is normal and drawn anew for each configuration and block. Its standard deviation is that of the best quarter of
random configurations, which one block can hardly tell apart. The five best are confirmed on 10 fresh blocks. Biases are
means over seeds with standard errors, in standard deviations of the noise; below 0 a value promises too much, because
lower is better.
"""

import argparse
import heapq
import importlib.util
import itertools
import logging
import math
import os
import statistics
import tempfile
import warnings
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna
from scipy import stats
from search_functions import FULL, Function, functions, suggested

from musiclab import Categorical, Float, Int, Search
from musiclab.analysis.statistics import holm
from musiclab.design.design import Design
from musiclab.design.search import RUNGS
from musiclab.design.trials import TrialSpec, Variant
from musiclab.execution.early_stopping import Pruned
from musiclab.hashing import content_hash
from musiclab.measures.registry import find_measure
from musiclab.search.confirmation import chosen
from musiclab.search.run import SearchRun
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.storage.trial_documents import TrialCost, TrialData, TrialRecord
from musiclab.training.streams import Block

OBJECTIVE = find_measure("frechet")  # lower is better; here it stands for the function's value
BLOCKS, CONFIRMED = 10, 5
SMAC_FUNCTIONS = ("conditional", "mfh6_good", "f15 Rastrigin")
SAMPLER_FUNCTIONS = ("f1 sphere", "f15 Rastrigin")
SAMPLERS = ("random", "qmc", "cmaes", "nsga2")  # gp takes minutes


@dataclass
class Trials:
    """One search on one function: what a trial observes, and what full trials have observed."""

    function: Function
    noisy: bool
    seed: int
    seen: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def observe(self, values: dict[str, Any], block: int = 0, fidelity: float = FULL) -> float:
        value = self.function.value(values, fidelity)
        if self.noisy:
            draw = int(content_hash([self.function.name, self.seed, block, fidelity, values], 12), 16)
            value += self.function.noise * float(np.random.default_rng(draw).normal())
        return value

    def finish(self, values: dict[str, Any]) -> float:
        value = self.observe(values)
        self.seen.append((value, values))
        return value

    def truth(self, values: dict[str, Any]) -> float:
        """The distance from the optimum, without noise."""
        return self.function.value(values, FULL) - self.function.optimum

    @property
    def regret(self) -> float:
        return self.truth(min(self.seen, key=lambda each: each[0])[1])


@dataclass(frozen=True)
class MadeDesign:
    """What `SearchRun` asks of a design, for a function in place of a system."""

    search: Search
    spec: Any
    folder: str = "studies/made"
    objectives: tuple[Any, ...] = (OBJECTIVE,)

    def starts(self) -> list[dict[str, Any]]:
        return []

    def proposed(self, values: dict[str, Any], label: str = "") -> TrialSpec:
        key = content_hash([self.spec.seed, values])
        return TrialSpec(Variant("made", values, values, "", label=label), Block(self.spec.seed, 0), {"measure": key})


def ours(trials: Trials, budget: float, sampler: str = "tpe", asha: bool = False, workers: int = 1) -> "Confirmed":
    """Search as a study does, on a virtual clock, and confirm the best."""
    search = Search(dict(trials.function.space), sampler, "asha" if asha else "none", budget=10**6)
    design = MadeDesign(search, SimpleNamespace(seed=trials.seed, system="made", control={}))
    ends = [*(RUNGS if asha else ()), FULL]  # of a trial's parts
    with tempfile.TemporaryDirectory() as folder:
        run = SearchRun(cast(Design, design), Records(Storage(folder)))
        run.start()
        now, spent, order = 0.0, 0.0, itertools.count()
        clock: list[tuple[float, int, TrialSpec, int]] = []  # when a trial ends its part

        def begin(trial: TrialSpec, part: int) -> float:
            share = ends[part] - (ends[part - 1] if part else 0.0)
            pace = np.random.default_rng(int(trial.key[:12], 16)).uniform(0.8, 1.2)
            heapq.heappush(clock, (now + pace * share, next(order), trial, part))
            return share

        while True:
            while len(clock) < workers and spent < budget - 1e-9 and (new := run.propose()):
                spent += begin(new, 0)
            if not clock:
                break
            now, _, trial, part = heapq.heappop(clock)
            values = trial.variant.values
            if ends[part] == FULL:
                put_record(run.records, trial, trials.finish(values))
            else:
                assert run.early_stopping is not None, "the scheduler is asha"
                try:
                    progress = trials.observe(values, fidelity=ends[part])
                    run.early_stopping.decide(run.records.storage, trial.key, part, progress)
                    spent += begin(trial, part + 1)
                    continue
                except Pruned:
                    pass
            run.on_trial_end(trial, None)
        best = chosen(run.proposals.values(), run.ends, {OBJECTIVE.full_name: OBJECTIVE.sign}, CONFIRMED)
        return confirmed(trials, [run.proposals[number].values for number in best])


def put_record(records: Records, trial: TrialSpec, value: float) -> None:
    record = TrialRecord(key=trial.key, system="made", config=trial.variant.config, block=trial.block,
                         stages=trial.stages, data=TrialData(fingerprint=""),
                         measures={OBJECTIVE.full_name: value}, baselines={})  # fmt: skip
    records.put(trial.key, record, TrialCost(began=1.0, ended=2.0), {})


@dataclass(frozen=True)
class Confirmed:
    """By how much values differ from the truth, in standard deviations of the noise, and two regrets."""

    raw_best: float
    search_first: float
    all_confirmed: float
    confirmed_first: float
    regret_before: float
    regret_after: float


def confirmed(trials: Trials, best: list[dict[str, Any]]) -> Confirmed:
    """Run the best, in the search's order, on fresh blocks."""
    noise = trials.function.noise if trials.noisy else 1.0
    means = [statistics.fmean(trials.observe(values, block) for block in range(1, BLOCKS + 1)) for values in best]
    truths = [trials.function.value(values, FULL) for values in best]
    errors = [(mean - truth) / noise for mean, truth in zip(means, truths, strict=True)]
    winner = means.index(min(means))
    return Confirmed(
        (trials.observe(best[0]) - truths[0]) / noise, errors[0], statistics.fmean(errors), errors[winner],
        trials.truth(best[0]), trials.truth(best[winner]),
    )  # fmt: skip


def plain(trials: Trials, budget: float, sampler: str = "tpe", pruner: bool = False) -> None:
    """Optuna alone, with one sampler for the whole search."""
    study = optuna.create_study(
        sampler=plain_sampler(sampler, trials.seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3) if pruner else None,
    )
    spent = 0.0

    def objective(trial: optuna.Trial) -> float:
        nonlocal spent
        values = suggested(trial, trials.function.space)
        for rung in RUNGS if pruner else ():
            trial.report(trials.observe(values, fidelity=rung), round(9 * rung))
            if trial.should_prune():
                spent += rung
                raise optuna.TrialPruned
        spent += FULL
        return trials.finish(values)

    def stop(study: optuna.Study, _: Any) -> None:
        if spent > budget - 1e-9:
            study.stop()

    study.optimize(objective, callbacks=[stop])


def plain_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler with the settings that a search gives it."""
    chance = optuna.samplers.RandomSampler(seed=seed)
    match name:
        case "random":
            return chance
        case "qmc":
            return optuna.samplers.QMCSampler(scramble=True, seed=seed, independent_sampler=chance)
        case "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed, independent_sampler=chance)
        case "nsga2":
            return optuna.samplers.NSGAIISampler(population_size=16, seed=seed)
        case "gp":
            return optuna.samplers.GPSampler(seed=seed)
    return optuna.samplers.TPESampler(multivariate=True, group=True, seed=seed)


def smac(trials: Trials, budget: int) -> None:
    """SMAC3 with its defaults for hyperparameters."""
    from ConfigSpace import Categorical as Choice
    from ConfigSpace import ConfigurationSpace, InCondition
    from ConfigSpace import Float as Number
    from ConfigSpace import Integer as Whole
    from smac import HyperparameterOptimizationFacade, Scenario

    space, fields = ConfigurationSpace(seed=trials.seed), {}
    for name, dimension in trials.function.space.items():
        if isinstance(dimension, Categorical):
            fields[name] = Choice(name, list(dimension.values))
        else:
            assert isinstance(dimension, Float), "there are no other kinds"
            kind = Whole if isinstance(dimension, Int) else Number
            fields[name] = kind(name, (dimension.low, dimension.high), log=dimension.log)
        space.add(fields[name])
    for name, dimension in trials.function.space.items():
        for other, wanted in dimension.when.items():
            several = list(wanted) if isinstance(wanted, tuple | list) else [wanted]
            space.add(InCondition(fields[name], fields[other], several))
    plain_kinds = {"Int": int, "Float": float}

    def target(config: Any, seed: int = 0) -> float:
        active = {name: config[name] for name in trials.function.space if name in config}
        kinds = {name: plain_kinds.get(type(trials.function.space[name]).__name__, str) for name in active}
        return trials.finish({name: kinds[name](value) for name, value in active.items()})

    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            space, deterministic=True, n_trials=budget, seed=trials.seed, output_directory=folder
        )  # fmt: skip
        HyperparameterOptimizationFacade(scenario, target, overwrite=True, logging_level=logging.CRITICAL).optimize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--smac-seeds", type=int, default=5, help="seeds of SMAC3, which needs 15 s for a search")
    parser.add_argument("--samplers", nargs="+", default=SAMPLERS, help="to be compared with Optuna's beside tpe")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    warnings.simplefilter("ignore")
    found, missing = functions()
    if missing:
        print(f"Left out, because it is not installed: {', '.join(missing)}.\n")
    smac_seeds = options.smac_seeds if importlib.util.find_spec("smac") else 0
    biases = print_searches(found, options.seeds, options.trials, smac_seeds)
    print_biases(biases)
    print_samplers(found, options.seeds, options.trials, options.samplers)


Biases = dict[tuple[str, str], list[Confirmed]]


def print_searches(found: list[Function], seeds: int, budget: int, smac_seeds: int) -> Biases:
    """The first table; what the confirmation of noisy searches gave."""
    arms = ("random", "plain", "ours, 1", "ours, 2", "plain, pruner", "ours, asha, 1", "ours, asha, 2", "SMAC3")
    print(f"| function | noise | {' | '.join(arms)} | ours, 1, in plain's quartiles, p |\n|{'---|' * (len(arms) + 3)}")
    biases: Biases = {}
    agreement = []
    for function, noisy in itertools.product(found, (False, True)):
        regrets: dict[str, list[float]] = {arm: [] for arm in arms}
        for arm in arms:
            if not function.has_fidelity and ("pruner" in arm or "asha" in arm):
                continue
            if arm == "SMAC3" and (noisy or function.name not in SMAC_FUNCTIONS):
                continue
            for seed in range(smac_seeds if arm == "SMAC3" else seeds):
                trials = Trials(function, noisy, seed)
                confirmation = search(arm, trials, budget)
                if confirmation and noisy:
                    biases.setdefault((function.name, arm), []).append(confirmation)
                regrets[arm].append(trials.regret)
        low, _, high = quartiles(regrets["plain"])
        median = quartiles(regrets["ours, 1"])[1]
        place = "within" if low <= median <= high else "better" if median < low else "worse"
        p = float(stats.mannwhitneyu(regrets["plain"], regrets["ours, 1"]).pvalue)
        agreement.append((place, p))
        cells = [function.name, f"{function.noise:.3g}" if noisy else "0", *(cell(regrets[arm]) for arm in arms)]
        print(f"| {' | '.join(cells)} | {place}, {p:.2f} |", flush=True)
    places, ps = zip(*agreement, strict=True)
    counts = ", ".join(f"{place} in {places.count(place)}" for place in ("within", "better", "worse"))
    print(f"\nThe median of ours, 1, and plain Optuna's quartiles: {counts} of {len(places)} rows; "
          f"smallest p of rank sums {min(ps):.2f}, after Holm {min(holm(list(ps))):.2f}.")  # fmt: skip
    return biases


def search(arm: str, trials: Trials, budget: int) -> Confirmed | None:
    if arm.startswith("ours"):
        return ours(trials, budget, asha="asha" in arm, workers=int(arm[-1]))
    if arm == "SMAC3":
        smac(trials, budget)
    else:
        plain(trials, budget, "random" if arm == "random" else "tpe", pruner="pruner" in arm)
    return None


def print_biases(biases: Biases) -> None:
    """The second table: promises and truth, of noisy searches."""
    print("\n| function | search | raw best | search's first, confirmed | all confirmed | confirmed first "
          f"| regret, search's first | regret, confirmed first |\n|{'---|' * 8}")  # fmt: skip
    columns = ("raw_best", "search_first", "all_confirmed", "confirmed_first")
    for (name, arm), each in biases.items():
        errors = [with_error([getattr(one, column) for one in each]) for column in columns]
        regrets = [cell([getattr(one, column) for one in each]) for column in ("regret_before", "regret_after")]
        print(f"| {' | '.join([name, arm, *errors, *regrets])} |")
    pooled = [one for each in biases.values() for one in each]
    errors = [with_error([getattr(one, column) for one in pooled]) for column in columns]
    print(f"| all | all | {' | '.join(errors)} | | |", flush=True)


def print_samplers(found: list[Function], seeds: int, budget: int, samplers: tuple[str, ...]) -> None:
    """The third table: the other samplers, without noise."""
    print(f"\n| function | sampler | plain | ours, 1 | p |\n|{'---|' * 5}")
    for function, sampler in itertools.product(found, samplers):
        if function.name in SAMPLER_FUNCTIONS:
            regrets: tuple[list[float], list[float]] = [], []
            for seed in range(seeds):
                plain(alone := Trials(function, False, seed), budget, sampler)
                ours(within := Trials(function, False, seed), budget, sampler)
                regrets[0].append(alone.regret)
                regrets[1].append(within.regret)
            p = float(stats.mannwhitneyu(*regrets).pvalue)
            print(f"| {function.name} | {sampler} | {cell(regrets[0])} | {cell(regrets[1])} | {p:.2f} |", flush=True)


def quartiles(values: list[float]) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, [25, 50, 75])
    return float(low), float(middle), float(high)


def cell(values: list[float]) -> str:
    """The median with the quartiles."""
    if not values:
        return "-"
    low, middle, high = quartiles(values)
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def with_error(values: list[float]) -> str:
    """The mean with its standard error."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{statistics.fmean(values):+.2f} ± {error:.2f}"


if __name__ == "__main__":
    main()
