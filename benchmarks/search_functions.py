"""Test functions with known optima for `search_yardstick.py`, with conditions and with fidelities."""

import importlib.util
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import optuna

from musiclab import Categorical, Float, Int
from musiclab.design.search import Dimension

FULL = 1.0  # the fidelity of a trial that is not ended early
BBOB = {1: "sphere", 8: "Rosenbrock", 15: "Rastrigin", 21: "Gallagher"}


@dataclass(frozen=True)
class Function:
    """A function to be minimised: its value at a configuration and a fidelity, a share of the full one."""

    name: str
    space: Mapping[str, Dimension]
    value: Callable[[dict[str, Any], float], float]
    optimum: float
    has_fidelity: bool = False

    @cached_property
    def noise(self) -> float:
        """The standard deviation of the best quarter of 500 random configurations."""
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        values = sorted(self.value(suggested(study.ask(), self.space), FULL) for _ in range(500))
        return statistics.stdev(values[:125])


def functions() -> tuple[list[Function], list[str]]:
    """The functions that can be had here, and what is missing for others."""
    found, missing = [conditional()], []
    if importlib.util.find_spec("mfpbench"):
        from mfpbench.synthetic.hartmann.generators import MFHartmann3, MFHartmann6

        for kind, optimum in ((MFHartmann3, -3.86278), (MFHartmann6, -3.32237)):
            function = kind(n_fidelities=100, fidelity_bias=2.5, fidelity_noise=2.0)  # those of `good`
            space = {f"x{place}": Float(0.0, 1.0) for place in range(function.dims)}
            found.append(
                Function(
                    f"mfh{function.dims}_good", space,
                    lambda values, fidelity, f=function: f(round(100 * fidelity), tuple(values.values())),
                    optimum, has_fidelity=True,
                )
            )  # fmt: skip
    else:
        missing.append("mf-prior-bench (Hartmann's functions with fidelities)")
    if importlib.util.find_spec("ioh"):
        import ioh

        for number, name in BBOB.items():
            problem = ioh.get_problem(number, 1, 5, ioh.ProblemClass.BBOB)
            space = {f"x{place}": Float(-5.0, 5.0) for place in range(5)}
            found.append(
                Function(
                    f"f{number} {name}", space,
                    lambda values, fidelity, f=problem: float(f(list(values.values()))), problem.optimum.y,
                )
            )  # fmt: skip
    else:
        missing.append("ioh (BBOB)")
    if not importlib.util.find_spec("smac"):
        missing.append("smac")
    return found, missing


def conditional() -> Function:
    """Branin's function, or a bowl in one to three dimensions whose optimum needs all three."""

    def value(values: dict[str, Any], fidelity: float) -> float:
        if values["kind"] == "branin":
            x, y = values["x"], values["y"]
            bowl = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
            return float(bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)
        n = values["n"]
        return float(0.2 + sum((values[f"z{i}"] - 0.3 * i) ** 2 for i in range(n)) + 0.1 * (3 - n))

    space = {
        "kind": Categorical("branin", "bowl"),
        "x": Float(-5.0, 10.0, when={"kind": "branin"}),
        "y": Float(0.0, 15.0, when={"kind": "branin"}),
        "n": Int(1, 3, when={"kind": "bowl"}),
        "z0": Float(-1.0, 1.0, when={"kind": "bowl"}),
        "z1": Float(-1.0, 1.0, when={"n": (2, 3)}),
        "z2": Float(-1.0, 1.0, when={"n": 3}),
    }
    return Function("conditional", space, value, 0.2)


def suggested(trial: optuna.Trial, space: Mapping[str, Dimension]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, dimension in space.items():
        if dimension.applies(values):
            if isinstance(dimension, Categorical):
                values[name] = trial.suggest_categorical(name, dimension.values)
            elif isinstance(dimension, Int):
                values[name] = trial.suggest_int(name, dimension.low, dimension.high, log=dimension.log)
            elif isinstance(dimension, Float):
                values[name] = trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
    return values
