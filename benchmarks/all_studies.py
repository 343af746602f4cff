#!/usr/bin/env python
"""All seven studies on one data set, as a user would run them, and what they found as tables of Markdown.

    python benchmarks/all_studies.py --storage FOLDER [--data SOURCE] [--tables] [--pictures FOLDER]

The studies run one after the other, each in a process of its own, and share what is trained alike. The same command
goes on from wherever it was stopped; the seconds of all calls are added up in FOLDER/all_studies.json. At the end
`musiclab report` writes the pages and the overview, and the tables of docs/findings.md are printed from the records.
--tables prints them without running anything. --pictures also writes a picture of one sample of every system and form
into a folder, all of one start window of one block, both drawn by SEED. Use one storage for each data set.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import numpy as np

from musiclab import UserError, open_results
from musiclab.analysis.intervals import mean_intervals
from musiclab.report.formatting import bounds_text
from musiclab.report.sentences import evidence, evidence_mark
from musiclab.study.results import StudyResults
from musiclab.wording import duration, rounded

STUDIES = Path(__file__).parents[1] / "studies"
# In this order each study finds what the ones before it have trained.
NAMES = (
    "latent_dim", "noise_sd", "style_alpha", "start_sensitivity", "systems", "gan_tricks", "written_or_coded"
)  # fmt: skip
FRECHET, PIANO = "set/frechet", "set/frechet.Piano"
LIKE_REAL = {"music/polyphony": "pitches a step", "music/note_length": "beats a note", "music/note_density": "density"}
SEED = 0
OTHERS = {
    "music/harmony_gain": "harmony gain", "set/diversity_ratio": "diversity", "set/duplicate_rate": "duplicates"
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", type=Path, required=True, help="a folder for the records of this data set")
    parser.add_argument("--data", default="chorales", help="the songs, as for any study")
    parser.add_argument("--tables", action="store_true", help="only print the tables of what has run")
    parser.add_argument("--pictures", type=Path, help="a folder for a picture of a sample of each system")
    options = parser.parse_args()
    code = 0
    if not options.tables:
        signal.signal(signal.SIGINT, lambda *_: None)  # the study gets it too, and ends after the epochs that it is in
        code = run_all(options.data, options.storage)
    if code in (0, 1):  # 1: a trial failed, which the tables show
        print(tables(options.storage))
        if options.pictures:
            write_pictures(open_results("systems", options.storage), options.storage, options.pictures)
    return code


def run_all(data: str, storage: Path) -> int:
    """Run what is missing, then write the reports; 1 if a trial failed, another code if a study could not go on."""
    file, worst = storage / "all_studies.json", 0
    seconds: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
    for name in NAMES:
        began = time.monotonic()
        command = [sys.executable, str(STUDIES / f"{name}.py"), "--data", data, "--storage", str(storage)]
        code = subprocess.run(command, check=False).returncode
        took = time.monotonic() - began
        seconds[name] = seconds.get(name, 0.0) + took
        storage.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(seconds))
        print(f"\n{name}: {duration(took)} now, {duration(seconds[name])} in all\n", flush=True)
        if code not in (0, 1):
            return code
        worst = max(worst, code)
    report = subprocess.run([sys.executable, "-m", "musiclab", "report", str(storage)], check=False)
    return report.returncode or worst


def tables(storage: Path) -> str:
    """The tables of all studies that the storage has: seconds, claims, answers, systems."""
    studies = list(_studies(storage))
    file = storage / "all_studies.json"
    seconds: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
    parts = []
    if seconds:
        rows = [[f"`{name}`", f"{took:.0f}"] for name, took in (seconds | {"all": sum(seconds.values())}).items()]
        parts.append(_markdown(["study", "seconds"], rows))
    parts += [claims_table(studies), answers_table(studies)]
    parts += [systems_table(study) for study in studies if study.study == "systems"]
    return "\n\n".join(parts)


def claims_table(studies: Iterable[StudyResults]) -> str:
    """Every claim with its verdict, and every expectation with what was measured, its interval and p."""
    judged = sorted((claim for study in studies for claim in study.claims), key=lambda claim: claim.claim.order)
    rows = [
        [
            f"{each.claim.id} {each.claim.says}",
            each.verdict,
            "<br>".join(f"{evidence_mark(found)} {evidence(found)}" for found in each.found),
        ]
        for each in judged
    ]
    return _markdown(["claim", "verdict", "measured: difference [95 % interval], p"], rows)


def answers_table(studies: Iterable[StudyResults]) -> str:
    """Every study's answer in sentences."""
    return _markdown(["study", "answer"], [[f"`{each.study}`", "<br>".join(each.answer.sentences)] for each in studies])


def systems_table(results: StudyResults) -> str:
    """What real, shuffled and random music scores, then each system in each form.

    Frechet is a mean over blocks with its interval. Its median over blocks is divided by the distances of random notes
    and of shuffled tracks. The last column has the measures of LIKE_REAL that lie within a quarter of real music's.
    """
    frame, baselines = results.frame(), results.answer.statistics.baselines
    distances = [name for name in (FRECHET, PIANO) if name in frame]

    def baseline(name: str) -> float:
        return baselines.get(name, np.nan)

    head = ["music", "Frechet", "median", "of random", "of shuffled", *(["Frechet, piano"] if PIANO in frame else [])]
    rows = []
    for music, suffix, real in (
        ("other real songs", ".floor", ""), ("its tracks shuffled", ".shuffled", ".shuffled"),
        ("random notes", ".random", ".random"),
    ):  # fmt: skip
        whole, *piano = (baseline(f"{name}{suffix}") for name in distances)
        row = [music, rounded(whole), "", *_shares(whole, baseline), *map(rounded, piano)]
        rows.append([*row, *(rounded(baseline(f"{name}{real}")) for name in LIKE_REAL | OTHERS), ""])
    for variant, trials in frame.groupby("variant", sort=False):
        intervals = mean_intervals([trials[name] for name in distances])
        whole, *piano = (f"{rounded(interval.mean)} {bounds_text(interval)}" for interval in intervals)
        median = float(trials[FRECHET].median())
        means = {name: float(trials[name].mean()) if name in trials else np.nan for name in LIKE_REAL | OTHERS}
        near = [title for name, title in LIKE_REAL.items() if abs(means[name] / baseline(name) - 1) <= 0.25]
        row = [f"`{variant}`", whole, rounded(median), *_shares(median, baseline), *piano]
        rows.append([*row, *map(rounded, means.values()), ", ".join(near) or "none"])
    return _markdown([*head, *LIKE_REAL.values(), *OTHERS.values(), "within a quarter of real"], rows)


def write_pictures(results: StudyResults, storage: Path, folder: Path) -> None:
    """Copy the picture of one sample of each variant, all of the same drawn block and start window."""
    frame, rng = results.frame(), np.random.default_rng(SEED)
    block = rng.choice(sorted(frame["block"].unique()))
    of_block = frame[frame["block"] == block]
    samples = [storage / "trials" / trial / "samples" for trial in of_block["trial"]]
    start = rng.choice(sorted(set.intersection(*({path.name for path in each.glob("*.png")} for each in samples))))
    folder.mkdir(parents=True, exist_ok=True)
    for variant, sample in zip(of_block["variant"], samples, strict=True):
        shutil.copyfile(sample / start, folder / f"{variant.replace(', ', '-')}.png")


def _shares(distance: float, baseline: Callable[[str], float]) -> list[str]:
    """A distance as shares of random notes' and of shuffled tracks' distance."""
    return [f"{distance / baseline(f'{FRECHET}.{music}'):.2f}" for music in ("random", "shuffled")]


def _studies(storage: Path) -> Iterable[StudyResults]:
    """The results of the studies that the storage has."""
    for name in NAMES:
        try:
            yield open_results(name, storage)
        except UserError as error:
            print(error, file=sys.stderr)


def _markdown(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
