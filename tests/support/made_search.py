"""Searches as their storage holds them, made without running or training anything."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from musiclab.analysis.results import Results
from musiclab.analysis.search import results_of
from musiclab.design.search import Categorical, Dimension, Float, Int
from musiclab.design.trials import TrialSpec, Variant
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.storage.search_documents import Conclusion, Confirmation, End, Proposal, SearchFiles
from musiclab.training.streams import Block
from tests.support.made_records import made_plan, made_record
from tests.support.made_results import RUN

FOLDER = "studies/made/e"
SPACE: dict[str, Dimension] = {
    "lr": Float(1e-4, 1e-1, log=True),
    "layers": Int(1, 8),
    "norm": Categorical("none", "spectral"),
    "strength": Float(0.0, 2.0, when={"norm": "spectral"}),
}
CONTROL = {"lr": 1e-3, "layers": 2, "norm": "none"}
CONFIG = {"continuation": 2, "steps": 8}


def made_values(number: int) -> dict[str, Any]:
    """Values of a proposal; every second one has the conditional field. Proposal 0 is the control."""
    if number == 0:
        return dict(CONTROL)
    share = (number * 0.6180339887) % 1
    values = {"lr": 10 ** (-4 + 3 * share), "layers": 1 + number * 5 % 8, "norm": ("none", "spectral")[number % 2]}
    return values | ({"strength": 2 * ((number * 0.7548776662) % 1)} if number % 2 else {})


def made_score(values: Mapping[str, Any], number: int) -> float:
    """The lower the nearer lr lies to 0.01, with a little chance."""
    return 1 + abs(math.log10(values["lr"]) + 2) + 0.1 * values["layers"] + 0.3 * ((number * 0.5698402910) % 1)


def made_end(number: int, values: Mapping[str, Any], also: tuple[str, ...] = (), early: bool = True) -> End:
    """How a proposal ended: most finish; with `early`, every fourth ends at a rung, and a few break off."""
    score = made_score(values, number)
    scores = {"set/frechet": score} | {
        name: 3 - score / 2 + (number * 0.43) % 1 for name in also if name != "set/frechet"
    }
    state: Any = "finished"
    if early and number % 4 == 3:
        state = "pruned"
    elif early and number % 23 == 22:
        state = "diverged"
    elif early and number % 29 == 28:
        state = "failed"
    rungs = (score + 1, score + 0.5) if early else ()
    if state == "pruned":
        rungs = rungs[: 1 + number % 2]
    return End(
        number=number,
        state=state,
        scores=scores if state == "finished" else dict.fromkeys(scores, math.nan),
        told=tuple(scores.values()) if state == "finished" else None,
        rungs=rungs,
        reason="the loss is not finite" if state == "diverged" else "",
        order=number,
        seconds=12.0 if state == "finished" else 3.0,
        time=2.0,
    )


def made_search(
    folder: Path,
    count: int,
    *,
    confirmed: Mapping[int, list[float]] | None = None,
    control: list[float] | None = None,
    also: tuple[str, ...] = (),
    early: bool = True,
    over: bool = True,
    ended: int | None = None,
    blocks: int = 7,
    space: Mapping[str, Dimension] | None = None,
    values: Callable[[int], dict[str, Any]] = made_values,
    samples: Mapping[str, bytes] | None = None,
    written: bool = True,
    **plan: Any,
) -> Results:
    """A search of `count` proposals, read back from `folder`.

    `confirmed` has what each block measured, by proposal, and `control` the same of the control; blocks without a value
    were not run. `over` writes a conclusion. The first `ended` proposals have an end, by default all. `samples` are
    those of each trial of the search. If not `written`, proposals and ends are only in memory: thousands take long.
    """
    storage, space = Storage(str(folder)), dict(space or SPACE)
    records, files = Records(storage), SearchFiles(storage, FOLDER)
    proposals = [
        Proposal(number=each, values=values(each), source="start" if each == 0 else "sampler", key=f"t{each}",
                 told=each, time=1.0)
        for each in range(count)
    ]  # fmt: skip
    ends = {each.number: made_end(each.number, each.values, also, early) for each in proposals[:ended]}
    variants = {"control": CONTROL} | {f"proposal {each}": values(each) for each in confirmed or {}}
    measured = {"control": control or []} | {f"proposal {each}": scores for each, scores in (confirmed or {}).items()}
    cells = []
    for block in range(1, blocks + 1):
        for name, own in variants.items():
            stages = {"train": f"{name}t{block}".replace(" ", ""), "measure": f"{name}m{block}".replace(" ", "")}
            cell = TrialSpec(Variant("vae_nn", own, own, "d" * 8, "", name), Block(0, block), stages)
            cells.append(cell)
            if block <= len(measured[name]):
                scores = dict.fromkeys(also, 0.5) | {"set/frechet": measured[name][block - 1]}
                record = made_record(scores, key=cell.key, config=own, block=cell.block, stages=stages)
                records.put(cell.key, record, RUN, {})
    budget = {"trials": count, "wall_hours": None, "worker_hours": None}
    design = {"kind": "search", "fields": {name: each.to_json() for name, each in space.items()}, "also": [*also],
              "sampler": "tpe", "scheduler": "asha" if early else "none", "budget": budget}  # fmt: skip
    fields = {"design": design, "controls": dict.fromkeys(variants, "control"), "blocks": blocks,
              "trial_specs": tuple(cells), "question": "Which is best?"}  # fmt: skip
    records.plans.put(FOLDER, made_plan(**(fields | plan)))
    shares = {"lr": 0.7, "layers": 0.2, "strength": 0.06, "norm": 0.04}
    conclusion = Conclusion(budget=budget, proposals=count, importance={n: s for n, s in shares.items() if n in space})
    for each in proposals if samples else ():
        config = {**each.values, **CONFIG}
        record = made_record({}, key=each.key, config=config, samples=dict.fromkeys(samples or {}, "h"))
        records.put(each.key, record, RUN, dict(samples or {}))
    if written:
        for document in (*proposals, *ends.values()):
            files.put(document)
        if over:
            files.put_conclusion(conclusion)
            files.put_confirmation(Confirmation(numbers=tuple(confirmed or ())))
    results = Results.read(storage, "made")
    if written:
        return results
    search = results_of(results.plan, proposals, ends, conclusion if over else None, results.records)
    return replace(results, search=search)
