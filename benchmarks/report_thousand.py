#!/usr/bin/env python
"""How long does the report of 1,000 trials take, and how large is the page?

    python benchmarks/report_thousand.py [VARIANTS BLOCKS]

It makes the records of a study of 100 variants on 10 blocks in a temporary storage: every measure with its tracks,
baselines, histograms, curves of 50 epochs, and costs; one trial in a hundred has failed. There are no samples, because
the listening section draws only a few, however many there are. It prints the seconds of each step: of the clock, and of
the CPU, which other work on the machine hardly changes.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from musiclab.analysis.results import Results
from musiclab.data.songs import TRACKS
from musiclab.design.trials import TrialSpec, Variant
from musiclab.measures.distributions import FEATURES
from musiclab.measures.registry import MEASURES
from musiclab.report.html import sections, tables
from musiclab.report.html.page import page
from musiclab.report.write import write_report
from musiclab.storage.files import Storage
from musiclab.storage.plans import StudyPlan
from musiclab.storage.records import Records
from musiclab.storage.trial_documents import TrialCost, TrialData, TrialRecord
from musiclab.training.streams import Block

NAME = "thousand"


def main(variants: int, blocks: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(folder)
        timed("records written", lambda: make(storage, variants, blocks))
        results = timed("records read, statistics", lambda: Results.read(storage, NAME))
        keys = sections.legend(results)
        timed("  of the page: plot of blocks", lambda: sections.objective_plot(results))
        timed("  of the page: response plots", lambda: sections.response_plots(results))
        timed("  of the page: learning curves", lambda: sections.curve_plots(results, keys))
        timed("  of the page: distributions", lambda: sections.distribution_plots(results, keys))
        timed("  of the page: tables", lambda: (tables.verdict_rows(results), tables.measure_tables(results.answer)))
        html = timed("the whole page", lambda: page(results))
        print(f"{len(html.encode()) / 1e6:.2f} MB")
        timed("report and files, from records to disk", lambda: write_report(Results.read(storage, NAME)))


def timed(what: str, work: Callable[[], Any]) -> Any:
    """Do the work and print how long it took; its result."""
    start, used = time.perf_counter(), time.process_time()
    result = work()
    print(f"{what:40} {time.perf_counter() - start:6.2f} s, {time.process_time() - used:6.2f} s of CPU", flush=True)
    return result


def make(storage: Storage, variants: int, blocks: int) -> None:
    """Write the records of a sweep over one field whose best value lies in the middle."""
    rng, records, cells = np.random.default_rng(0), Records(storage), []
    for block in range(blocks):
        for number in range(variants):
            stages = {stage: f"{stage}-{number}-{block}" for stage in ("vae", "latent", "generate", "measure")}
            config = {"noise_sd": number / 10}
            cell = TrialSpec(Variant("vae_nn", config, config, "data"), Block(0, block), stages)
            cells.append(cell)
            if rng.random() < 0.01:
                records.put_failure(cell.key, "diverged: train/loss is not finite", "", again=False)
                continue
            records.put(cell.key, record(cell, abs(number - variants / 2), rng), RUN, {})
            for stage in ("vae", "latent"):
                points = [
                    {"name": f"{part}/loss.{track}", "step": step, "value": 1 / step + rng.random(), "time": 1.7e9}
                    for part in ("train", "val")
                    for track in TRACKS
                    for step in range(1, 51)
                ]
                storage.write(f"stages/{stages[stage]}/curves.json", json.dumps(points).encode())
    names = [cell.variant.name for cell in cells[:variants]]
    plan = StudyPlan(
        study=NAME, question="Which of very many is best?", edition="e", base={"data": "made", "seed": 0},
        controls=dict.fromkeys(names, names[variants // 2]), objective="set/frechet", blocks=blocks,
        trial_specs=tuple(cells), began=1.7e9, command=("made.py",),
        environment={"musiclab": "0", "python": "3", "platform": "made", "commit": ""},
    )  # fmt: skip
    records.plans.put(f"studies/{NAME}/e", plan)


RUN = TrialCost(
    began=1.7e9, ended=1.7e9 + 60, seconds={"vae": 40.0, "latent": 10.0, "generate": 5.0, "measure": 5.0},
    peak_memory_mib=900, device="cpu", host="made", pid=1, source="made",
)  # fmt: skip


def record(cell: TrialSpec, distance: float, rng: np.random.Generator) -> TrialRecord:
    """A record whose every value grows with the distance from the best variant."""
    parts = {measure: TRACKS if measure.group in ("music", "latent", "next") else () for measure in MEASURES}
    names = [f"{measure.full_name}{part}" for measure in MEASURES for part in ("", *(f".{t}" for t in parts[measure]))]
    measures = {name: 1 + 0.1 * distance + rng.normal() for name in names}
    scale = {name: 1.0 for name in names if name.startswith("music/")}
    scale |= {f"{name}{end}": 1.0 + rng.random() for name in names for end in (".floor", ".shuffled", ".random")}
    counts = {
        kind: {name: rng.integers(1, 40, len(feature.edges) - 1).tolist() for name, feature in FEATURES.items()}
        for kind in ("generated", "real")
    }
    return TrialRecord(
        key=cell.key, system=cell.variant.system, config=cell.variant.config, block=cell.block, stages=cell.stages,
        data=TrialData(fingerprint="data", split=f"split-{cell.block.index}"), measures=measures, baselines=scale,
        histograms=counts,
    )  # fmt: skip


if __name__ == "__main__":
    main(*(map(int, sys.argv[1:3]) if len(sys.argv) > 2 else (100, 10)))
