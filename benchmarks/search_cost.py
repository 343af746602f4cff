#!/usr/bin/env python
"""What a search's own work costs: to propose trials and to note how they ended, and to take a search up again.

    python benchmarks/search_cost.py [--trials 100 500 1000 2000] [--samplers tpe cmaes nsga2 qmc random gp]

Trials take no time. Their records are written as workers write them, which is not counted. Two run at a time: whenever
one ends, the queue hands out another, for which the search makes a proposal, with all its files.

- CPU: seconds that the driver computed, for all proposals and all ends so far.
- waited: seconds by the clock less those, which go to the disk and to other work on the machine.
- busy: the share of time in which the driver computes, if a trial takes `SECONDS` on `WORKERS` workers.
- idle: the share of their time that workers wait for the driver, by which the search takes longer. It is smaller,
  because the driver serves one worker while the others run.
- again: CPU seconds of a start that finds as many trials in the files.

The second table has Ray Tune's own OptunaSearch, with the same sampler and with its default: the search algorithm
alone, asked and told without Tune. Then Tune runs a few trials with it that sleep `SECONDS`, for what a trial costs
there as a whole.
"""

import argparse
import logging
import math
import os
import sys
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import optuna

from musiclab import Categorical, Float, Int, Search, Study
from musiclab.design.design import Design
from musiclab.design.trials import TrialSpec
from musiclab.execution.queue import Queue
from musiclab.search.optuna_search import distribution
from musiclab.search.run import SearchRun
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.study.options import design_of, parse_options
from tests.support.made_records import made_cost, made_record

WORKERS, SECONDS = 2, 0.4  # trials at a time, and how long one is taken to run
MOST_GP = 200  # trials; it needs minutes for more
TUNE_TRIALS = 60
NUMBERS = {"latent_dim": Int(2, 64, log=True), "noise_sd": Float(0, 2), "beta": Float(1e-3, 10, log=True)}
CONDITIONAL = NUMBERS | {
    "alpha_mix": Categorical("per_instrument", "last_window"),
    "contrast": Float(0, 1, when={"alpha_mix": "per_instrument"}),
}
SPACES = {"three numbers": NUMBERS, "five fields, one conditional": CONDITIONAL}
HEADER = f"| space | sampler | trials | CPU s | ms a trial | waited s | busy % | idle % | again s |\n|{'---|' * 9}"
SAMPLERS = ("tpe", "cmaes", "nsga2", "qmc", "random", "gp")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 500, 1000, 2000])
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=SAMPLERS)
    parser.add_argument("--no-tune", action="store_true", help="leave out Ray Tune's side")
    options = parser.parse_args()
    counts = sorted(options.trials)
    logging.disable()
    warnings.simplefilter("ignore")
    print(HEADER)
    for name, space in SPACES.items():
        for sampler in options.samplers:
            if sampler != "gp":
                print_costs(name, space, sampler, counts)
            elif space is NUMBERS:  # it takes no conditions
                print_costs(name, space, sampler, [count for count in counts if count < MOST_GP] + [MOST_GP])
    if not options.no_tune:
        print_tune(counts)


@dataclass
class Spent:
    """Seconds of CPU of this process, and by the clock."""

    cpu: float = 0.0
    clock: float = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        clock, cpu = time.perf_counter(), time.process_time()
        yield
        self.cpu += time.process_time() - cpu
        self.clock += time.perf_counter() - clock


def print_costs(name: str, space: dict[str, Any], sampler: str, counts: list[int]) -> None:
    """Run one search as far as the largest number of trials; a row of the table at each of them."""
    design = designed(space, sampler, counts[-1])
    with tempfile.TemporaryDirectory() as folder:
        run = SearchRun(design, Records(Storage(folder)))
        run.start()
        queue = Queue(run.todo, run.records.stages.done, run.propose)
        running: deque[TrialSpec] = deque()
        spent, ended = Spent(), 0
        while ended < counts[-1]:
            with spent.counted():
                while len(running) < WORKERS and (trial := queue.next()):
                    running.append(trial)
            if not running:
                break  # the space is exhausted
            trial = running.popleft()
            put_record(run.records, trial)
            with spent.counted():
                queue.done(trial.key)
                run.on_trial_end(trial, None)
                run.leader()
            ended += 1
            if ended in counts:
                again = Spent()
                with again.counted():
                    SearchRun(design, Records(Storage(folder)))
                row(name, sampler, ended, spent, f"{again.cpu:.2f}")


def row(name: str, sampler: str, trials: int, spent: Spent, again: str) -> None:
    idle = spent.cpu / (trials * SECONDS + spent.cpu)
    cells = (
        name, sampler, f"{trials}", f"{spent.cpu:.2f}", f"{1000 * spent.cpu / trials:.1f}",
        f"{spent.clock - spent.cpu:.2f}", f"{100 * WORKERS * idle:.1f}", f"{100 * idle:.1f}", again,
    )  # fmt: skip
    print(f"| {' | '.join(cells)} |", flush=True)


def designed(space: dict[str, Any], sampler: str, trials: int) -> Design:
    search = Search(space, sampler=sampler, budget=trials)
    study = Study(name="cost", system="vae_nn", space=search, objective="frechet", blocks=3,
                  question="What does it cost?")  # fmt: skip
    return design_of(study, parse_options("", ["--data", "chorales"]))


def put_record(records: Records, trial: TrialSpec) -> None:
    """Write the record of a trial that took no time."""
    measures = {"set/frechet": score(trial.variant.values)}
    record = made_record(measures, key=trial.key, config=trial.variant.config, block=trial.block)
    records.put(trial.key, record, made_cost(), {})


def score(values: dict[str, Any]) -> float:
    """Best at latent_dim 16, noise_sd .5 and beta .1."""
    distance = (math.log2(values["latent_dim"]) - 4) ** 2 + (values["noise_sd"] - 0.5) ** 2
    return distance + (math.log10(values["beta"]) + 1) ** 2 + values.get("contrast", 0.2)


def print_tune(counts: list[int]) -> None:
    """Ray Tune with its own OptunaSearch: what its search algorithm computes, and what a small run costs as a whole."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def algorithm(sampler: optuna.samplers.BaseSampler | None) -> OptunaSearch:
        space = {name: distribution(dimension) for name, dimension in NUMBERS.items()}
        return OptunaSearch(space, metric="score", mode="min", sampler=sampler)

    print(f"\nRay Tune's OptunaSearch alone:\n\n{HEADER}")
    multivariate = optuna.samplers.TPESampler(multivariate=True, group=True, seed=0)
    for name, sampler in (("tpe", multivariate), ("Optuna's default", None)):
        search, spent = algorithm(sampler), Spent()
        running: deque[tuple[str, dict[str, Any]]] = deque()
        for ended in range(1, counts[-1] + 1):
            with spent.counted():
                while len(running) < WORKERS:
                    key = f"{ended}-{len(running)}"
                    running.append((key, search.suggest(key)))
            key, values = running.popleft()
            with spent.counted():
                search.on_trial_complete(key, {"score": score(values), "training_iteration": 1})
            if ended in counts:
                row("three numbers", name, ended, spent, "-")

    def trainable(config: dict[str, Any]) -> dict[str, float]:
        time.sleep(SECONDS)
        return {"score": score(config)}

    with tempfile.TemporaryDirectory() as folder:
        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, configure_logging=False)
        try:
            began, cpu = time.perf_counter(), time.process_time()
            tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=algorithm(multivariate), num_samples=TUNE_TRIALS, max_concurrent_trials=WORKERS
                ),
                run_config=tune.RunConfig(storage_path=folder, verbose=0),
            ).fit()
            clock, cpu = time.perf_counter() - began, time.process_time() - cpu
        finally:
            ray.shutdown()
    working = TUNE_TRIALS * SECONDS / WORKERS
    print(
        f"\nRay Tune as a whole, {TUNE_TRIALS} trials that sleep {SECONDS} s on {WORKERS} workers: {clock:.1f} s by "
        f"the clock, {working:.1f} s of them asleep; the driver computes {1000 * cpu / TUNE_TRIALS:.0f} ms a trial."
    )


if __name__ == "__main__":
    main()
